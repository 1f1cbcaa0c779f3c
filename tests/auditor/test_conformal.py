"""Sets hold what they promise where rows are exchangeable, and a model that is unsure abstains."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores import LACConformityScore

from quantgod.auditor.audit import kept_back
from quantgod.auditor.conformal import (
    Conformal,
    ConformalError,
    fit_conformal,
    load_conformal,
)
from quantgod.served.conformal import abstentions, actions
from tests.evaluation.class_forecasts import calibrated_forecasts, random_forecasts

SELL, NEUTRAL, BUY = 0, 1, 2


class Said:
    """What the library takes for a fitted classifier: its features are the probabilities."""

    classes_ = np.arange(3)

    def fit(self, probabilities: np.ndarray, target: np.ndarray) -> Said:
        return self

    def predict(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities.argmax(axis=1)

    def predict_proba(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities

    def __sklearn_is_fitted__(self) -> bool:
        return True


@pytest.mark.parametrize("level", [0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99])
def test_one_new_row_among_equals_is_held_as_often_as_promised_and_no_rank_less_would_do(
    level: float,
) -> None:
    """Each of n + 1 rows in turn is the new one: what exchangeable rows come to, counted out.

    Exactly level / (1 - level) rows are enough, and one less never is. A level is what its decimal
    says: as a float, 0.55 * 20 is above 11.
    """
    promised = Fraction(str(level))
    least = promised / (1 - promised)
    for rows in {*range(1, 25), int(least), int(least) - 1, round(1 / (1 - level))} - {0}:
        given = np.random.default_rng(rows).permutation(np.arange(1, rows + 2)) / (rows + 2)
        said = np.stack([given, 1 - given, np.zeros(rows + 1)], axis=1)
        target, held, held_by_less = np.zeros(rows + 1, np.int64), 0, 0
        for new in range(rows + 1):
            kept = np.delete(np.arange(rows + 1), new)
            fitted = fit_conformal(target[kept], said[kept], level)
            assert (fitted.reason is None) == (rows >= least) and fitted.rows == rows
            held += int(fitted.holds(said[[new]])[0, 0])
            higher = given[kept][given[kept] > fitted.threshold]
            held_by_less += int(len(higher) > 0 and given[new] >= higher.min())
        assert Fraction(held, rows + 1) >= promised
        assert Fraction(held_by_less, rows + 1) < promised


@pytest.mark.parametrize("forecasts", [calibrated_forecasts, random_forecasts])
@pytest.mark.parametrize(("level", "kept"), [(0.8, 99), (0.95, 99), (0.7, 230)])
def test_it_is_the_threshold_of_the_library_that_is_kept_for_this(
    forecasts: Any, level: float, kept: int
) -> None:
    target, said = forecasts(2_000)
    theirs = SplitConformalClassifier(Said(), level, LACConformityScore(), prefit=True)
    theirs.conformalize(said[:kept], target[:kept])
    ours = fit_conformal(target[:kept], said[:kept], level)
    assert np.array_equal(ours.holds(said[kept:]), theirs.predict_set(said[kept:])[1][:, :, 0])


@pytest.mark.parametrize("rows", [0, 1, 8])
def test_too_few_rows_promise_by_ruling_nothing_out_and_say_so(rows: int) -> None:
    target, said = calibrated_forecasts(50)
    fitted = fit_conformal(target[:rows], said[:rows], 0.9)
    assert fitted.holds(np.vstack([said, [[1.0, 0.0, 0.0]]])).all() and fitted.threshold == 0
    assert fitted.reason == f"{rows} rows were kept back, and 0.9 cannot be promised by less than 9"
    assert (actions(said.argmax(axis=1), fitted.holds(said), NEUTRAL) == NEUTRAL).all()


def test_who_is_left_with_none_or_several_classes_abstains() -> None:
    holds = np.array(
        [[1, 0, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 0]], dtype=bool
    )
    for decided in (SELL, BUY):
        acted = actions(np.full(7, decided), holds, NEUTRAL)
        expected = [NEUTRAL] * 7
        expected[0 if decided == SELL else 1] = decided
        assert acted.tolist() == expected
        why = ["other_class"] * 2 + ["several_classes"] * 3 + ["empty_set", "other_class"]
        why[0 if decided == SELL else 1] = ""
        said = abstentions(np.full(7, decided), holds, acted, has_threshold=True)
        assert said.tolist() == why
        said = abstentions(np.full(7, decided), holds, acted, has_threshold=False)
        assert said.tolist() == ["no_threshold" if reason else "" for reason in why]


def test_no_tree_was_fitted_on_what_is_kept_back_and_the_purged_stay_out() -> None:
    rows = pd.DataFrame({"part": ["fit", "purged", "stopping", "purged", "calibration"]})
    assert kept_back(rows).index.tolist() == [2, 4]


def test_what_is_kept_is_read_as_it_was_and_anything_else_is_refused(tmp_path: Path) -> None:
    path, kept = tmp_path / "conformal.json", Conformal(0.9, 0.1 + 0.2, 41, None)
    kept.save(path)
    assert load_conformal(path) == kept
    sound = json.loads(path.read_text())
    for name, ends in (("threshold", (0.0, 1.0)), ("rows", (0, 1)), ("level", (1e-9, 1 - 1e-9))):
        for end in ends:
            path.write_text(json.dumps({**sound, name: end}))
            assert getattr(load_conformal(path), name) == end
    wrong: list[Any] = [
        *({**sound, name: None} for name in ("format", "kind", "level", "threshold", "rows")),
        *({**sound, "level": level} for level in (0.0, 1.0, 1.5, -0.5, float("nan"), "0.9")),
        *({**sound, "threshold": threshold} for threshold in (1.1, -0.1, float("nan"))),
        {**sound, "rows": -1}, {**sound, "more": 1}, [sound], {},
    ]  # fmt: skip
    for content in [json.dumps(value) for value in wrong] + ["{", sound["kind"]]:
        path.write_text(content)
        with pytest.raises(ConformalError, match=r"conformal\.json"):
            load_conformal(path)
