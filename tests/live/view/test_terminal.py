"""What a terminal shows, what a log file gets instead, and how often."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from quantgod.live.view import lag as lagging
from quantgod.live.view import terminal
from quantgod.live.view.lag import LoopLag
from quantgod.live.view.logs import logging_to
from quantgod.live.view.status import Status, SymbolStatus, in_time
from quantgod.live.view.terminal import show, view

SYMBOL = SymbolStatus("BTCUSDT", "synced", True, 87.0, "noon close 9", 0, "BUY 0.6", "drift: body")


def status(*symbols: SymbolStatus, **changes: Any) -> Status:
    return Status(
        **{"title": "quantgod live", "symbols": symbols, "loop_lag_ms": 4.2, "journal": "82 rows"}
        | changes
    )


def drawn(shown: Status) -> str:
    out = io.StringIO()
    Console(file=out, width=150, force_terminal=True, color_system="standard").print(view(shown))
    return out.getvalue()


GREEN, RED, YELLOW = "\x1b[32m", "\x1b[1;31m", "\x1b[33m"


def test_a_book_is_green_or_red_and_the_foot_tells_model_lag_and_journal() -> None:
    text = drawn(status(SYMBOL, model="quantgod 3"))
    assert f"{GREEN}synced" in text
    assert RED not in text
    assert YELLOW not in text, "there is nothing to note"
    assert "quantgod 3  ·  loop lag 4 ms  ·  journal 82 rows" in text
    away = SymbolStatus("BTCUSDT", "out of sync", False)
    text = drawn(status(away, note="gap: wss://me:sesame@host"))
    assert f"{RED}out of sync" in text
    assert f"{YELLOW}gap: wss://me:***@host" in text
    assert "·  loop lag" not in text


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        ({}, ["symbol", "book", "lag", "last bar", "signal", "drift"]),
        ({"drift": ""}, ["symbol", "book", "lag", "last bar", "signal"]),
        ({"last_bar": "", "signal": ""}, ["symbol", "book", "lag", "drift"]),
        ({"lag_ms": None, "drift": "", "last_bar": "", "signal": ""}, ["symbol", "book", "lag"]),
        (
            {"last_bar": "", "signal": "", "missing": 3},
            ["symbol", "book", "lag", "signal", "drift"],
        ),
    ],
)
def test_columns_beyond_the_third_are_shown_where_a_symbol_has_something_in_them(
    changes: dict[str, Any], columns: list[str]
) -> None:
    values = vars(SYMBOL) | changes
    shown = status(SymbolStatus(**values))
    out = io.StringIO()
    Console(file=out, width=150).print(view(shown))
    head = next(line for line in out.getvalue().splitlines() if "symbol" in line)
    assert [cell.strip() for cell in head.strip(" ┃").split("┃")] == columns
    other = status(SymbolStatus(**values), SYMBOL)
    assert all(word in drawn(other) for word in ("noon close 9", "BUY 0.6", "drift: body", "87 ms"))


def test_a_window_that_is_not_full_says_what_it_lacks_in_both_views() -> None:
    values = vars(SYMBOL) | {"missing": 3}
    for text in (drawn(status(SymbolStatus(**values))), status(SymbolStatus(**values)).as_line()):
        assert "3 minutes missing" in text
        assert "BUY" not in text
    assert status(SYMBOL).as_line() == (
        "BTCUSDT synced, lag 87 ms; bar noon close 9; signal BUY 0.6; drift: body"
        " | loop lag 4 ms | journal 82 rows"
    )
    bare = SymbolStatus("X", "synced", True, None, "", 0, "")
    assert status(bare).as_line() == "X synced | loop lag 4 ms | journal 82 rows"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0.0, "0 ms"), (1_999.0, "1999 ms"), (2_000.0, "2.0 s"), (-2_000.0, "-2.0 s"),
        (119_900.0, "119.9 s"), (120_000.0, "2.0 min"), (7_199_000.0, "120.0 min"),
        (7_200_000.0, "2.0 h"), (172_700_000.0, "48.0 h"), (172_800_000.0, "2.0 days"),
    ],
)  # fmt: skip
def test_a_time_is_told_in_the_largest_unit_of_which_it_has_two(ms: float, text: str) -> None:
    assert in_time(ms) == text


def played(
    kind: str, is_terminal: bool, monkeypatch: pytest.MonkeyPatch, turns: int = 3
) -> tuple[list[str], str, list[float]]:
    """Let a view run for some turns; gives the log, the terminal and what was slept."""
    out, log, slept, shown = io.StringIO(), io.StringIO(), list[float](), list[int]()
    console = Console(file=out, width=150, force_terminal=is_terminal)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > turns:
            raise asyncio.CancelledError

    def now() -> Status:
        shown.append(1)
        return status(SymbolStatus("BTCUSDT", f"shown {len(shown)}", True))

    async def play() -> None:
        with pytest.raises(asyncio.CancelledError):
            await show(now, kind, console)

    monkeypatch.setattr(terminal, "asyncio", SimpleNamespace(sleep=sleep))
    with logging_to("text", log):
        asyncio.run(play())
    return log.getvalue().splitlines(), out.getvalue(), slept


@pytest.mark.parametrize(
    ("kind", "is_terminal"), [("text", False), ("json", True), ("json", False)]
)
def test_without_a_terminal_there_is_a_line_a_minute(
    kind: str, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, out, slept = played(kind, is_terminal, monkeypatch)
    assert out == ""
    assert slept == [60.0] * 4
    assert [f"shown {number}" in line for number, line in enumerate(lines, 1)] == [True] * 3


def test_on_a_terminal_the_view_is_drawn_anew_twice_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines, out, slept = played("text", True, monkeypatch)
    assert lines == []
    assert slept == [0.5] * 4
    assert all(f"shown {number}" in out for number in (1, 2, 3, 4))


def test_the_lag_is_the_time_over_what_was_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, late = [100.0], iter([0.0, 0.25, 0.5, 1.0, 0.75])
    lag = LoopLag()

    async def sleep(seconds: float) -> None:
        wait = next(late, None)
        if wait is None:
            raise asyncio.CancelledError
        clock[0] += seconds + wait

    loop = SimpleNamespace(time=lambda: clock[0])
    fake = SimpleNamespace(sleep=sleep, get_running_loop=lambda: loop)
    monkeypatch.setattr(lagging, "asyncio", fake)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(lag.run())
    found: Callable[[float], float] = lag.quantile
    assert [found(share) for share in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([0.0, 0.5, 0.75, 1.0])
    assert LoopLag().quantile(0.5) == 0.0
