"""Baselines find what is plainly there, and look at nothing that they may not see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import FEATURES, PRIMARY
from quantgod.dataset.labels import label
from quantgod.dataset.samples import Samples, samples
from quantgod.dataset.splits import Split, split_test
from quantgod.evaluation.metrics import classification_report, log_loss
from quantgod.forecasters.baselines import LEARNED, baselines, last_class, majority, persistence
from quantgod.served.calibration import decide
from quantgod.settings import LabelSettings, SplitSettings
from tests.synthetic import synthetic_bars

LABEL = LabelSettings(horizon_minutes=60, buy_above=0.008, sell_below=-0.004)
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
    given = majority(np.array([1, 1, 0, 1]), 3)
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
        assert last_class(table, train, LABEL)[sample] == expected
    given = persistence(table, train, other, LABEL)
    assert np.array_equal(decide(given), last_class(table, other, LABEL))
    held = (last_class(table, train, LABEL) == train.target).mean()
    assert given.max(axis=1) == pytest.approx(held)


def test_the_last_hour_is_not_taken_from_another_run() -> None:
    table, found, _ = prepared(signal=0.7, missing=slice(5000, 5010))
    begins = int(np.flatnonzero(np.diff(table["run"]))[0]) + 1
    early = found.take((found.row >= begins) & (found.row < begins + 50))
    assert len(early) and (last_class(table, early, LABEL) == 1).all()


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
    said = (last_class(table, train, LABEL) + moved) % 3
    given = persistence(table, replace(train, target=said), other, LABEL)
    assert given.max(axis=1) == pytest.approx(trust)
    assert given.min(axis=1) == pytest.approx((1 - trust) / 2)
    assert given.sum(axis=1) == pytest.approx(1.0)
