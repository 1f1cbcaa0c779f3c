"""What a live command is doing, in one look: frozen records that views render."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


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
        signal: the last one, with its probability, version and latency.
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
        parts = [
            f"{one.symbol} {one.book}; bar {one.last_bar}; "
            + (f"{one.missing} minutes missing" if one.missing else f"signal {one.signal}")
            + (f"; {one.drift}" if one.drift else "")
            for one in self.symbols
        ]
        return " | ".join(
            [*parts, f"loop lag {self.loop_lag_ms:.0f} ms", f"journal {self.journal}"]
        )
