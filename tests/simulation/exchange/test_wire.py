"""Messages letter by letter as the venue writes them, and frames read back by their definition."""

from __future__ import annotations

import itertools
import json

import pytest

from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.simulation.exchange.truth import TrueEvent
from quantgod.simulation.exchange.wire import (
    answer,
    depth_event,
    depth_snapshot,
    fragments,
    in_stream,
    ping_frame,
    refusal,
    sides,
)


@pytest.mark.parametrize(("final", "lag"), [(100, 0), (101, 1), (104, 4), (109, 4)])
def test_an_event_is_sent_within_five_ms_by_a_clock_that_may_be_off(final: int, lag: int) -> None:
    change = DepthEvent("BTCUSDT", 5_000, 90, final, 80, [(1.5, 2.0)], [])
    event = TrueEvent(change, sides(change.bids, change.asks))
    for step in (0, 2_000, -2_000):
        sent, happened = 5_000 + step + lag, 5_000 + step
        assert depth_event(event, step).decode() == (
            f'{{"e":"depthUpdate","E":{sent},"T":{happened},"s":"BTCUSDT","U":90,"u":{final},'
            '"pu":80,"b":[["1.5","2.0"]],"a":[]}'
        )
    assert depth_event(event) == depth_event(event, 0)


def test_a_snapshot_tells_the_time_of_its_book_and_its_own() -> None:
    snapshot = DepthSnapshot(7, 5_000, [(1.5, 2.0), (1.25, 1e-05)], [(2e-05, 1.0)])
    for step in (0, 300, -300):
        assert depth_snapshot(snapshot, 6_000, step).decode() == (
            f'{{"lastUpdateId":7,"E":{6_000 + step},"T":{5_000 + step},'
            '"bids":[["1.5","2.0"],["1.25","0.00001"]],"asks":[["0.00002","1.0"]]}'
        )
    assert depth_snapshot(snapshot, 6_000) == depth_snapshot(snapshot, 6_000, 0)


def test_answers_are_wrapped_as_the_venue_wraps_them() -> None:
    assert in_stream(b"x@depth", b"{}") == b'{"stream":"x@depth","data":{}}'
    assert refusal(-1121, "No.") == b'{"code":-1121,"msg":"No."}'
    assert answer(3) == b'{"result":null,"id":3}'
    assert json.loads(answer("a", ["x"])) == {"result": ["x"], "id": "a"}


def unframed(data: bytes) -> tuple[int, bytes]:
    """First byte and payload of an unmasked frame, by RFC 6455 section 5.2."""
    size, begin = data[1], 2
    if size == 126:
        size, begin = int.from_bytes(data[2:4], "big"), 4
        assert size >= 126
    elif size == 127:
        size, begin = int.from_bytes(data[2:10], "big"), 10
        assert size >= 1 << 16
    assert len(data) == begin + size
    return data[0], data[begin:]


@pytest.mark.parametrize(
    "size", [1, 2, 3, 4, 375, 378, 379, 381, 3 * 65_535, 3 * 65_535 + 1, 3 * 65_536, 300_000]
)
def test_fragments_are_frames_of_one_text(size: int) -> None:
    payload = bytes(itertools.islice(itertools.cycle(range(256)), size))
    heads, parts = zip(*map(unframed, fragments(payload, 3)), strict=True)
    assert b"".join(parts) == payload
    assert {len(part) for part in parts[:-1]} <= {-(-size // 3)}
    assert len(heads) == min(3, -(-size // -(-size // 3)))
    opcodes, ends = [head & 0x7F for head in heads], [head >> 7 for head in heads]
    assert opcodes == [1] + [0] * (len(heads) - 1)
    assert ends == [0] * (len(heads) - 1) + [1]


@pytest.mark.parametrize("size", [0, 1, 125])
def test_a_ping_is_one_frame(size: int) -> None:
    assert unframed(ping_frame(b"p" * size)) == (0x89, b"p" * size)
