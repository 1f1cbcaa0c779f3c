from __future__ import annotations

import numpy as np
import pytest

from quantgod.contracts import BookShape
from quantgod.market import book_blocks
from quantgod.market.book_bars import STRAYS, BookBars
from quantgod.market.bybit_sync import BybitBookSync
from quantgod.market.stops import levels_of
from tests.market.test_book_bars import ASKS, BIDS, MINUTE, YEAR_SECONDS, Stream

SHAPE = BookShape(snapshots=4, levels=3, interval_ms=500)


def sampled(shape: BookShape | None = SHAPE, silence: int = 5) -> Stream:
    """A message a second, each at its start."""
    stream = Stream()
    stream.bars = BookBars(BybitBookSync("X"), silence, 5, shape=shape)
    return stream


def snapshots_of(stream: Stream) -> dict[int, list[float] | None]:
    """The best bid's size in each snapshot of each row."""
    return {
        one.bar.minute - MINUTE: (
            None if one.snapshots is None else one.snapshots[:, 0, 0, 1].tolist()
        )
        for one in stream.closed
        if one.bar.features is not None
    }


def test_a_row_brings_the_books_before_its_close_oldest_first_and_the_last_is_that_of_the_bar():
    stream = sampled().add(whole=True).minutes(117 / 60)
    for size in (3.0, 4.0, 5.0):  # at the seconds 58, 59 and 60 of the minute
        stream.add([(99.0, size)])
    assert snapshots_of(stream) == {1: [3.0, 3.0, 4.0, 4.0]}
    last = stream.closed[-1]
    assert last.snapshots.shape == (4, 2, 3, 2)
    assert last.snapshots[-1].tolist() == levels_of(last.bids, last.asks, 3).tolist()


def test_a_stream_that_nobody_samples_brings_none():
    assert snapshots_of(sampled(None).add(whole=True).minutes(2)) == {1: None}


def test_minutes_around_a_loss_have_no_row_and_the_next_one_has_all_snapshots():
    stream = sampled().add(whole=True).minutes(2.5).add(skip=3)
    stream.minutes(0.6).add(whole=True).minutes(2)
    assert stream.reasons[2] == "gap"
    assert snapshots_of(stream) == {1: [1.0] * 4, 4: [1.0] * 4}


def test_levels_that_a_thin_book_does_not_have_are_not_filled():
    stream = sampled(BookShape(2, 12, 1_000)).add(whole=True).minutes(2)
    books = stream.closed[-1].snapshots
    assert np.isnan(books[:, :, 10:, 0]).all() and not books[:, :, 10:, 1].any()
    assert books[:, 0, :10].tolist() == [[list(level) for level in BIDS]] * 2
    assert books[:, 1, :10].tolist() == [[list(level) for level in ASKS]] * 2


@pytest.mark.parametrize(("lost", "known"), [(0, [2.0] * 4), (1, None)])
def test_of_a_silent_minute_nothing_is_known_if_a_message_of_it_is_missing(lost, known):
    """Where a silence may be that long, the minute has a row."""
    stream = sampled(silence=70).add(whole=True).minutes(119 / 60)
    stream.second -= 1
    stream.add([(99.0, 2.0)])
    stream.second += 60
    stream.add(skip=lost)
    assert stream.closed[-1].bar.minute - MINUTE == 2
    assert snapshots_of(stream)[2] == known


def test_a_night_without_a_message_is_not_gone_through_minute_by_minute(monkeypatch):
    stream, opened = sampled().add(whole=True).minutes(2), []
    ends = book_blocks.interval_ends

    def counted(*given):
        opened.append(given)
        return ends(*given)

    monkeypatch.setattr(book_blocks, "interval_ends", counted)
    stream.second += 8 * 3_600
    stream.add()
    assert len(opened) <= 3
    stream.minutes(4)
    assert max(found := snapshots_of(stream)) == 485
    assert found[485] == [1.0] * 4
    assert len(stream.bars._sampler._closed) == 1, "its memory is bounded"


def test_a_clock_that_is_believed_after_many_wild_times_is_sampled_anew():
    stream = sampled().add(whole=True).minutes(2.5)
    stream.second += YEAR_SECONDS
    for _ in range(STRAYS):
        stream.add()
    stream.second -= 2 * YEAR_SECONDS
    stream.minutes(3 + (STRAYS + 1) / 60)
    assert list(snapshots_of(stream).values()) == [[1.0] * 4] * 3
