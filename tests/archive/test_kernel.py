from __future__ import annotations

import datetime as dt
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed

from quantgod.archive import loop
from quantgod.archive.day_reading import Carry, DayReading, time_bounds
from quantgod.archive.dense_book import BASE, Unfit
from quantgod.archive.kernel import FastReader, read_archive
from quantgod.archive.levels import LEVELS
from quantgod.archive.reference import ReferenceReader, admit, read_archive_reference
from quantgod.archive.source import Quarantine, SourceKey
from quantgod.archive.zip_stream import lines
from quantgod.market.messages import MessageError
from quantgod.market.minute_kernel import CLOCK, NEXT
from quantgod.settings import EtlSettings
from tests.archive.streams import (
    FAULTS,
    MIDNIGHT,
    SYMBOL,
    Market,
    encode,
    etl_settings,
    message,
    stream,
)

DAY = dt.date(2024, 12, 1)
KEY = SourceKey("x", 0, 0, 0)
Reader = Callable[..., DayReading]
EXCERPT = Path("../shared/data/2024-12-01_XRPUSDT_ob500.data.zip")
needs_excerpt = pytest.mark.skipif(
    not EXCERPT.exists(), reason="the real recording is not beside the project"
)


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read_fast(
    data: bytes, etl: EtlSettings, carry: Carry | None, stop: int | None = None, size: int = 4096
) -> DayReading:
    reader = FastReader(SYMBOL, DAY, etl, carry, stop)
    reader.read(chunks(data, size))
    return reader.settled().reading(SYMBOL, DAY, KEY, reader.carry())


def read_slow(
    data: bytes, etl: EtlSettings, carry: Carry | None, stop: int | None = None, size: int = 4096
) -> DayReading:
    reader = ReferenceReader(SYMBOL, DAY, etl, carry)
    for line in lines(chunks(data, size), etl.limits.line_bytes):
        reader.take(line)
        if reader.ledger.stops_at(stop):
            break
    else:
        reader.finish()
    return reader.ledger.reading(SYMBOL, DAY, KEY, reader.carry())


def bits(reading: DayReading) -> dict[str, object]:
    """Everything a reading holds, arrays and the carry as bytes."""
    values = dict(vars(reading))
    for name in ("minutes", "features", "seconds", "close", "book"):
        values[name] = (values[name].shape, values[name].tobytes())
    return values | {"carry": reading.carry.to_bytes()}


streams = st.builds(
    stream,
    seed=st.integers(0, 2**32),
    length=st.integers(1, 120),
    faults=st.lists(st.sampled_from(sorted(FAULTS)), max_size=6),
    stride_ms=st.sampled_from([50, 700, 2_500, 20_000]),
    decimals=st.sampled_from([4, 5, 9]),
)
etls = st.builds(etl_settings, silence=st.sampled_from([1, 5, 70]), bridge=st.sampled_from([0, 5]))


def outcome(read: Reader, *arguments: Any) -> object:
    try:
        return bits(read(*arguments))
    except Quarantine as verdict:
        return verdict.reason, verdict.detail


@settings(max_examples=75, deadline=None)
@given(
    parts=streams,
    etl=etls,
    size=st.integers(100, 9_000),
    stop=st.none() | st.integers(0, 9),
    share=st.sampled_from([0.0, 0.0, 0.3, 0.6]),
)
@example(
    stream(3, 40, ["snapshot that follows"] * 9, stride_ms=700), etl_settings(), 400, None, 0.3
)
def test_the_fast_reader_equals_the_reference_on_every_bit(parts, etl, size, stop, share):
    """Also from the state that a file before left, whose last line may come again."""
    cut = round(share * len(parts))
    try:
        carry = read_slow(b"\n".join(parts[:cut]), etl, None).carry if cut else None
    except Quarantine:
        carry = None
    data = b"\n".join(parts[max(0, cut - 1) :])
    stop_minute = None if stop is None else MIDNIGHT // 60_000 + stop
    try:
        fast = outcome(read_fast, data, etl, carry, stop_minute, size)
    except Unfit:
        return  # `read_archive` then gives the file to the reference
    assert fast == outcome(read_slow, data, etl, carry, stop_minute, size + 1)


def test_the_snapshot_that_two_files_share_is_counted_once_by_the_fast_reader_too():
    """Where the first file ends with it, and the second begins with it."""
    market, etl = Market(1, 700), etl_settings()
    lines = [encode(market.snapshot())]
    for place in range(600):
        market.step()
        lines.append(encode(market.delta() if place != 300 else market.snapshot()))
    once = read_slow(b"\n".join(lines), etl, None)
    carry = read_slow(b"\n".join(lines[:302]), etl, None).carry
    data = b"\n".join(lines[301:])
    fast = read_fast(data, etl, carry)
    assert bits(fast) == bits(read_slow(data, etl, carry))
    assert fast.features.tobytes() == once.features[-len(fast.features) :].tobytes()
    assert fast.seconds.tobytes() == once.seconds[-len(fast.seconds) :].tobytes()


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_leaves_both_readers_in_the_same_state(fault):
    data = b"\n".join(stream(1, 60, [fault, fault], stride_ms=2_500)) + b"\n"
    etl = etl_settings(silence=10)
    slow = read_slow(data, etl, None)
    assert slow.lines == slow.applied + sum(slow.rejected.values())
    try:
        for size in (4_096, len(data)):  # a long line in pieces, and in one piece with others
            assert bits(read_fast(data, etl, None, size=size)) == bits(slow)
    except Unfit:
        assert fault in UNFIT


UNFIT = {"price very far", "price very fine", "price tiny", "price far"}


def read(data: bytes, etl: EtlSettings, carry: Carry | None) -> DayReading:
    try:
        return read_fast(data, etl, carry)
    except Unfit:
        return read_slow(data, etl, carry)


@settings(max_examples=50, deadline=None)
@given(parts=streams, etl=etls, share=st.floats(0, 1))
@example(stream(4, 90, ["restart by delta", "snapshot of the same id"]), etl_settings(), 0.5)
@example(stream(5, 90, ["cut off", "restart", "gap"], stride_ms=2_500), etl_settings(), 0.7)
def test_a_stream_in_two_files_equals_the_stream_in_one(parts, etl, share):
    cut = round(share * len(parts))
    try:
        whole = read(b"\n".join(parts), etl, None)
        first = read(b"\n".join(parts[:cut]), etl, None)
        carry = Carry.from_bytes(first.carry.to_bytes())
        second = read(b"\n".join(parts[cut:]), etl, carry)
    except Quarantine:
        assume(False)
    # The first message of a file may jump, and a file's end closes a minute whose last second has
    # a message: there two files are meant to differ from one.
    assume(not starts_with_snapshot(parts[cut:]))
    assume(first.carry.integers[CLOCK] == first.carry.integers[NEXT])
    for name in ("minutes", "features", "seconds", "close", "book"):
        joined = np.concatenate([getattr(first, name), getattr(second, name)])
        assert joined.tobytes() == getattr(whole, name).tobytes()
    assert first.dropped + second.dropped == whole.dropped
    assert Counter(first.rejected) + Counter(second.rejected) == Counter(whole.rejected)
    for name in ("lines", "applied", "out_of_order"):
        assert getattr(first, name) + getattr(second, name) == getattr(whole, name)
    assert second.carry.to_bytes() == whole.carry.to_bytes()


@pytest.mark.parametrize("count", [LEVELS - 1, LEVELS, LEVELS + 1])
def test_a_side_as_long_as_the_parser_holds_equals_the_reference(count):
    asks = [[f"{2 + k / 1e4:.4f}", "2.5"] for k in range(count)]
    data = encode(message(MIDNIGHT, 1, [["1.9000", "3"]], asks, kind="snapshot"))
    etl = etl_settings(line_bytes=200_000)
    fast = read_fast(data, etl, None)
    assert len(fast.carry.asks) == count
    assert bits(fast) == bits(read_slow(data, etl, None))


def test_more_bids_and_more_asks_than_the_parser_holds_stay_apart():
    """A bid beyond the last place would lie where the asks begin."""
    sides = [
        [[f"{2 + sign * (k + 1) / 1e4:.4f}", str(k + 1)] for k in range(LEVELS + 1)]
        for sign in (-1, 1)
    ]
    lines = [message(MIDNIGHT, 1, [["1.0001", "3"]], [["3.0002", "3"]], kind="snapshot")]
    lines += [message(MIDNIGHT + 1, 2, sides[0], []), message(MIDNIGHT + 2, 3, *sides)]
    data, etl = b"\n".join(map(encode, lines)), etl_settings(line_bytes=400_000)
    for size in (4_096, len(data)):
        fast = read_fast(data, etl, None, size=size)
        assert (len(fast.carry.bids), len(fast.carry.asks)) == (LEVELS + 2, LEVELS + 2)
        assert bits(fast) == bits(read_slow(data, etl, None))


@pytest.mark.parametrize("way", [1, -1])
def test_a_price_that_drifts_tick_by_tick_over_the_windows_edge_equals_the_reference(way):
    """The last place of the window holds a level, the one behind it makes the book move."""
    snapshot = message(
        MIDNIGHT, 1, [["1.9000", "3"]], [["1.9001", "3"], ["1.9003", "3"]], kind="snapshot"
    )
    reader = FastReader(SYMBOL, DAY, etl_settings(), None, None)
    reader.read(chunks(encode(snapshot), 4_096))
    first, width = int(reader._book.edges[BASE]), reader._book.sizes.shape[1]
    edge = first + width - 1 if way > 0 else first
    lines = [snapshot]
    for place in range(-4, 5):
        tick = edge + way * place
        level = [f"{tick / 10_000:.4f}", f"{place + 9}.5"]
        lines.append(message(MIDNIGHT + place + 9, len(lines) + 1, [level], [level]))
        data = b"\n".join(map(encode, lines))
        fast = read_fast(data, etl_settings(), None)
        assert len(fast.carry.bids) == len(lines)
        assert bits(fast) == bits(read_slow(data, etl_settings(), None))


@needs_excerpt
def test_both_readers_agree_on_the_real_excerpt():
    arguments = (EXCERPT, "XRPUSDT", DAY, etl_settings())
    assert bits(read_archive(*arguments)) == bits(read_archive_reference(*arguments))


def test_a_file_that_no_dense_book_can_hold_is_read_by_the_reference(tmp_path):
    data = b"\n".join(stream(5, 50, ["price very far", "price very fine"], stride_ms=2_000))
    with zipfile.ZipFile(tmp_path / "day.zip", "w") as target:
        target.writestr("day.data", data)
    with pytest.raises(Unfit):
        read_fast(data, etl_settings(), None)
    arguments = (tmp_path / "day.zip", SYMBOL, DAY, etl_settings())
    assert bits(read_archive(*arguments)) == bits(read_archive_reference(*arguments))


def test_a_carry_of_another_symbol_is_refused_by_the_fast_reader_too():
    carry = read_fast(b"\n".join(stream(1, 5, [])), etl_settings(), None).carry
    with pytest.raises(ValueError, match="XRPUSDT"):
        FastReader("BTCUSDT", DAY, etl_settings(), carry, None)


@pytest.mark.long
def test_processes_take_what_was_compiled_from_the_disk():
    read_fast(b"\n".join(stream(1, 5, [])), etl_settings(), None)
    hits, misses = Parallel(n_jobs=2)(delayed(cache_use)() for _ in range(2))[0]
    assert hits
    assert not misses


def cache_use() -> tuple[int, int]:
    """Read in this process; how often its compiled code was found on disk, and how often not."""
    read_fast(b"\n".join(stream(2, 5, [])), etl_settings(), None)
    stats = loop.compiled_loop.take_lines.stats
    return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())


def starts_with_snapshot(parts: list[bytes]) -> bool:
    for line in parts:
        try:
            return admit(line, SYMBOL, time_bounds(DAY)).is_snapshot
        except MessageError:
            continue
    return False
