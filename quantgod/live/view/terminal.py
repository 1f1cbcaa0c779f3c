"""Show the status view on a terminal, or occasional lines elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from quantgod.live.view.logs import say
from quantgod.live.view.status import (
    Status,
    SymbolStatus,
    cold_in_words,
    in_time,
    missing_in_words,
    shadow_in_words,
)
from quantgod.settings import without_passwords

REFRESH_SECONDS: Final = 0.5
LINE_SECONDS: Final = 60.0
HEADERS: Final = ("symbol", "book", "lag", "last bar", "signal", "drift")
FEWEST: Final = 3
"""Columns that are always shown, so that the view does not jump at the start."""


async def show(status: Callable[[], Status], kind: str, console: Console) -> None:
    """Show `status()` until cancelled, as a redrawn view or as log lines.

    Args:
        status: returns the present status; called in the event loop.
        kind: `text` or `json`; JSON never draws a view.
        console: output; if it is not a terminal it gets lines.
    """
    if not console.is_terminal or kind == "json":
        while True:
            await asyncio.sleep(LINE_SECONDS)
            now = status()
            say(logging.INFO, "status", now.as_line(), **now.as_values())
    with Live(view(status()), console=console, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            live.update(view(status()), refresh=True)


def view(status: Status) -> RenderableType:
    """Return the whole view."""
    rows = [_row(symbol) for symbol in status.symbols]
    # A recording has no bars and signals: columns without any value are left out.
    shown = [
        place for place in range(len(HEADERS)) if place < FEWEST or any(r[place] for r in rows)
    ]
    table = Table(*[HEADERS[place] for place in shown], title=status.title)
    for row in rows:
        table.add_row(*[row[place] for place in shown])
    model = f"{status.model}  ·  " if status.model else ""
    foot = f"{model}loop lag {status.loop_lag_ms:.0f} ms  ·  journal {status.journal}"
    lines: list[RenderableType] = [table, Text(without_passwords(foot), style="dim")]
    if status.note:
        lines.append(Text(without_passwords(status.note), style="yellow"))
    return Group(*lines)


def _row(one: SymbolStatus) -> tuple[str | Text, ...]:
    lag = "" if one.lag_ms is None else in_time(one.lag_ms)
    speaks = one.signal and one.signal + shadow_in_words(one.shadow_missing)
    if one.missing:
        speaks = missing_in_words(one.missing, one.warming)
    speaks += f"; {cold_in_words(one.cold)}" if one.cold else ""
    book = Text(one.book, style="green" if one.is_synced else "bold red")
    return one.symbol, book, lag, one.last_bar, speaks, one.drift
