"""Define faults between an exchange and its clients, by name.

A fault strikes a symbol after a number of its events; if none is given, the exchange's seed chooses
it. The true book is not affected: a fault only changes what is sent.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

Point = Literal["event", "stream", "accept", "request"]
"""Target of a fault: an event, the open connections, a new connection, or a REST request."""

SPAN: Final = (50, 500)
"""Range of events after which a fault strikes, if the seed chooses."""

MIX: Final = 10
"""Number of faults in a mix requested by name."""


@dataclass(frozen=True)
class Fault:
    """One fault; it strikes the first `point` once `after` events of `symbol` have happened.

    `count` is the number of consecutive events, connections or requests that it affects. `amount`
    depends on its name: seconds, ms of the clock, bytes or levels.
    """

    name: str
    point: Point
    count: int = 1
    amount: float = 0.0
    after: int | None = None
    symbol: str | None = None

    def at(self, after: int, symbol: str | None = None) -> Fault:
        """Return the same fault after that many events (of that symbol)."""
        return replace(self, after=after, symbol=symbol or self.symbol)


def _catalogue() -> dict[str, Fault]:
    faults = (
        Fault("lost", "event"),
        Fault("doubled", "event"),
        Fault("reordered", "event"),
        Fault("delayed", "event", count=20),  # all wait, and are sent together
        Fault("burst", "event", count=400),  # all are sent at once, ahead of the clock
        Fault("split", "event"),
        Fault("oversized", "event", amount=5_000_000),  # bytes
        Fault("bad_json", "event"),
        Fault("bad_number", "event"),
        Fault("wrong_symbol", "event"),
        Fault("sequence_reset", "event"),
        Fault("clock_plus_2s", "event", count=300, amount=2_000),  # ms, for so many events
        Fault("clock_minus_2s", "event", count=300, amount=-2_000),
        Fault("clock_plus_1h", "event", count=300, amount=3_600_000),
        Fault("clock_minus_1h", "event", count=300, amount=-3_600_000),
        Fault("half_open", "stream"),
        Fault("eof", "stream"),
        Fault("abrupt", "stream"),
        Fault("closed", "stream"),
        Fault("day_cut", "stream"),
        Fault("missed_pings", "stream"),
        Fault("silent", "accept", after=0),
        Fault("unavailable", "accept", after=0),
        Fault("snapshot_stale", "request", after=0),
        Fault("snapshot_failing", "request", after=0),
        Fault("snapshot_slow", "request", amount=2.0, after=0),  # seconds
        Fault("snapshot_cut", "request", after=0),
        Fault("snapshot_half", "request", after=0),
        Fault("snapshot_thin", "request", amount=3, after=0),  # levels
        Fault("snapshot_empty", "request", amount=0, after=0),
        Fault("too_many_requests", "request", amount=2.0, after=0),  # seconds
        Fault("banned", "request", amount=3.0, after=0),
    )
    return {fault.name: fault for fault in faults}


FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(_catalogue())
"""All faults by name."""


def named(names: Iterable[str]) -> list[Fault]:
    """Return faults by name: `lost`, `lost@300` (after 300 events), or `mix@5` (a mix of seed 5).

    Raises:
        ValueError: for an unknown name, or without a number after the @.
    """
    return [fault for name in names for fault in _named(name)]


def mix(seed: int, count: int = MIX, span: tuple[int, int] = SPAN) -> list[Fault]:
    """Return `count` random faults of the catalogue, in order of their events."""
    draw = random.Random(seed)
    names = draw.choices(sorted(FAULTS), k=count)
    events = sorted(draw.randint(*span) for _ in names)
    return [FAULTS[name].at(after) for name, after in zip(names, events, strict=True)]


def _named(text: str) -> list[Fault]:
    name, at, number = text.partition("@")
    if (at and not number.isdecimal()) or (name == "mix" and not at):
        raise ValueError(f"fault: NAME, NAME@EVENTS or mix@SEED expected, got {text!r}")
    if name == "mix":
        return mix(int(number))
    if name not in FAULTS:
        raise ValueError(f"fault: one of {', '.join(FAULTS)} or mix@SEED expected, got {text!r}")
    return [FAULTS[name].at(int(number)) if at else FAULTS[name]]
