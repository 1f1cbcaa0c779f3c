"""Baselines find what is plainly there, and look at nothing that they may not see."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import FEATURES, PRIMARY
from quantgod.dataset.labels import label
from quantgod.dataset.samples import Samples, samples
from quantgod.dataset.splits import Split, split_test
from quantgod.evaluation.metrics import classification_report, log_loss
from quantgod.forecasters import baselines as module
from quantgod.forecasters.baselines import (
    FILE,
    KINDS,
    LEARNED,
    BaselineError,
    baselines,
    fit_baselines,
    last_class,
    load_baseline,
)
from quantgod.forecasters.forecaster import Forecaster
from quantgod.served.calibration import decide
from quantgod.settings import LabelSettings, SplitSettings
from tests.synthetic import synthetic_bars

LABEL = LabelSettings(horizon_minutes=60, buy_above=0.008, sell_below=-0.004)
HOUR = LABEL.target.horizons[0]
SPLIT = SplitSettings(test_fraction=0.3, validation_fraction=0.1, folds=3, embargo_minutes=0)


def prepared(signal: float, missing: slice = slice(0)) -> tuple[pd.DataFrame, Samples, Split]:
    bars = synthetic_bars(12_000, seed=4, signal=signal)
    table = label(bars.drop(bars.index[missing]), LABEL, 5)
    found = samples(table, 30, 5)
    return table, found, split_test(found, SPLIT)


def said_by_all(table: pd.DataFrame, train: Samples, other: Samples) -> dict[str, np.ndarray]:
    given = baselines(table, train, other, LABEL)
    return {name: one.probabilities[:, PRIMARY] for name, one in given.items()}


def macro_f1_of(table: pd.DataFrame, found: Samples, split: Split) -> dict[str, float]:
    target = found.target[split.other]
    return {
        name: classification_report(target, given.probabilities[:, PRIMARY])["macro_f1"]
        for name, given in baselines(
            table, found.take(split.train), found.take(split.other), LABEL
        ).items()
    }


def test_learners_beat_the_majority_where_there_is_a_signal() -> None:
    scores = macro_f1_of(*prepared(signal=0.7))
    assert scores["logistic_regression"] > scores["majority"] + 0.1
    assert scores["gradient_boosting"] > scores["majority"] + 0.1
    assert list(scores) == ["majority", "persistence", "logistic_regression", "gradient_boosting"]


def test_learners_give_probabilities_that_few_independent_rows_do_not_mislead() -> None:
    """A rival that knows less than the class shares would be no rival."""
    table, found, split = prepared(signal=0.3)
    train, other = found.take(split.train[:800]), found.take(split.other)
    given = said_by_all(table, train, other)
    shares = log_loss(other.target, given["majority"])
    for name in LEARNED:
        assert log_loss(other.target, given[name]) < shares + 0.02, name


def test_nothing_is_found_where_nothing_is() -> None:
    table, found, split = prepared(signal=0.0)
    target = found.target[split.other]
    given = said_by_all(table, found.take(split.train), found.take(split.other))
    for name in ("persistence", "logistic_regression", "gradient_boosting"):
        assert abs(classification_report(target, given[name])["mcc"]) < 0.12


def test_the_majority_is_the_training_sides_shares() -> None:
    table, found, _ = prepared(signal=0.0)
    four = replace(found.take(np.arange(4)), target=np.array([1, 1, 0, 1]))
    given = said_by_all(table, four, found.take(np.arange(3)))["majority"]
    assert given.tolist() == [[0.25, 0.75, 0.0]] * 3


def test_persistence_says_the_class_of_the_hour_before() -> None:
    table, found, split = prepared(signal=0.7, missing=slice(5000, 5003))
    train, other = found.take(split.train), found.take(split.other)
    close = table["close"]
    for sample in range(0, len(train), 40):
        now = table.index[train.row[sample]]
        before = now - pd.Timedelta(minutes=60)
        expected = 1
        if before in close.index:
            back = np.log(close[now] / close[before])
            expected = 2 if back > 0.008 else 0 if back < -0.004 else 1
        assert last_class(table, train.row, HOUR)[sample] == expected
    given = said_by_all(table, train, other)["persistence"]
    assert np.array_equal(decide(given), last_class(table, other.row, HOUR))
    held = (last_class(table, train.row, HOUR) == train.target).mean()
    assert given.max(axis=1) == pytest.approx(held)


def test_the_last_hour_is_not_taken_from_another_run() -> None:
    table, found, _ = prepared(signal=0.7, missing=slice(5000, 5010))
    begins = int(np.flatnonzero(np.diff(table["run"]))[0]) + 1
    early = found.take((found.row >= begins) & (found.row < begins + 50))
    assert len(early) and (last_class(table, early.row, HOUR) == 1).all()


def test_the_test_side_moves_no_baseline() -> None:
    table, found, split = prepared(signal=0.7)
    train, half = found.take(split.train), found.take(split.other[:100])
    changed = table.copy()
    after = half.row[-1] + 1
    changed.iloc[after:, : len(FEATURES) + 1] = 7.0
    first = said_by_all(table, train, half)
    again = said_by_all(changed, train, half)
    for name, given in first.items():
        assert given.tobytes() == again[name].tobytes()
        assert given.shape == (100, 3) and np.allclose(given.sum(axis=1), 1)


def test_a_class_that_was_never_seen_gets_nothing() -> None:
    table, found, split = prepared(signal=0.7)
    train, other = found.take(split.train), found.take(split.other)
    given = said_by_all(table, train.take(train.target != 2), other)
    assert (given["logistic_regression"][:, 2] == 0).all()
    given = said_by_all(table, train.take(train.target == 1), other)
    assert (given["gradient_boosting"] == [0, 1, 0]).all()


@pytest.mark.parametrize(("moved", "trust"), [(0, 0.98), (1, 0.34)])
def test_persistence_trusts_itself_neither_fully_nor_less_than_a_guess(
    moved: int, trust: float
) -> None:
    table, found, split = prepared(signal=0.7)
    train, other = found.take(split.train), found.take(split.other)
    said = (last_class(table, train.row, HOUR) + moved) % 3
    given = said_by_all(table, replace(train, target=said), other)["persistence"]
    assert given.max(axis=1) == pytest.approx(trust)
    assert given.min(axis=1) == pytest.approx((1 - trust) / 2)
    assert given.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("classes", [3, 2, 1])
def test_a_baseline_is_a_forecaster_that_comes_back_as_it_was(tmp_path: Path, classes: int) -> None:
    table, found, split = prepared(signal=0.7)
    train, other = found.take(split.train[:2_000]), found.take(split.other)
    train = replace(train, target=np.minimum(train.target + 3 - classes, 2))
    for name, one in fit_baselines(table, train, LABEL).items():
        forecaster: Forecaster = one
        forecaster.save(tmp_path / name)
        back = load_baseline(tmp_path / name)
        assert back.card == one.card
        said, again = (of.forecast(table, other.row) for of in (one, back))
        assert said.probabilities.tobytes() == again.probabilities.tobytes(), name
        assert said.probabilities.shape == (len(other), 1, 3)
        until = pd.Timestamp(int(train.label_end_ms.max()), unit="ms", tz="UTC")
        assert (one.card.source, one.card.target) == ("book", LABEL.target)
        assert pd.Timestamp(one.card.trained_until) == until


def kept(made: dict[str, Any], name: str, real: Any, **given: Any) -> Any:
    made[name] = real(**given)
    return made[name]


@pytest.mark.parametrize("classes", [3, 2])
def test_what_is_said_of_kept_parameters_is_what_scikit_learn_says(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Any] = {}
    for kind in ("LogisticRegression", "HistGradientBoostingClassifier", "StandardScaler"):
        real = getattr(module, kind)
        keep = partial(kept, made, kind, real)
        monkeypatch.setattr(module, kind, keep)
    table, found, split = prepared(signal=0.7)
    train, other = found.take(split.train), found.take(split.other)
    given = said_by_all(table, replace(train, target=np.minimum(train.target, classes - 1)), other)
    asked = table[list(FEATURES)].to_numpy()[other.row]
    linear = made["LogisticRegression"].predict_proba(made["StandardScaler"].transform(asked))
    boosted = made["HistGradientBoostingClassifier"].predict_proba(asked)
    assert np.array_equal(given["logistic_regression"][:, :classes], linear)
    assert np.array_equal(given["gradient_boosting"][:, :classes], boosted)


def test_a_damaged_baseline_is_refused(tmp_path: Path) -> None:
    table, found, split = prepared(signal=0.0)
    fit_baselines(table, found.take(split.train), LABEL)["majority"].save(tmp_path)
    written = json.loads((tmp_path / FILE).read_text())
    for change in ({"format": 2}, {"name": "oracle"}, {"target": 7}, {"more": 1}):
        (tmp_path / FILE).write_text(json.dumps(written | change))
        with pytest.raises(BaselineError, match=r"baseline\.json: "):
            load_baseline(tmp_path)
    assert set(LEARNED) < set(KINDS)
