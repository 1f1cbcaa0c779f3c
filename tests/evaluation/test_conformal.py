"""Sets hold what they promise where rows are exchangeable, and a model that is unsure abstains."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantgod.evaluation.conformal import (
    ConformalSets,
    actions,
    conformal_sets,
    coverage,
    kept_back,
)
from tests.evaluation.forecasts import calibrated_forecasts, random_forecasts

SELL, NEUTRAL, BUY = 0, 1, 2


def found_coverage(forecasts, level: float, kept: int, trials: int) -> float:
    """Mean coverage over draws of the rows kept back, on many rows that are like them."""
    found = []
    for trial in range(trials):
        target, said = forecasts(kept + 4_000, seed=trial)
        sets = conformal_sets(target[:kept], said[:kept], said[kept:], level)
        found.append(sets.holds[np.arange(4_000), target[kept:]].mean())
    return float(np.mean(found))


@pytest.mark.parametrize("forecasts", [calibrated_forecasts, random_forecasts])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_what_is_promised_is_kept_whether_the_model_is_good_or_bad(forecasts, level) -> None:
    kept = 99
    # The expectation is ceil(level * (kept + 1)) / (kept + 1), which here is the level itself.
    assert found_coverage(forecasts, level, kept, 60) == pytest.approx(level, abs=0.015)


def test_a_class_is_in_the_set_from_the_threshold_on() -> None:
    target, said = calibrated_forecasts(200)
    sets = conformal_sets(target, said, said, 0.9)
    assert np.array_equal(sets.holds, said >= sets.threshold - 1e-9)
    # The 181st of 200 in order of how little was given to the class that came.
    given = np.sort(said[np.arange(200), target])[::-1]
    assert sets.threshold == pytest.approx(given[int(np.ceil(201 * 0.9)) - 1])


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_too_few_rows_promise_by_ruling_nothing_out(rows: int) -> None:
    target, said = calibrated_forecasts(50)
    sets = conformal_sets(target[:rows], said[:rows], said, 0.9)
    assert sets.holds.all() and sets.threshold == 0
    assert (actions(said.argmax(axis=1), sets.holds) == NEUTRAL).all()


def test_a_class_that_was_not_kept_back_is_no_reason_to_warn() -> None:
    target, said = calibrated_forecasts(200)
    seen = target != BUY
    assert not conformal_sets(target[seen], said[seen], said, 0.9).holds.all()


def test_who_is_left_with_none_or_several_classes_abstains() -> None:
    holds = np.array(
        [[1, 0, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 0]], dtype=bool
    )
    for decided in (SELL, BUY):
        acted = actions(np.full(7, decided), holds)
        expected = [NEUTRAL] * 7
        expected[0 if decided == SELL else 1] = decided
        assert acted.tolist() == expected


def test_coverage_counts_sets_and_what_they_held() -> None:
    holds = np.zeros((100, 3), dtype=bool)
    holds[:60, BUY] = True  # one class
    holds[60:90] = True  # all of them
    target = np.full(100, BUY)
    target[:20] = SELL
    found = coverage(target, ConformalSets(holds, 0.3), 0.9, 5, 200, seed=1)
    assert found.found.value == pytest.approx(0.7)
    assert found.found.low < 0.7 < found.found.high
    assert (found.singletons, found.empty) == (0.6, 0.1)
    assert (found.promised, found.threshold) == (0.9, 0.3)


def test_no_tree_was_fitted_on_what_is_kept_back_and_the_purged_stay_out() -> None:
    rows = pd.DataFrame({"part": ["fit", "purged", "stopping", "purged", "calibration"]})
    assert kept_back(rows).index.tolist() == [2, 4]
