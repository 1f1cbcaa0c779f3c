"""What a live command is doing, in one look: frozen records that views render."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final


@dataclass(frozen=True)
class SymbolStatus:
    """One symbol.

    Attributes:
        symbol: the contract.
        book: whether the book stands, and if not why.
        is_synced: the same, for a colour.
        lag_ms: local time minus exchange time of the last update; for information only.
        last_bar: the last minute that closed, its close or why it has no row.
        missing: minutes until the window is full; 0 once the model may speak.
        signal: what the last one acts on or why it abstains, with its version and latency.
        drift: what the monitor says.
    """

    symbol: str
    book: str
    is_synced: bool
    lag_ms: float | None = None
    last_bar: str = "none yet"
    missing: int = 0
    signal: str = "none yet"
    drift: str = ""


@dataclass(frozen=True)
class Status:
    """All of it.

    Attributes:
        title: which command, on which exchange.
        model: name, version and alias that speak, and the shadow.
        symbols: one each.
        loop_lag_ms: the event loop's lag, p99 of the newest minute.
        journal: rows written and not yet, or what is wrong.
        note: the last warning or error, if any.
    """

    title: str
    symbols: tuple[SymbolStatus, ...]
    loop_lag_ms: float
    journal: str
    model: str = ""
    note: str = ""

    def as_values(self) -> dict[str, Any]:
        """The same as plain values, for a JSON line."""
        return asdict(self)

    def as_line(self) -> str:
        """The same in a line, for a log file."""
        parts = [_in_a_line(one) for one in self.symbols]
        return " | ".join(
            [*parts, f"loop lag {self.loop_lag_ms:.0f} ms", f"journal {self.journal}"]
        )


def _in_a_line(one: SymbolStatus) -> str:
    """A symbol in a line; a recording has no bars and no signals."""
    told = [
        f"{one.symbol} {one.book}" + ("" if one.lag_ms is None else f", lag {in_time(one.lag_ms)}")
    ]
    told += [f"bar {one.last_bar}"] if one.last_bar else []
    if one.missing:
        told.append(f"{one.missing} minutes missing")
    elif one.signal:
        told.append(f"signal {one.signal}")
    return "; ".join([*told, one.drift] if one.drift else told)


_UNITS: Final = (("days", 86_400_000.0), ("h", 3_600_000.0), ("min", 60_000.0), ("s", 1_000.0))


def in_time(ms: float) -> str:
    """A time as people say it: two clocks may lie years apart.

    >>> in_time(87.2), in_time(-12_340.0), in_time(90_052_663_822.0)
    ('87 ms', '-12.3 s', '1042.3 days')
    """
    for unit, size in _UNITS:
        if abs(ms) >= 2 * size:
            return f"{ms / size:.1f} {unit}"
    return f"{ms:.0f} ms"
