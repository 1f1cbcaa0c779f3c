from __future__ import annotations

from concurrent.futures import Future

import pyarrow as pa
import pytest

from quantgod.live.journal import buffer as buffering
from quantgod.live.journal.buffer import TableBuffer
from quantgod.live.journal.notices import JournalError

SCHEMA = pa.schema([("place", pa.int64()), ("data", pa.binary())])
WEIGHT = buffering._weight((0, bytes(100)))


def filled(sizes: list[int], row_limit: int = 1_000) -> TableBuffer:
    buffer = TableBuffer("RAW", SCHEMA, row_limit)
    for place, size in enumerate(sizes):
        buffer.put({"place": place, "data": bytes(size)})
    return buffer


def batches(buffer: TableBuffer) -> list[int]:
    """Rows of each chunk until nothing waits; every row comes once, in order."""
    taken, places = [], []
    while chunk := buffer.oldest():
        taken.append(chunk.taken)
        places += chunk.batch["place"].to_pylist()
        buffer.done(chunk)
    assert places == list(range(len(places)))
    assert buffer.acknowledged == sum(taken)
    return taken


def test_a_row_weighs_its_bytes_and_as_much_for_every_value_that_it_has():
    of_one, of_ten = buffering._weight((0,)), buffering._weight((0,) * 10)
    assert of_ten == 10 * of_one >= 10 * 8
    assert buffering._weight((0, bytes(100), b"ab")) == 3 * of_one + 102


@pytest.mark.parametrize(("spare", "rows"), [(0, [3, 3, 1]), (-1, [2, 2, 2, 1]), (1, [3, 3, 1])])
def test_a_batch_is_filled_to_its_last_byte(spare, rows, monkeypatch):
    monkeypatch.setattr(buffering, "BATCH_BYTES", 3 * WEIGHT + spare)
    assert batches(filled([100] * 7)) == rows


def test_a_row_larger_than_a_batch_goes_alone(monkeypatch):
    monkeypatch.setattr(buffering, "BATCH_BYTES", 2 * WEIGHT)
    assert batches(filled([900, 100, 900, 100, 100, 900])) == [1, 1, 1, 2, 1]


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 7])
def test_a_promise_is_kept_with_its_own_row_and_not_before(batch_rows, monkeypatch):
    """Also of a second filling; a row that fits no column has its own told so, and no other."""
    monkeypatch.setattr(buffering, "BATCH_ROWS", batch_rows)
    buffer = TableBuffer("RAW", SCHEMA, 100)
    for _ in range(2):
        promises = [Future() for _ in range(7)]
        for place, promise in enumerate(promises):
            buffer.put({"place": "no number" if place == 4 else place, "data": b""}, promise)
        taken = 0
        while chunk := buffer.oldest():
            buffer.done(chunk)
            taken += chunk.taken
            assert [promise.done() for promise in promises] == [k < taken for k in range(7)]
        failed = [promise.exception() is not None for promise in promises]
        assert failed == [place == 4 for place in range(7)]
    assert (buffer.acknowledged, buffer.refused) == (12, 2)


def test_rows_that_are_given_up_break_their_promises_and_are_counted():
    buffer, promises = TableBuffer("RAW", SCHEMA, 100), [Future() for _ in range(3)]
    for place, promise in enumerate(promises):
        buffer.put({"place": place, "data": b""}, promise)
        buffer.put({"place": place, "data": b""})
    assert (buffer.give_up(), len(buffer)) == (6, 0)
    assert all(isinstance(promise.exception(), JournalError) for promise in promises)
    assert (buffer.give_up(), buffer.acknowledged) == (0, 0)


@pytest.mark.parametrize("rows", [1, 4, 5])
def test_a_batch_is_filled_to_its_last_row(rows, monkeypatch):
    monkeypatch.setattr(buffering, "BATCH_ROWS", rows)
    assert batches(filled([1] * 5)) == {1: [1] * 5, 4: [4, 1], 5: [5]}[rows]


def test_a_buffer_is_filled_to_its_last_row():
    buffer = filled([1] * 5, row_limit=3)
    assert (len(buffer), buffer.dropped) == (3, 2)
    assert batches(buffer) == [3]
    assert buffer.put({"place": 0, "data": b""})


@pytest.mark.parametrize(("spare", "kept"), [(0, 3), (-1, 2)])
def test_a_buffer_is_filled_to_its_last_byte_and_has_room_again_when_that_is_done(
    spare, kept, monkeypatch
):
    monkeypatch.setattr(buffering, "BUFFER_BYTES", 3 * WEIGHT + spare)
    buffer = filled([100] * 5)
    for _ in range(3):
        assert (len(buffer), buffer.dropped) == (kept, 5 - kept)
        assert batches(buffer) == [kept]
        buffer.dropped = buffer.acknowledged = 0
        for place in range(5):
            buffer.put({"place": place, "data": bytes(100)})
    assert buffer.give_up() == kept
    put = [buffer.put({"place": 0, "data": bytes(100)}) for _ in range(kept + 1)]
    assert put == [True] * kept + [False]
