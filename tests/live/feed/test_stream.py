"""One connection, by clocks that the test sets: what counts as silence, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close

from quantgod.live.feed import stream as streaming
from quantgod.live.feed.stream import Stream, StreamEnded
from quantgod.settings import load_settings
from tests.test_settings import FULL

BTC, ETH = "BTCUSDT", "ETHUSDT"
SETTINGS = load_settings(FULL).live.feed.model_copy(
    update={"silent_seconds": 5.0, "first_message_seconds": 20.0}
)


def looked_at(look: Callable[[Stream], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at a connection that is never opened, as if it were open in `look`."""

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        stream = Stream("ws://host", [BTC, ETH], SETTINGS, lambda _: None, lambda *_: None)
        assert stream.url == "ws://host?streams=btcusdt@depth@100ms/ethusdt@depth@100ms"
        assert stream.ended is None
        assert stream.silence(1e9) is None, "it is not open"
        assert stream.silent_symbols(1e9) == []
        stream.opened = 1_000.0
        look(stream)
        await stream.close()
        assert stream.task.cancelled()

    monkeypatch.setattr(streaming, "connect", never)
    asyncio.run(run())


def test_silence_is_more_than_as_long_as_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(stream: Stream) -> None:
        assert stream.silence(1_020.0) is None
        never = stream.silence(1_020.5)
        assert never is not None
        assert (never.code, never.is_refusal) == ("silent_stream", False)
        assert "opened 20.5 s ago" in str(never)
        stream.heard = {BTC: 1_030.0, ETH: 1_040.0}
        assert stream.silence(1_045.0) is None
        quiet = stream.silence(1_045.5)
        assert quiet is not None
        assert (quiet.code, str(quiet)) == ("silence", "no depth for 5.5 s")

    looked_at(look, monkeypatch)


def test_a_symbol_is_silent_alone_by_its_own_last_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(stream: Stream) -> None:
        assert stream.silent_symbols(1_020.0) == []
        assert stream.silent_symbols(1_020.5) == [BTC, ETH]
        stream.heard = {ETH: 1_020.0}
        assert stream.silent_symbols(1_020.0) == []
        assert stream.silent_symbols(1_020.5) == [BTC]
        assert stream.silent_symbols(1_025.0) == [BTC]
        assert stream.silent_symbols(1_025.5) == [BTC, ETH]

    looked_at(look, monkeypatch)


class Line:
    """An open connection with messages at hand; then it ends as `end` says."""

    def __init__(self, count: int, end: Exception) -> None:
        self.left = count
        self.end = end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close nothing."""

    async def recv(self, *, decode: bool) -> bytes:
        assert decode is False
        if not self.left:
            raise self.end
        self.left -= 1
        return b"%d" % self.left


def closed(*, sent: int | None, received: int | None, received_first: bool | None) -> Exception:
    frames = [Close(code, "") if code else None for code in (received, sent)]
    return ConnectionClosedError(*frames, received_first)


def read(line: Line, monkeypatch: pytest.MonkeyPatch, step: float = 0.0) -> tuple[Any, list[str]]:
    """Return how the stream ended, and what happened: messages, and turns of another task."""
    order: list[str] = []
    clock = SimpleNamespace(now=100.0, time=lambda: 5.0)

    def monotonic() -> float:
        return clock.now

    def take(stream: Stream, data: bytes, received: float) -> None:
        order.append(data.decode())
        clock.now += step

    async def other() -> None:
        while True:
            order.append("turn")
            await asyncio.sleep(0)

    async def opened(*_: Any, **__: Any) -> Line:
        return line

    async def run() -> StreamEnded:
        stream = Stream("ws://host", [BTC], SETTINGS, lambda one: order.append("open"), take)
        task = asyncio.create_task(other())
        ended = await asyncio.wait_for(stream.task, 10)
        task.cancel()
        assert (stream.opened, stream.since) == (100.0, 5.0)
        assert stream.ended is ended
        return ended

    clock.monotonic = monotonic
    monkeypatch.setattr(streaming, "time", clock)
    monkeypatch.setattr(streaming, "connect", opened)
    return asyncio.run(run()), order


def test_others_get_a_turn_after_so_long_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message takes a quarter of what may be taken at a stretch."""
    end = ConnectionClosedOK(Close(1000, ""), Close(1000, ""), True)
    monkeypatch.setattr(streaming, "TURN_SECONDS", 1.0)
    _, order = read(Line(14, end), monkeypatch, step=0.25)
    told = " ".join(order[order.index("open") : order.index("0") + 1])
    assert told == "open 13 12 11 10 9 8 turn 7 6 5 4 3 2 turn 1 0"


@pytest.mark.parametrize(
    ("sent", "received", "received_first", "code"),
    [
        (1009, None, None, "oversized_frame"),
        (1009, 1009, False, "oversized_frame"),
        (1002, None, None, "protocol_error"),
        (1002, 1002, False, "protocol_error"),
        (1009, 1009, True, "connection_closed"),
        (1000, 1000, True, "connection_closed"),
        (None, 1001, None, "connection_closed"),
        (None, None, None, "connection_lost"),
    ],
)
def test_an_end_is_named_by_who_closed_first_and_why(
    sent: int | None,
    received: int | None,
    received_first: bool | None,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = closed(sent=sent, received=received, received_first=received_first)
    ended, order = read(Line(1, end), monkeypatch)
    assert (ended.code, ended.is_refusal, ended.retry_after) == (code, False, None)
    assert order[:2] == ["open", "0"]
