"""Books at any moments: those of the rows at minutes' ends, and by the reference in between."""

from __future__ import annotations

import datetime as dt
import shutil
import zipfile
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from quantgod.archive import books_at as module
from quantgod.archive import settling
from quantgod.archive.books_at import BooksAt, books_at
from quantgod.archive.day_reading import Carry, time_bounds
from quantgod.archive.etl import run_etl
from quantgod.archive.reference import ReferenceReader, admit
from quantgod.archive.source import Quarantine
from quantgod.archive.store import read_rows, stored_days
from quantgod.contracts import BookUpdate
from quantgod.market.messages import MessageError
from quantgod.market.minute_kernel import CLOCK, NEXT
from quantgod.settings import EtlSettings
from tests.archive import feeds
from tests.archive.streams import FAULTS, MIDNIGHT, SYMBOL, etl_settings, stream
from tests.archive.test_reference import Feed

BEFORE, DAY, AFTER = (dt.date(2024, 11, 30) + dt.timedelta(days=shift) for shift in range(3))
MS_A_DAY = 86_400_000

Lines = Sequence[bytes]


def pack(folder: Path, date: dt.date, lines: Lines, depth: int = 500) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{date}_{SYMBOL}_ob{depth}.data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(path.stem, b"\n".join(lines))
    return path


def look(folder: Path, moments: Sequence[int], etl: EtlSettings | None = None) -> BooksAt:
    """Books at moments in ms from midnight."""
    wanted = MIDNIGHT + np.array(moments, dtype=np.int64)
    return books_at(folder, SYMBOL, wanted, etl or etl_settings(), market="linear")


def best_bid_sizes(books: BooksAt) -> list[float | None]:
    """The best bid's size where a book is there: in most tests it names the message."""
    return [
        float(size) if is_there else None
        for size, is_there in zip(books.bid_sizes[:, 0], books.is_there, strict=True)
    ]


class Steps(Feed):
    """A feed whose best bid's size counts its messages from 1."""

    def add(self, kind="delta", *, u=None, ts=None, **levels):
        size = str(len(self.lines) + 1)
        return super().add(kind, u=u, ts=ts, **({"b": [["99", size]]} | levels))


# -- what a moment meets ---------------------------------------------------------------------------


def test_an_order_meets_what_the_last_message_up_to_its_moment_left(tmp_path):
    feed = Steps().add("snapshot", ts=MIDNIGHT).add(ts=MIDNIGHT + 700).add(ts=MIDNIGHT + 1_300)
    pack(tmp_path, DAY, feed.lines)
    moments = [-1, 0, 1, 699, 700, 1_299, 1_300, 2_000]
    assert best_bid_sizes(look(tmp_path, moments)) == [None, 1, 1, 1, 2, 2, 3, 3]


def test_of_several_messages_of_one_millisecond_the_last_one_counts(tmp_path):
    feed = Steps().add("snapshot", ts=MIDNIGHT)
    for _ in range(3):
        feed.add(ts=MIDNIGHT + 500)
    pack(tmp_path, DAY, feed.add(ts=MIDNIGHT + 501).lines)
    assert best_bid_sizes(look(tmp_path, [499, 500])) == [1, 4]


def test_a_message_that_comes_late_counts_from_when_it_came(tmp_path):
    """Time never goes back: at 1.5 s nobody had heard of what came after 2 s."""
    feed = Steps().add("snapshot", ts=MIDNIGHT).add(ts=MIDNIGHT + 2_000).add(ts=MIDNIGHT + 900)
    pack(tmp_path, DAY, feed.add(ts=MIDNIGHT + 3_000).lines)
    assert best_bid_sizes(look(tmp_path, [1_500, 2_500, 3_000])) == [1, 3, 4]


def test_a_thin_book_has_no_price_and_no_size_where_it_has_no_level(tmp_path):
    bids, asks = [["99", "1"], ["98", "3"]], [["101", "2"]]
    pack(tmp_path, DAY, Feed().add("snapshot", b=bids, a=asks).lines)
    books = look(tmp_path, [0])
    assert books.levels.shape == (1, 2, 200, 2)
    assert (books.bid_prices[0, :2].tolist(), books.bid_sizes[0, :2].tolist()) == ([99, 98], [1, 3])
    assert (books.ask_prices[0, 0], books.ask_sizes[0, 0]) == (101, 2)
    assert np.isnan(books.ask_prices[0, 1:]).all()
    assert not books.ask_sizes[0, 1:].any()


def test_a_book_that_is_not_there_has_no_level(tmp_path):
    pack(tmp_path, DAY, Feed().add("snapshot").lines)
    books = look(tmp_path, [-5_000, 40_000])
    assert not books.is_there.any()
    assert np.isnan(books.levels[..., 0]).all()
    assert not books.levels[..., 1].any()


# -- which books count -----------------------------------------------------------------------------


def test_after_a_gap_there_is_no_book_until_the_next_snapshot(tmp_path):
    feed = Steps().add("snapshot").add().add(u=50).add().add("snapshot").add()
    pack(tmp_path, DAY, feed.lines)
    moments = [999, 1_000, 1_999, 2_000, 3_500, 4_000, 5_000]
    assert best_bid_sizes(look(tmp_path, moments)) == [1, None, None, None, None, 5, 6]


@pytest.mark.parametrize(("step", "seen"), [(0, 2), (1, 2), (5, None), (-5, None)])
def test_a_snapshot_that_tells_of_a_gap_withdraws_the_book_before_it(tmp_path, step, seen):
    feed = Steps().add("snapshot").add()
    pack(tmp_path, DAY, feed.add("snapshot", u=feed.update_id + step).add().lines)
    assert best_bid_sizes(look(tmp_path, [500, 1_500, 2_500])) == [1, seen, 3]


def test_a_corrupt_line_withdraws_the_book_until_the_next_snapshot(tmp_path):
    feed = Steps().add("snapshot").add().raw(b"{").add().add("snapshot")
    pack(tmp_path, DAY, feed.lines)
    assert best_bid_sizes(look(tmp_path, [500, 1_500, 2_500, 3_500])) == [1, None, None, 5]


def test_a_stale_message_changes_nothing_and_its_time_counts_for_nothing(tmp_path):
    feed = Steps().add("snapshot").add()
    last = feed.update_id
    feed.add(u=last - 1, ts=MIDNIGHT + 1_999).add(u=last + 1)
    pack(tmp_path, DAY, feed.lines)
    assert best_bid_sizes(look(tmp_path, [1_500, 2_500])) == [2, 4]


@pytest.mark.parametrize(("first", "ts"), [(1, 1_999), (1, 2_000), (3, 2_000)])
def test_after_a_restart_told_by_a_delta_there_is_no_book_until_a_snapshot(tmp_path, first, ts):
    feed = Steps().add("snapshot").add().add(u=first, ts=MIDNIGHT + ts).add().add("snapshot")
    pack(tmp_path, DAY, feed.lines)
    assert best_bid_sizes(look(tmp_path, [500, 1_500, 2_500, 3_500])) == [1, None, None, 5]


@pytest.mark.parametrize("levels", [{"a": [["101", "0"]]}, {"b": [["101", "9"]]}])
def test_a_one_sided_or_crossed_book_is_none_while_it_is_so(tmp_path, levels):
    feed = Steps().add("snapshot").add(**levels).add(b=[["101", "0"], ["99", "7"]])
    pack(tmp_path, DAY, feed.add().lines)
    books = look(tmp_path, [500, 1_500, 2_500])
    assert books.is_there.tolist() == [True, False, True]


@pytest.mark.parametrize(("seconds", "seen"), [(5, 2), (6, None)])
def test_a_long_silence_has_no_book_from_its_first_whole_second_on(tmp_path, seconds, seen):
    feed = Steps().add("snapshot").add()
    feed.second += seconds
    pack(tmp_path, DAY, feed.add().lines)
    moments = [1_999, 2_000, 1_999 + 1_000 * seconds, 2_000 + 1_000 * seconds]
    assert best_bid_sizes(look(tmp_path, moments)) == [2, seen, seen, 3]


def test_where_the_archives_end_a_silence_counts_as_far_as_the_moment(tmp_path):
    pack(tmp_path, DAY, Steps().add("snapshot").lines)
    assert best_bid_sizes(look(tmp_path, [5_999, 6_000])) == [1, None]


# -- days ------------------------------------------------------------------------------------------


def two_days(tmp_path: Path, first_of_second: str = "delta", end: int = 5, begin: int = 5) -> None:
    """A message a second from 3 s before midnight on; the files part before message `begin`."""
    feed = Steps()
    feed.second = -3
    feed.add("snapshot")
    for place in range(1, 12):
        feed.add(first_of_second if place == begin else "delta")
    pack(tmp_path, BEFORE, feed.lines[:end])
    pack(tmp_path, DAY, feed.lines[begin:])


def test_the_book_goes_on_from_the_day_before_when_that_is_read_too(tmp_path):
    two_days(tmp_path)
    moments = [-1_500, -500, 500, 1_500, 2_500, 3_500]
    assert best_bid_sizes(look(tmp_path, moments)) == [2, 3, 4, 5, 6, 7]


def test_without_the_day_before_there_is_no_book_until_the_first_snapshot(tmp_path):
    two_days(tmp_path)
    assert not look(tmp_path, [500, 2_500, 3_500]).is_there.any()
    two_days(tmp_path, "snapshot")
    assert best_bid_sizes(look(tmp_path, [500, 2_500, 3_500])) == [None, 6, 7]


def test_the_head_of_the_next_file_serves_moments_before_its_midnight(tmp_path):
    two_days(tmp_path, end=1, begin=1)
    assert best_bid_sizes(look(tmp_path, [-2_500, -1_500, -500])) == [1, 2, 3]
    assert best_bid_sizes(look(tmp_path, [-1_500, -500, 500, 1_500])) == [2, 3, 4, 5]


def test_of_the_next_file_no_more_than_its_head_is_read(tmp_path, monkeypatch):
    two_days(tmp_path, end=1, begin=1)
    feed = Steps()
    feed.second, feed.update_id = 9, 22
    long = [*zipped_lines(tmp_path / f"{DAY}_{SYMBOL}_ob500.data.zip"), *feed.minutes(30).lines]
    pack(tmp_path, DAY, long)
    taken: list[int] = []
    carry = settling.FastReader.carry

    def counted(reader):
        taken.append(reader.settled().lines)
        return carry(reader)

    monkeypatch.setattr(settling.FastReader, "carry", counted)
    assert best_bid_sizes(look(tmp_path, [-2_500, -500])) == [1, 3]
    assert taken[0] == 1
    assert 1 < taken[1] < 150 < len(long)


def zipped_lines(path: Path) -> list[bytes]:
    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0]).splitlines()


def test_a_file_that_ends_in_its_minutes_last_second_has_closed_it(tmp_path):
    """So has the etl, whose row does not wait for what the next file begins with."""
    two_days(tmp_path, end=3, begin=5)  # one second before midnight; then a gap
    assert best_bid_sizes(look(tmp_path, [-1, 1, 2_500])) == [3, None, None]


def test_only_days_with_moments_are_read_and_each_of_them_once(tmp_path, monkeypatch):
    days = [DAY + dt.timedelta(days=shift) for shift in range(5)]
    for shift, date in enumerate(days):
        begin = MIDNIGHT + shift * MS_A_DAY
        feed = Steps().add("snapshot", ts=begin).add(ts=begin + 70_000)
        pack(tmp_path, date, feed.add(ts=begin + MS_A_DAY - 1).lines)
    read: list[dt.date] = []

    class Reader(settling.FastReader):
        def __init__(self, symbol, date, *rest):
            read.append(date)
            super().__init__(symbol, date, *rest)

    monkeypatch.setattr(settling, "FastReader", Reader)
    moments = [0, 500, 70_001, MS_A_DAY + 300, 4 * MS_A_DAY, 4 * MS_A_DAY + 70_500]
    assert best_bid_sizes(look(tmp_path, moments)) == [1, 1, 2, 1, 1, 2]
    assert read == [days[0], days[1], days[4]]


def test_the_book_does_not_go_on_over_a_day_that_was_not_read(tmp_path):
    feed = Steps().add("snapshot", ts=MIDNIGHT + MS_A_DAY - 1).add(ts=MIDNIGHT + 2 * MS_A_DAY)
    for shift, line in zip((0, 2), feed.lines, strict=True):
        pack(tmp_path, DAY + dt.timedelta(days=shift), [line])
    moments = [MS_A_DAY - 1, 2 * MS_A_DAY + 5]
    assert best_bid_sizes(look(tmp_path, moments)) == [1, None]


def test_moments_of_days_that_have_no_archive_have_no_book(tmp_path):
    pack(tmp_path, DAY, Steps().add("snapshot").lines)
    books = look(tmp_path, [-MS_A_DAY, 0, 3 * MS_A_DAY])
    assert best_bid_sizes(books) == [None, 1, None]
    assert books.unread == (BEFORE, DAY + dt.timedelta(days=3))


def test_an_archive_that_must_not_be_used_leaves_its_moments_to_the_next_one(tmp_path):
    bad = Steps().add("snapshot").add()
    for _ in range(3):
        bad.raw(b"{")
    etl = etl_settings(corrupt_fraction=0.5)
    pack(tmp_path, DAY, bad.lines, depth=500)
    books = look(tmp_path, [0, 500, 1_500], etl)
    assert not books.levels[..., 1].any()
    assert books.unread == (DAY,)
    pack(tmp_path, DAY, Steps().add("snapshot", b=[["98", "6"]]).lines, depth=200)
    books = look(tmp_path, [0, 500, 8_500], etl)
    assert best_bid_sizes(books) == [6, 6, None]
    assert books.unread == ()


def test_a_day_whose_archive_must_not_be_used_still_lets_the_day_before_end(tmp_path):
    pack(tmp_path, BEFORE, Steps().add("snapshot", ts=MIDNIGHT - 2_000).lines)
    pack(tmp_path, DAY, [b"{"] * 3)
    pack(tmp_path, AFTER, Steps().add(ts=MIDNIGHT + MS_A_DAY).lines)
    moments = [-1_000, 500, 60_000, MS_A_DAY + 10]
    assert best_bid_sizes(look(tmp_path, moments, etl_settings(corrupt_fraction=0.5))) == [
        1,
        1,
        None,
        None,
    ]


@pytest.mark.parametrize("moments", [[5, 4], [5, 5]])
def test_moments_that_do_not_rise_are_refused(tmp_path, moments):
    with pytest.raises(ValueError, match="must rise"):
        look(tmp_path, moments)


def test_no_moments_give_no_books(tmp_path):
    assert look(tmp_path, []).levels.shape == (0, 2, 200, 2)


# -- against the rows and the reference ------------------------------------------------------------


@pytest.mark.long
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    step=st.sampled_from([1, 4, 5]),
    cut=st.integers(1, 239),
    snapshots=st.sets(st.integers(1, 239), max_size=3),
    lost=st.sets(st.integers(1, 239), max_size=2),
    overlap=st.integers(0, 9),
)
def test_at_the_last_millisecond_of_a_minute_the_book_is_its_rows(
    tmp_path_factory, step, cut, snapshots, lost, overlap
):
    folder = tmp_path_factory.mktemp("rows")
    begin = feeds.MIDNIGHT_MS - 120_000 * step
    lines = feeds.feed(begin, 240 * step, step_seconds=step, snapshots=snapshots)
    parts = (range(cut), range(max(1, cut - overlap), len(lines)))
    for date, part in zip(feeds.DAYS, parts, strict=False):
        feeds.pack(folder / "archives", date, [lines[place] for place in part if place not in lost])
    etl = feeds.etl_settings()
    assume(all(part - lost for part in map(set, parts)))
    run_etl(folder / "archives", folder / "bars", etl)
    rows = [read_rows(path) for path in stored_days(folder / "bars", "BTCUSDT")]
    minutes = np.concatenate([row.minutes for row in rows])
    stored = np.concatenate([row.book for row in rows])
    everywhere = np.arange(begin // 60_000 - 2, begin // 60_000 + 4 * step + 2)
    books = books_at(
        folder / "archives", "BTCUSDT", (everywhere + 1) * 60_000 - 1, etl, market="linear"
    )
    is_row = np.isin(everywhere, minutes)
    assert books.is_there[is_row].all()
    assert books.levels[is_row].tobytes() == stored.tobytes()
    shutil.rmtree(folder)


class Step(NamedTuple):
    """A message by the reference: its time, the state before it, and whether it told of a gap."""

    ts: int
    before: Carry
    is_gap: bool


def told_of_gap(update: BookUpdate, before: Carry, *, is_first: bool) -> bool:
    last = before.last_update_id
    if update.is_snapshot:
        return not is_first and last >= 0 and update.update_id not in {1, last, last + 1}
    return before.has_book and update.update_id != last + 1  # an echo is no step


def steps_of(date: dt.date, lines: Lines, etl: EtlSettings, carry: Carry | None) -> list[Step]:
    """Every message that the reference takes, and what it had before; at the end, the end."""
    reader = ReferenceReader(SYMBOL, date, etl, carry)
    found: list[Step] = []
    is_first = True
    for line in lines:
        long = len(line) > etl.limits.line_bytes
        if not long and not line.strip(b" \t\r"):
            continue
        before, stale = reader.carry(), reader.ledger.rejected["stale"]
        reader.take(None if long else line)
        try:
            update = admit(None if long else line, SYMBOL, time_bounds(date))
        except MessageError:
            continue
        if reader.ledger.rejected["stale"] == stale:
            is_gap = told_of_gap(update, before, is_first=is_first)
            found.append(Step(update.ts, before, is_gap))
        is_first = False
    reader.finish()
    end = reader.carry()
    if end.integers[NEXT] > end.integers[CLOCK]:
        found.append(Step(int(end.integers[NEXT]) * 1000, end, is_gap=False))
    return [*found, Step(-1, end, is_gap=False)]


def by_reference(steps: list[Step], moment: int, silence: int) -> np.ndarray:
    """The book at a moment: before the first step after it, [2, 200, 2]."""
    end = Step(moment // 1000 * 1000 + 1000, steps[-1].before, is_gap=False)
    step = next((one for one in steps if one.ts > moment), end)
    bids, asks, clock = step.before.bids, step.before.asks, step.before.integers[CLOCK]
    book = np.zeros((2, 200, 2))
    book[:, :, 0] = np.nan
    is_quiet = moment // 1000 > clock and step.ts // 1000 - clock - 1 > silence
    if step.is_gap or is_quiet or not (len(bids) and len(asks)) or bids[0, 0] >= asks[0, 0]:
        return book
    for side, levels in zip(book, (bids, asks), strict=True):
        side[: len(levels)] = levels[:200]
    return book


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    length=st.integers(3, 90),
    faults=st.lists(st.sampled_from(sorted(FAULTS)), max_size=6),
    stride=st.sampled_from([50, 700, 2_500, 20_000]),
    silence=st.sampled_from([1, 5, 70]),
    share=st.floats(0, 1),
    shifts=st.lists(st.integers(0, 3_000), min_size=1, max_size=40),
)
@example(0, 25, [*["a byte changed"] * 3, "overlong and blank"], 50, 1, 0.0, [80, 120, 200, 900])
@example(1, 30, ["restart by delta", "echo of a restart"] * 2, 700, 5, 0.5, [700] * 40)
def test_books_between_and_within_two_files_are_those_of_the_reference(
    tmp_path_factory, seed, length, faults, stride, silence, share, shifts
):
    folder = tmp_path_factory.mktemp("reference")
    etl = etl_settings(silence=silence)
    lines = b"\n".join(stream(seed, length, faults, stride_ms=stride)).split(b"\n")
    cut = 1 + round(share * (len(lines) - 2))
    moments = list(accumulate(1 + shift * stride // 500 for shift in shifts))
    try:
        first = steps_of(BEFORE, lines[:cut], etl, None)
        steps = [*first[:-1], *steps_of(DAY, lines[cut:], etl, first[-1].before)]
    except Quarantine:
        assume(False)
    pack(folder, BEFORE, lines[:cut])
    pack(folder, DAY, lines[cut:])
    books = look(folder, [-MS_A_DAY, *moments], etl)
    with patch.object(module, "settle_moments", settling.settle_slowly):
        slow = look(folder, [-MS_A_DAY, *moments], etl)
    assert slow.levels.tobytes() == books.levels.tobytes()
    expected = [by_reference(steps, MIDNIGHT + moment, silence) for moment in moments]
    pairs = zip(books.levels[1:], expected, strict=True)
    wrong = [at for at, (book, wanted) in enumerate(pairs) if book.tobytes() != wanted.tobytes()]
    assert wrong == [], [moments[at] for at in wrong]
    assert books.is_there[1:].tolist() == [bool(book[0, 0, 1]) for book in expected]
    shutil.rmtree(folder)


def test_prices_that_no_dense_book_can_hold_are_looked_up_by_the_reference(tmp_path, monkeypatch):
    feed = Steps().add("snapshot").add().add().add(a=[["99999999.5", "3"], ["101.01", "4"]])
    feed.add(u=feed.update_id, ts=MIDNIGHT + 3_000).add("snapshot", u=500)
    pack(tmp_path, DAY, feed.lines)
    slowly: list[int] = []
    read_slowly = settling.settle_slowly

    def told(*arguments):
        slowly.append(arguments[-1].settled)
        return read_slowly(*arguments)

    monkeypatch.setattr(settling, "settle_slowly", told)
    found = best_bid_sizes(look(tmp_path, [500, 1_500, 2_500, 3_500, 5_000]))
    assert found == [1, 2, 3, None, 6]
    assert slowly == [2]  # so many were settled before the first such price came


def test_by_the_reference_too_the_first_message_of_a_file_may_jump(tmp_path):
    feed = Steps()
    feed.second = -2
    feed.add("snapshot", a=[["99999999.5", "3"], ["101.01", "4"]])
    pack(tmp_path, BEFORE, feed.lines)
    pack(tmp_path, DAY, feed.add("snapshot", u=900).add("snapshot", u=950).lines[1:])
    assert best_bid_sizes(look(tmp_path, [-1_500, -500, 500])) == [1, None, 3]
