"""Members of bars, features and books of the same labels have the same borders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantgod.archive.snapshot_store import BLOCK_INDEX, Blocks
from quantgod.contracts import MS_PER_MINUTE
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.labels import label
from quantgod.dataset.learning_table import whole_rows, with_blocks, with_features
from quantgod.dataset.samples import SEEN, Samples, samples
from quantgod.dataset.splits import EmptyPartError, split_dev, split_test
from quantgod.served.blocks import VOLATILITY_ROWS
from quantgod.served.features import sets
from quantgod.settings import SplitSettings
from tests.dataset.broken_bars import BRIDGE, LABEL, SEVERAL, broken_bars, whole_bars

LACKING = 90
"""Minutes of a stretch until a row has all features."""


def blocks_of(index: pd.DatetimeIndex, absent: np.ndarray, thin: np.ndarray) -> BookBlocks:
    """The smallest blocks of minutes, of which some are absent and some lack a level."""
    minutes = index[~absent].as_unit("ms").asi8 // MS_PER_MINUTE
    content = np.ones((len(minutes), 1, 1, 4), np.float32)
    content[thin[~absent]] = 0.0
    ones, begins = np.ones(len(minutes)), np.zeros(1, np.int64)
    day = Blocks(np.empty(len(minutes), BLOCK_INDEX), content, 100)
    return BookBlocks([day], begins, minutes, ones, ones, 100)


@dataclass
class Market:
    """A labelled table with holes, and what is beside it."""

    bars: pd.DataFrame
    features: pd.DataFrame
    absent: np.ndarray
    thin: np.ndarray

    def tables(self) -> dict[str, pd.DataFrame]:
        featured = with_features(self.bars, self.features)
        blocks = blocks_of(pd.DatetimeIndex(self.bars.index), self.absent, self.thin)
        return {
            "bars": self.bars,
            "features": featured,
            "book": with_blocks(self.bars, blocks),
            "book and features": with_blocks(featured, blocks),
        }


@st.composite
def markets(draw: st.DrawFn) -> Market:
    bars = label(draw(broken_bars()), draw(st.sampled_from([LABEL, SEVERAL])), BRIDGE)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    share = draw(st.sampled_from([0.0, 0.001, 0.01]))
    missing, absent, thin = (rng.random(len(bars)) < share for _ in range(3))
    begin = draw(st.integers(0, 200))
    absent[:begin] = True
    still = draw(st.integers(0, len(bars)))
    bars.iloc[still : still + VOLATILITY_ROWS + 3, bars.columns.get_loc("log_ret_close")] = 0.0
    values = np.zeros((len(bars), len(sets.NAMES)))
    values[bars.groupby("run").cumcount() < LACKING] = np.nan
    values[missing, rng.integers(0, len(sets.NAMES))] = np.inf
    features = pd.DataFrame(values, bars.index, list(sets.NAMES))
    return Market(bars, features, absent, thin)


WINDOWS = st.sampled_from([1, 30, 60, 75])
STRIDES = st.sampled_from([1, 3, 7])


def split_settings(test: float = 0.2, validation: float = 0.2, embargo: int = 0) -> SplitSettings:
    return SplitSettings(
        test_fraction=test, validation_fraction=validation, folds=2, embargo_minutes=embargo
    )


@settings(max_examples=10, deadline=None)
@given(
    market=markets(), window=WINDOWS, stride=STRIDES, embargo=st.sampled_from([0, 45]),
    fraction=st.floats(0.1, 0.3),
)  # fmt: skip
def test_each_part_of_a_member_is_that_of_a_member_of_bars_as_far_as_it_sees(
    market: Market, window: int, stride: int, embargo: int, fraction: float
) -> None:
    chosen = split_settings(fraction, fraction, embargo)
    taken = {kind: samples(table, window, stride) for kind, table in market.tables().items()}
    expected = parts(taken["bars"], chosen)
    for kind, found in taken.items():
        try:
            own = parts(found, chosen)
        except EmptyPartError:
            continue  # it sees too little
        for part, times in own.items():
            seen = np.intersect1d(expected[part], found.time_ms)
            assert times.tolist() == seen.tolist(), (kind, part)


def parts(found: Samples, chosen: SplitSettings) -> dict[str, np.ndarray]:
    """The times of each part of a member's samples."""
    test, dev = split_test(found, chosen), split_dev(found, chosen)
    positions = {"dev": test.train, "train": dev.train, "validation": dev.other}
    return {name: found.time_ms[at] for name, at in (positions | {"test": test.other}).items()}


@settings(max_examples=10, deadline=None)
@given(market=markets(), window=WINDOWS, stride=STRIDES)
def test_what_a_member_learns_from_is_what_dropping_rows_has_left(
    market: Market, window: int, stride: int
) -> None:
    """Samples and labels of the rows kept; dropping is done here row by row."""
    for kind, table in market.tables().items():
        left, found = dropped(table), samples(table, window, stride)
        pd.testing.assert_frame_equal(whole_rows(table), left, check_freq=False)
        before = samples(left, window, stride)
        for name in ("time_ms", "label_end_ms", "reach_ms", "target", "classes", "returns"):
            one, other = getattr(found, name), getattr(before, name)
            assert one.tobytes() == other.tobytes(), (kind, name)
        assert (table.index[found.row] == left.index[before.row]).all()
        if window >= VOLATILITY_ROWS:
            assert found.volatility.tobytes() == before.volatility.tobytes()
        names = [name for name in sets.NAMES if name in table]
        is_whole = np.isfinite(table[names].to_numpy()).all(axis=1)
        for row in found.row:
            assert is_whole[row - window + 1 : row + 1].all()


def dropped(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that are seen, with `run` counted anew wherever a row or a stretch ends."""
    if SEEN not in table:
        return table
    run, number, kept, last = table["run"].tolist(), -1, [], -2
    numbers = []
    for row, seen in enumerate(table[SEEN]):
        if seen:
            number += row != last + 1 or run[row] != run[last]
            kept.append(row)
            numbers.append(number)
            last = row
    return table.drop(columns=SEEN).iloc[kept].assign(run=np.array(numbers, np.int32))


@settings(max_examples=10, deadline=None)
@given(market=markets(), cut=st.integers(100, 1_600), window=WINDOWS)
def test_nothing_up_to_a_minute_is_seen_or_left_out_for_what_comes_after_it(
    market: Market, cut: int, window: int
) -> None:
    later = np.arange(len(market.bars)) >= cut
    other = Market(
        market.bars,
        market.features.mask(pd.Series(later, market.bars.index), np.nan, axis=0),
        market.absent | later,
        market.thin,
    )
    try:
        changed = other.tables()
    except ValueError:
        return  # nothing is left to look at
    for kind, table in market.tables().items():
        columns = [name for name in table if not str(name).startswith("label_end")]
        before, after = (
            one[columns].iloc[:cut].to_numpy(np.float64) for one in (table, changed[kind])
        )
        assert before.tobytes() == after.tobytes(), kind
        rows = (samples(one, window, 1).row for one in (table, changed[kind]))
        first, second = (found[found < cut].tolist() for found in rows)
        assert first == second, kind


def test_a_part_of_which_a_member_sees_nothing_is_refused() -> None:
    table = label(whole_bars().iloc[:1_600], LABEL, BRIDGE)
    found, chosen = samples(table, 30, 1), split_settings()
    for part, told in (("test", "dev/test: .* against 0 newer"), ("validation", "against 0 newer")):
        hidden = np.isin(table.index.as_unit("ms").asi8, parts(found, chosen)[part])
        seen = samples(table.assign(**{SEEN: ~hidden}), 30, 1)
        with pytest.raises(EmptyPartError, match=told):
            parts(seen, chosen)
