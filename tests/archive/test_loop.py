"""The compiled loop at its borders: times, lengths, sides and counts, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.archive import kernel, reference
from quantgod.archive.day_reading import KEPT_LINES, time_bounds
from quantgod.archive.kernel import FastReader
from quantgod.archive.reference import ReferenceReader
from tests.archive.streams import MIDNIGHT, SYMBOL, encode, etl_settings, message
from tests.archive.test_kernel import DAY, bits, chunks, read_fast, read_slow

BIDS, ASKS = [["1.9000", "2"]], [["1.9001", "1"]]
ETL = etl_settings()


@pytest.fixture
def slow_lines(monkeypatch):
    """The lines that the compiled parser handed to the readable reader."""
    lines = []

    def admit(line, *arguments):
        lines.append(line)
        return reference.admit(line, *arguments)

    monkeypatch.setattr(kernel, "admit", admit)
    return lines


class Lines:
    """Messages of a book with one level a side, each with the next id."""

    def __init__(self):
        self.lines, self.ts, self.update_id = [], MIDNIGHT, 10
        self.add(0, BIDS, ASKS, kind="snapshot")

    def add(self, later_ms, bids=(), asks=(), *, kind="delta", step=1):
        self.ts += later_ms
        self.update_id += step
        self.lines.append(
            encode(message(self.ts, self.update_id, list(bids), list(asks), kind=kind))
        )
        return self

    def seconds(self, count):
        for _ in range(count):
            self.add(1_000)
        return self

    def read(self, carry=None, size=4_096):
        """What both readers make of it, which must be the same."""
        data = b"\n".join(self.lines)
        fast, slow = (read(data, ETL, carry, size=size) for read in (read_fast, read_slow))
        assert bits(fast) == bits(slow)
        return fast


def reasons(reading):
    return {minute - MIDNIGHT // 60_000: reason for minute, reason in reading.dropped}


ODD = {
    "no bids": ([["1.9000", "0"]], [], "one_sided"),
    "no asks": ([], [["1.9001", "0"]], "one_sided"),
    "neither": ([["1.9000", "0"]], [["1.9001", "0"]], "one_sided"),
    "locked": ([["1.9001", "1"]], [], "crossed"),
    "crossed": ([["1.9002", "1"]], [], "crossed"),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_book_costs_its_minute_however_short_it_stands(odd):
    """Put right within the same second, it is in no sample."""
    bids, asks, reason = ODD[odd]
    stream = Lines().seconds(90).add(100, bids, asks)
    stream.add(100, kind="snapshot", bids=BIDS, asks=ASKS).add(800).seconds(120)
    assert reasons(stream.read()) == {0: "no_previous_close", 1: reason}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_book_costs_each_minute_that_it_stands_in(odd):
    """No message of its own comes in the second minute until it is put right."""
    bids, asks, reason = ODD[odd]
    stream = Lines().seconds(118).add(0, bids, asks)
    stream.add(4_000, kind="snapshot", bids=BIDS, asks=ASKS).seconds(120)
    assert reasons(stream.read()) == {0: "no_previous_close", 1: reason, 2: reason}


def test_a_book_with_one_level_a_side_and_a_message_on_each_second_is_sound():
    reading = Lines().seconds(240).read()
    assert reasons(reading) == {0: "no_previous_close"}
    assert reading.features[:, 8].tolist() == [np.log1p(60)] * 3
    assert reading.out_of_order == 0


@pytest.mark.parametrize("later_ms", [0, 1, 999, 1_000])
def test_a_message_is_late_from_the_second_that_was_sampled_down(later_ms):
    stream = Lines().seconds(90)
    here = stream.ts
    stream.add(later_ms).add(here - 1 - stream.ts).add(here - stream.ts).add(1_000)
    late = 1 + (later_ms == 1_000)
    assert stream.seconds(60).read().out_of_order == late


def test_the_first_and_the_last_times_of_a_day_are_read_by_the_loop(slow_lines):
    first, last = time_bounds(DAY)
    stream = Lines()
    for ts in (first, last, last):
        stream.add(ts - stream.ts)
    assert stream.read().lines == 4
    assert len(slow_lines) == 1
    for ts in (first - 1, last + 1):
        stream = Lines()
        stream.add(ts - stream.ts)
        assert stream.read().rejected == {"bad_time": 1}


@pytest.mark.parametrize("size", [100, 4_096, 60_000, 60_001, 1_000_000])
@pytest.mark.parametrize("place", [0, 1])
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(place, size, slow_lines):
    limit = ETL.limits.line_bytes
    for more in (0, 1):
        stream = Lines().seconds(5)
        line = stream.lines[place]
        stream.lines[place] = line[:-1] + b" " * (limit + more - len(line)) + b"}"
        slow_lines.clear()
        rejected = stream.read(size=size).rejected
        assert rejected.get("corrupt_json", 0) == more
        assert len(slow_lines) == 1 + more  # the first, and one that is too long


@pytest.mark.parametrize("size", [100, 60_000, 1_000_000])
@pytest.mark.parametrize("more", [0, 1])
def test_a_blank_line_does_not_count_unless_it_is_too_long(more, size):
    stream = Lines().seconds(5)
    stream.lines.insert(3, b" " * (ETL.limits.line_bytes + more))
    stream.lines.insert(1, b"\t \r")
    reading = stream.read(size=size)
    assert reading.lines == 6 + more
    assert reading.rejected.get("corrupt_json", 0) == more


def carried():
    """The state after a minute and a half, and what goes on from there."""
    stream = Lines().seconds(90)
    carry = stream.read().carry
    stream.lines.clear()
    return carry, stream


def test_the_first_message_of_a_file_may_jump_but_not_the_first_after_an_echo():
    for is_echo in (False, True):
        carry, stream = carried()
        if is_echo:
            stream.add(0, step=0)
        stream.add(1_000, BIDS, ASKS, kind="snapshot", step=50).seconds(120)
        assert reasons(stream.read(carry)) == ({1: "gap"} if is_echo else {})


@pytest.mark.parametrize(("kind", "step", "count"), [
    ("snapshot", 0, 119), ("snapshot", 1, 120), ("snapshot", 7, 120), ("delta", 1, 120)
])  # fmt: skip
def test_only_the_snapshot_that_the_file_before_ended_with_adds_nothing(kind, step, count):
    carry, stream = carried()
    stream.add(0, BIDS, ASKS, kind=kind, step=step)
    for _ in range(119):
        stream.add(250)
    reading = stream.seconds(30).read(carry)
    assert reading.features[0, 8] == np.log1p(91 - 60 + count)


@pytest.mark.parametrize("step", [1, 2, -1])
def test_a_snapshot_after_a_corrupt_first_line_is_still_the_first_message(step):
    carry, stream = carried()
    stream.lines.append(b"{")
    stream.add(0, BIDS, ASKS, kind="snapshot", step=step).seconds(120)
    assert reasons(stream.read(carry)) == {1: "corrupt"}


def test_readers_that_have_read_nothing_carry_the_same():
    fast = FastReader(SYMBOL, DAY, ETL, None, None)
    slow = ReferenceReader(SYMBOL, DAY, ETL)
    assert fast.carry().to_bytes() == slow.carry().to_bytes()
    assert (fast.carry().last_update_id, fast.carry().has_book) == (-1, False)


@pytest.mark.parametrize("kind", ["gap", "stale", "no_book"])
def test_so_many_rejected_lines_are_listed_and_nothing_is_written_behind_them(kind):
    stream = Lines().seconds(3)
    if kind != "stale":
        stream.add(0, step=9)
    for _ in range(KEPT_LINES + 5):
        if kind == "gap":
            stream.add(0, BIDS, ASKS, kind="snapshot").add(0, step=2)
        else:
            stream.add(0, step=0 if kind == "stale" else 1)
    assert len(stream.read().rejected_lines) == KEPT_LINES
    reader = FastReader(SYMBOL, DAY, ETL, None, None)
    room = np.full((2 * KEPT_LINES, 2), -5)
    reader._rejected_lines = room[:KEPT_LINES]
    reader._state = reader._shared_state()
    reader.read(chunks(b"\n".join(stream.lines), 4_096))
    assert (room[:KEPT_LINES] != -5).all()
    assert (room[KEPT_LINES:] == -5).all()


@pytest.mark.parametrize("kind", ["delta", "snapshot"])
@pytest.mark.parametrize("step", [-9, -1, 0, 1, 2, 9])
@pytest.mark.parametrize("later_ms", [0, 999, 1_000])
@pytest.mark.parametrize("has_book", [True, False])
def test_ids_are_judged_by_their_steps(has_book, later_ms, step, kind):
    stream = Lines().seconds(179)
    if not has_book:
        stream.add(-1_000, step=9).add(1_000)
    stream.add(later_ms, BIDS, ASKS, kind=kind, step=step).seconds(120).read()


@pytest.mark.parametrize("update_id", [0, 1, 2])
@pytest.mark.parametrize("kind", ["delta", "snapshot"])
@pytest.mark.parametrize("first", [0, 1, 5])
def test_a_restart_is_known_by_its_id_one(first, kind, update_id):
    stream = Lines()
    stream.lines.clear()
    stream.add(0, BIDS, ASKS, kind="snapshot", step=first - 11).seconds(89)
    for later_ms in (0, 1_000):
        stream.add(later_ms, BIDS, ASKS, kind=kind, step=update_id - stream.update_id)
    reading = stream.seconds(120).read()
    if kind == "snapshot" and update_id == 1:
        assert reasons(reading) == {0: "no_previous_close"}


@pytest.mark.parametrize("silent", [4, 5, 6, 7, 60, 600])
@pytest.mark.parametrize("is_known", [True, False])
def test_silences_and_bridges_are_those_of_the_reference(silent, is_known):
    """Also where the line that ends them is one that the parser does not know."""
    stream = Lines().seconds(150).add(1_000 * silent)
    if not is_known:
        stream.lines[-1] = stream.lines[-1].replace(b'{"topic"', b'{"id":0,"topic"')
    stream.seconds(120).read()
