"""Versions of the book see the snapshots before a close as they came, or give no signal."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.contracts import ALL_FEATURES, BookShape
from quantgod.live.engine.block import block_of
from quantgod.live.feed.state import BookState
from quantgod.live.view.overview import minute_in_words, symbol_status
from quantgod.market.book_bars import ClosedMinute
from tests.live.engine.answering import Deployed, minute_without
from tests.live.engine.markets import FIRST, closed_at, filled
from tests.live.engine.test_wide_versions import Asked, Session

SHAPE = BookShape(snapshots=3, levels=2, interval_ms=500)
UNKNOWN = "not every snapshot of the book before its close is known"
THIN = "1 of 3 snapshots of the book have fewer than 2 levels a side"


def taken(seed: int) -> np.ndarray:
    """Snapshots as the stream brings them: [3, 2, 2, 2]."""
    return np.random.default_rng(seed).uniform(1, 2, (3, 2, 2, 2))


def thin(seed: int) -> np.ndarray:
    books = taken(seed)
    books[1, 1, 1] = np.nan, 0.0
    return books


def closed(place: int, snapshots: np.ndarray | None) -> ClosedMinute:
    return closed_at(place)._replace(snapshots=snapshots)


def of_the_book(**changes) -> Asked:
    return Asked(3, window=2, book=SHAPE, **changes)


def test_a_block_has_a_levels_bid_and_ask_beside_each_other_oldest_snapshot_first() -> None:
    books = taken(1)
    block = block_of(books)
    assert block.books.shape == (3, 2, 4) and not block.lacks
    for snapshot in range(3):
        for level in range(2):
            expected = [*books[snapshot, 0, level], *books[snapshot, 1, level]]
            assert block.books[snapshot, level].tolist() == expected


@pytest.mark.parametrize("features", [ALL_FEATURES[:9], ALL_FEATURES])
def test_a_version_gets_the_snapshots_of_the_newest_minute_in_its_row_and_none_before(
    features: tuple[str, ...],
) -> None:
    version = of_the_book(features=features)
    session = Session(filled(500), Deployed(version))
    session.take(closed(500, taken(1)), closed(501, taken(2)))
    assert session.journal.signals == [(place, 3, "Production") for place in (500, 501)]
    for frame, seed in zip(version.frames, (1, 2), strict=True):
        first, last = frame["book"]
        assert first is None
        assert last.tobytes() == block_of(taken(seed)).books.tobytes()


@pytest.mark.parametrize(("books", "why"), [(None, UNKNOWN), (thin(1), THIN)])
def test_a_minute_without_a_whole_block_gets_no_signal_but_the_reason(
    books: np.ndarray | None, why: str
) -> None:
    session = Session(filled(500), Deployed(of_the_book()))
    session.take(closed(500, taken(1)), closed(501, books))
    assert session.journal.signals == [(500, 3, "Production")], "NEUTRAL would be an opinion"
    [told] = session.notices
    assert (told.level, told.code) == ("warning", "no_block")
    expected = f"minute {FIRST + 501}: {why}, so version 3 as Production gives no signal"
    assert told.text == expected
    assert (session.state.lacks, session.state.blockless, session.state.missing) == (why, 1, 0)
    said = minute_in_words("X", FIRST + 501, session.state, None, 3)
    assert said.endswith(f": no signal: {why}")
    status = symbol_status("X", BookState(is_synced=True), session.state, "")
    assert status.blockless == 1
    assert status.book.endswith(", 1 minutes without whole snapshots")


def test_the_first_row_with_a_whole_block_is_answered_again() -> None:
    session = Session(filled(500), Deployed(of_the_book()))
    lost = closed(501, thin(1)), minute_without(FIRST + 502), closed(503, None)
    session.take(closed(500, taken(1)), *lost, closed(504, taken(2)))
    assert session.told == [(500, True), (501, False), (503, False), (504, True)]
    assert (session.state.lacks, session.state.blockless) == ("", 2)


def test_a_version_of_the_nine_answers_whatever_the_snapshots_are() -> None:
    session = Session(filled(500), Deployed(Asked(1, window=2)))
    session.take(closed(500, None), closed(501, thin(1)), closed(502, taken(1)))
    assert [place for place, *_ in session.journal.signals] == [500, 501, 502]
    assert not session.notices and not session.state.blockless


def test_a_challenger_of_the_book_answers_in_shadow_where_it_can_and_disturbs_nobody() -> None:
    session = Session(filled(500), Deployed(Asked(1, window=2), of_the_book()))
    session.take(closed(500, None), closed(501, taken(1)))
    assert session.journal.signals == [
        (500, 1, "Production"),
        (501, 1, "Production"),
        (501, 3, "Challenger"),
    ]
    [told] = session.notices
    assert told.code == "no_block" and "version 3 as Challenger gives no signal" in told.text
    assert (session.state.lacks, session.state.blockless) == ("", 0)


def test_a_version_whose_window_is_not_full_waits_for_that_and_no_block_is_told_of() -> None:
    session = Session(filled(1), Deployed(of_the_book()))
    session.take(closed(20, None), closed(21, taken(1)))
    assert session.told == [(20, False), (21, True)]
    assert not session.notices


def test_a_window_whose_last_sixty_closes_are_equal_gets_no_signal_but_the_reason() -> None:
    """The version scales prices by how they moved, and would refuse it as an error."""
    session = Session(filled(440, kept=100), Deployed(of_the_book()))
    minutes = [closed(place, taken(1)) for place in range(440, 501)]
    still = [one._replace(bar=one.bar._replace(features=np.zeros(9))) for one in minutes[:-1]]
    session.models.now.window = 60
    session.take(*still, minutes[-1])
    assert [place for place, answered in session.told if not answered] == [499]
    [told] = session.notices
    assert "its last 60 closes are equal, so version 3 as Production gives no signal" in told.text
