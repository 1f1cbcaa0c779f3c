"""Splits: what trains never sees the future of what judges it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from quantgod.contracts import MS_PER_MINUTE
from quantgod.dataset.labels import label
from quantgod.dataset.samples import Samples, samples
from quantgod.dataset.splits import Split, folds, split_test, split_validation, uniqueness
from quantgod.settings import LabelSettings, SplitSettings
from tests.dataset.broken_bars import BRIDGE, LABEL, SEVERAL, broken_bars, whole_bars

WINDOW = 30


def settings(test: float = 0.2, validation: float = 0.2, embargo: int = 0) -> SplitSettings:
    return SplitSettings(
        test_fraction=test, validation_fraction=validation, folds=3, embargo_minutes=embargo
    )


def minutes_of_labels(found: Samples, index: np.ndarray) -> set[int]:
    """Every minute that a label of these samples looks at, its own minute not among them."""
    return {
        minute
        for time, end in zip(found.time_ms[index], found.reach_ms[index], strict=True)
        for minute in range(time // MS_PER_MINUTE + 1, end // MS_PER_MINUTE + 1)
    }


def assert_clean(found: Samples, split: Split, embargo: int = 0) -> None:
    """No label of the training side reaches the first window end of the other, nor beyond it."""
    border = found.time_ms[split.other].min()
    reached = max(minutes_of_labels(found, split.train)) * MS_PER_MINUTE
    assert reached + embargo * MS_PER_MINUTE < border
    assert not minutes_of_labels(found, split.train) & minutes_of_labels(found, split.other)


def assert_nothing_lost(found: Samples, older: np.ndarray, split: Split, embargo: int) -> None:
    """Purging drops what it must and no more: a dropped label reaches the border."""
    border = found.time_ms[split.other].min()
    dropped = np.setdiff1d(older, split.train)
    reach = found.reach_ms[dropped] + embargo * MS_PER_MINUTE
    assert (reach >= border).all()


STRIDES = st.integers(1, 13)
FRACTIONS = st.floats(0.05, 0.5)
EMBARGOES = st.sampled_from([0, 1, 45])
LABELS = st.sampled_from([LABEL, SEVERAL])


@examples(max_examples=20)
@given(bars=broken_bars(), labels=LABELS, stride=STRIDES, fraction=FRACTIONS, embargo=EMBARGOES)
def test_no_training_label_reaches_into_validation(
    bars: pd.DataFrame, labels: LabelSettings, stride: int, fraction: float, embargo: int
) -> None:
    found = samples(label(bars, labels, BRIDGE), WINDOW, stride)
    everything = np.arange(len(found))
    split = split_validation(found, everything, fraction, settings(embargo=embargo))
    assert_clean(found, split, embargo)
    assert len(split.other) == round(len(found) * fraction)
    older = everything[: len(found) - len(split.other)]
    assert_nothing_lost(found, older, split, embargo)


@examples(max_examples=20)
@given(
    bars=broken_bars(), labels=LABELS, stride=STRIDES, other_stride=STRIDES,
    window=st.integers(1, 100),
)  # fmt: skip
def test_the_test_part_is_the_same_minutes_for_every_stride_and_window(
    bars: pd.DataFrame, labels: LabelSettings, stride: int, other_stride: int, window: int
) -> None:
    table = label(bars, labels, BRIDGE)
    one, two = samples(table, WINDOW, stride), samples(table, window, other_stride)
    dev, held = split_test(one, settings()), split_test(two, settings())
    assert_clean(one, dev)
    assert one.reach_ms[dev.train].max() < two.time_ms[held.other].min()
    targets = [name for name in table.columns if name.startswith("target")]
    labelled = table.index[(table[targets] >= 0).all(axis=1)]
    border = labelled[len(labelled) - round(len(labelled) * 0.2)].timestamp() * 1000
    for found, split in ((one, dev), (two, held)):
        assert split.other.tolist() == np.flatnonzero(found.time_ms >= border).tolist()
        assert found.reach_ms[split.train].max() < border


@examples(max_examples=20)
@given(bars=broken_bars(), labels=LABELS, stride=st.integers(1, 5), embargo=EMBARGOES)
def test_no_fold_trains_on_a_label_that_reaches_what_it_judges(
    bars: pd.DataFrame, labels: LabelSettings, stride: int, embargo: int
) -> None:
    found = samples(label(bars, labels, BRIDGE), WINDOW, stride)
    chosen = settings(embargo=embargo)
    dev = split_test(found, chosen).train
    walk = folds(found, dev, chosen)
    assert len(walk) == 3
    for number, fold in enumerate(walk):
        assert_clean(found, fold, embargo)
        older = dev[: np.searchsorted(dev, fold.other[0])]
        assert_nothing_lost(found, older, fold, embargo)
        for later in walk[number + 1 :]:
            assert fold.other.max() < later.other.min()
    judged = np.concatenate([fold.other for fold in walk])
    assert judged.tolist() == dev[-len(judged) :].tolist()


@given(count=st.integers(10, 90), number=st.integers(2, 9))
def test_the_folds_are_those_of_scikit_learn(count: int, number: int) -> None:
    time = np.arange(count, dtype=np.int64) * MS_PER_MINUTE
    at_once = Samples.of_times(time, time, time)  # labels that reach nowhere: nothing is purged
    walk = folds(at_once, np.arange(count), settings().model_copy(update={"folds": number}))
    theirs = TimeSeriesSplit(number).split(np.arange(count))
    for own, (older, newer) in zip(walk, theirs, strict=True):
        assert own.train.tolist() == older.tolist() and own.other.tolist() == newer.tolist()


@examples(max_examples=20)
@given(bars=broken_bars(), stride=st.integers(1, 4))
def test_the_stopping_tail_of_a_fold_is_purged_from_what_it_trains_on(
    bars: pd.DataFrame, stride: int
) -> None:
    found = samples(label(bars, LABEL, BRIDGE), WINDOW, stride)
    for fold in folds(found, np.arange(len(found)), settings()):
        assume(len(fold.train) * stride > 200)
        stopping = split_validation(found, fold.train, 0.3, settings())
        assert_clean(found, stopping)
        assert_clean(found, Split(stopping.other, fold.other))
        assert set(stopping.train) | set(stopping.other) <= set(fold.train)


def test_a_side_without_samples_is_refused() -> None:
    found = samples(label(whole_bars().iloc[:250], LABEL, BRIDGE), WINDOW, 1)
    with pytest.raises(ValueError, match="one side is empty"):
        split_validation(found, np.arange(3), 0.1, settings())
    with pytest.raises(ValueError, match="train/validation: of 60 older samples purging leaves 0"):
        split_validation(found, np.arange(120), 0.5, settings())
    with pytest.raises(ValueError, match=r"fold 1: of .* purging leaves 0, against"):
        folds(found, np.arange(len(found)), settings())
    with pytest.raises(ValueError, match="one side is empty"):
        split_test(found.take(np.arange(0)), settings(test=0.001))


def test_effective_rows_are_counted_by_the_primary_horizon() -> None:
    bars = whole_bars().iloc[:700]
    one, several = (samples(label(bars, labels, BRIDGE), 5, 1) for labels in (LABEL, SEVERAL))
    same = np.isin(one.row, several.row)
    assert np.array_equal(uniqueness(several), uniqueness(one.take(same)))
    assert len(one) - len(several) == 30
    assert (several.reach_ms - several.label_end_ms == 30 * MS_PER_MINUTE).all()


@given(bars=broken_bars(minutes=400), stride=st.integers(1, 70))
def test_uniqueness_is_the_mean_of_one_over_concurrency(bars: pd.DataFrame, stride: int) -> None:
    found = samples(label(bars, LABEL, BRIDGE), 5, stride)
    spans = [
        range(time // MS_PER_MINUTE + 1, end // MS_PER_MINUTE + 1)
        for time, end in zip(found.time_ms, found.label_end_ms, strict=True)
    ]
    covering: dict[int, int] = {}
    for span in spans:
        for minute in span:
            covering[minute] = covering.get(minute, 0) + 1
    expected = [sum(1 / covering[minute] for minute in span) / len(span) for span in spans]
    weights = uniqueness(found)
    assert weights.dtype == np.float64
    assert np.allclose(weights, expected, rtol=0, atol=1e-12)


def test_labels_that_share_nothing_are_wholly_unique() -> None:
    found = samples(label(whole_bars(), LABEL, BRIDGE), 10, 60)
    assert np.allclose(uniqueness(found), 1, rtol=0, atol=1e-12)
    dense = samples(label(whole_bars(), LABEL, BRIDGE), 10, 1)
    assert uniqueness(dense).sum() == pytest.approx(len(dense) / 60, rel=0.03)
    assert len(uniqueness(dense.take(np.arange(0)))) == 0
