"""Make the charts of the past hours: each symbol's price with its signals, and its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from quantgod.api.desk import Desk
from quantgod.api.journal import BARS, SIGNALS, VOTES, Row, Which, newest_rows, rows_between
from quantgod.api.page.drawing import Drawing, Line, Mark, Point, draw, number, time_of
from quantgod.live.journal import JournalError

MINUTES: Final = 120
PRODUCTION: Final = Which(role="Production")
ACTED: Final = ("BUY", "SELL")

Span = tuple[int, int] | None


class Chart(NamedTuple):
    """A chart, and the same in words and as a table for who does not see it."""

    name: str
    title: str
    summary: str
    drawing: Drawing
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def charts(desk: Desk) -> dict[str, Any]:
    """Return the charts of the newest `MINUTES` of each symbol.

    Raises:
        JournalError: if there is no journal with bars.
    """
    newest = next(newest_rows(desk.journal, Which(), BARS), None)
    until = 0 if newest is None else int(newest["minute"]) + 1
    since = until - MINUTES
    bars = rows_between(desk.journal, Which(), since, until, BARS)
    signals, votes = (_between(desk.journal, since, until, table) for table in (SIGNALS, VOTES))
    drawn: list[Chart | None] = []
    for symbol in sorted({row["symbol"] for row in bars}):
        own, voted = _of(symbol, bars), _of(symbol, votes)
        minutes = [row["minute"] for row in (*own, *voted)]
        span = min(minutes), max(minutes)  # one minute stands at one place in both
        drawn.append(price_chart(symbol, own, _of(symbol, signals), span))
        drawn.append(weights_chart(symbol, voted, span))
    return {"charts": [chart for chart in drawn if chart is not None]}


def price_chart(
    symbol: str, bars: Sequence[Row], signals: Sequence[Row], span: Span = None
) -> Chart | None:
    """Return a chart of the close with a mark at each minute that is acted on; None if empty.

    Args:
        symbol: of all rows.
        bars: rows of BARS, sorted by minute.
        signals: rows of SIGNALS, sorted by minute.
        span: first and last minute of the axis; by default those of the bars.
    """
    closes = {row["minute"]: row["close"] for row in bars}
    said = {row["minute"]: row for row in signals}
    marks = [
        Mark(minute, closes[minute], row["action"], f"{time_of(minute)} {acted(row)}")
        for minute, row in said.items()
        if row["action"] in ACTED and closes.get(minute) is not None
    ]
    drawing = draw([Line("close", [Point(*one) for one in closes.items()])], marks, span)
    if drawing is None:
        return None
    known = {minute: close for minute, close in closes.items() if close is not None}
    first, last = min(known), max(known)
    times = Counter(mark.kind for mark in marks)
    summary = (
        f"{number(known[first])} at {time_of(first)}, {number(known[last])} at {time_of(last)} "
        f"UTC, between {number(min(known.values()))} and {number(max(known.values()))}. "
        f"Acted on: {times['BUY']} BUY, {times['SELL']} SELL."
    )
    rows = [
        (
            time_of(minute),
            "no row" if close is None else number(close),
            acted(said[minute]) if minute in said else "-",
        )
        for minute, close in reversed(closes.items())
    ]
    head = ("minute, UTC", "close", "action")
    return Chart("price", f"{symbol}: price and signals", summary, drawing, head, rows)


def weights_chart(symbol: str, votes: Sequence[Row], span: Span = None) -> Chart | None:
    """Return a chart of each member's share of all weights; None if there are none.

    Args:
        symbol: of all rows.
        votes: rows of VOTES, sorted by minute.
        span: first and last minute of the axis; by default those of the votes.
    """
    shares = {row["minute"]: _shares(row) for row in votes}
    members = tuple(dict.fromkeys(name for one in shares.values() for name in one))
    lines = [
        Line(name, [Point(minute, one.get(name)) for minute, one in shares.items()])
        for name in members
    ]
    drawing = draw(lines, span=span)
    if drawing is None:
        return None
    now = ", ".join(f"{name} {share:.3f}" for name, share in shares[max(shares)].items())
    summary = f"From {time_of(min(shares))} to {time_of(max(shares))} UTC. Last: {now}."
    rows = [
        (time_of(minute), *(f"{one[name]:.3f}" if name in one else "-" for name in members))
        for minute, one in reversed(shares.items())
    ]
    title = f"{symbol}: share of each member in the weights"
    return Chart("weights", title, summary, drawing, ("minute, UTC", *members), rows)


def acted(row: Row) -> str:
    """Return what is acted on, with the probability of its class.

    >>> acted({"action": "BUY", "prob_buy": 0.618})
    'BUY 0.62'
    """
    action = row["action"]
    if action is None:  # of a session from before versions abstained
        return "-"
    chance = row[f"prob_{action.lower()}"]
    return action if chance is None else f"{action} {chance:.2f}"


def _shares(row: Row) -> dict[str, float]:
    """Return each member's share of all weights; none if no weight is above 0."""
    pairs = {name: one or 0.0 for name, one in zip(row["members"], row["weight"], strict=True)}
    total = sum(pairs.values())
    return {name: one / total for name, one in pairs.items()} if total > 0 else {}


def _between(folder: Path, since: int, until: int, table: str) -> list[Row]:
    """Return rows of a table in production; none if no session has written to it yet."""
    try:
        return rows_between(folder, PRODUCTION, since, until, table)
    except JournalError:
        return []


def _of(symbol: str, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["symbol"] == symbol]
