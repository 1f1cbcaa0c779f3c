"""Tell of the live session: its status, and what it said of each symbol's last bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from quantgod.api.desk import Desk
from quantgod.api.journal import BARS, DAY, SIGNALS, VOTES, Row, Which, newest_rows
from quantgod.api.routes import live as status
from quantgod.api.routes.signals import Signal, signal_of
from quantgod.api.routes.votes import MinuteVotes, votes_of
from quantgod.live.journal import JournalError
from quantgod.settings import command

SILENT_SECONDS: Final = 60.0
"""A session that runs writes its status each second; after so long it is not of now any more."""

FEW_NAMES: Final = 3
VERDICTS: Final = {
    "drift": "drifting",
    "offset": "unlike the training, but like the past",
    "level": "at another level than in the training",
    "unknown": "not yet known",
}
"""Of the drift monitor, in words; `stable` is not told."""


class Said(NamedTuple):
    """What a version said last.

    Attributes:
        what: the signal, or the votes.
        is_of_last_bar: whether it is of the symbol's last bar, or else of an earlier one.
    """

    what: Signal | MinuteVotes
    is_of_last_bar: bool


def live(desk: Desk) -> dict[str, Any]:
    """Return what the live session has last told, and each symbol's last signals and votes.

    Raises:
        AbsentError: if no session has told of itself.
    """
    told = status.live(desk)
    roles: set[tuple[str, str | None]] = {(one.symbol, "Production") for one in told.symbols}
    roles |= {(one.symbol, "Challenger") for one in told.symbols if one.shadow is not None}
    bars = _newest(desk, BARS, {(one.symbol, None) for one in told.symbols})
    signals, votes = (_newest(desk, table, roles) for table in (SIGNALS, VOTES))
    drift = desk.settings.live.drift
    return {
        "live": told,
        "is_past": not told.is_running or told.age_seconds > SILENT_SECONDS,
        "start": command("live", f"--exchange {desk.settings.live.exchange}"),
        "reasons": {symbol: row["reason"] for (symbol, _), row in bars.items()},
        "signals": [Said(signal_of(row), _is_of_last(row, bars)) for row in signals.values()],
        "panels": [Said(votes_of(row), _is_of_last(row, bars)) for row in votes.values()],
        "drift": {
            one.symbol: drift_in_words(one.verdicts, drift.every_minutes, drift.window_minutes // 2)
            for one in told.symbols
        },
    }


def drift_in_words(verdicts: Mapping[str, str], every: int, least: int) -> str:
    """Return a check of the drift monitor in short.

    Args:
        verdicts: by feature, by probability, and by member.
        every: minutes between two checks.
        least: minutes that a verdict needs.

    >>> drift_in_words({}, 60, 720), drift_in_words({"body": "unknown"}, 60, 720)
    ('no check yet: one every 60 minutes', 'not yet known: a verdict needs at least 720 minutes')
    >>> drift_in_words({"a": "drift", "b": "stable", "c": "unknown"}, 60, 720)
    '1 of 3 features and probabilities drifting: a; 1 not yet known: c'
    """
    if not verdicts:
        return f"no check yet: one every {every} minutes"
    if {*verdicts.values()} == {"unknown"}:
        return f"not yet known: a verdict needs at least {least} minutes"
    told: list[str] = []
    of_all = f" of {len(verdicts)} features and probabilities"
    for kind, said in VERDICTS.items():
        if names := [name for name in verdicts if verdicts[name] == kind]:
            told.append(f"{len(names)}{'' if told else of_all} {said}: {few(names)}")
    return "; ".join(told) or "stable"


def few(names: Sequence[str]) -> str:
    """Return the first of some names, and how many there are besides.

    >>> few("abc"), few("abcde")
    ('a, b, c', 'a, b, c and 2 more')
    """
    more = len(names) - FEW_NAMES
    return ", ".join(names[:FEW_NAMES]) + (f" and {more} more" if more > 0 else "")


def _newest(desk: Desk, table: str, wanted: set[tuple[str, str | None]]) -> dict[Any, Row]:
    """Return the last row of each symbol and role that has one in the last day."""
    found: dict[Any, Row] = {}
    newest = None
    try:
        for row in newest_rows(desk.journal, Which(), table):
            newest = row["minute"] if newest is None else newest
            if row["minute"] <= newest - DAY or wanted <= found.keys():
                break
            if (who := (row["symbol"], row.get("role"))) in wanted:
                found.setdefault(who, row)
    except JournalError:
        return {}
    return dict(sorted(found.items(), key=str))


def _is_of_last(row: Row, bars: Mapping[Any, Row]) -> bool:
    """Return whether a row is of its symbol's last bar; the bar itself may be journaled later."""
    bar = bars.get((row["symbol"], None))
    return bar is None or _place(row) >= _place(bar)


def _place(row: Row) -> tuple[int, int]:
    """Return when a row was made: a later session may play earlier minutes."""
    return row["session"], row["minute"]
