"""Frozen records of a live command's status, for views to render."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class SymbolStatus:
    """The status of one symbol.

    Attributes:
        symbol: the contract.
        book: whether the book is valid, and if not why.
        is_synced: the same, for a colour.
        lag_ms: local time minus exchange time of the last update; for information only.
        last_bar: the last closed minute, with its close or why it has no row.
        missing: minutes until the window is full; 0 when the model can answer.
        signal: action or abstention of the last signal, with version and latency.
        drift: the monitor's summary.
        warming: those of the missing minutes until a row has all features that the model takes.
        shadow_missing: minutes until the challenger can answer as well.
        blockless: minutes whose snapshots of the book were not whole.
        cold: of an ensemble, minutes until each member can speak that cannot yet.
        votes: what each member said last, or why it abstained.
        model: the registered model that answers.
        version: its version; None before there is one.
        shadow: the challenger's version, if there is one.
        minute: epoch minute of the last bar.
        close: its close; None without a row.
        verdicts: the drift monitor's, by feature, probability, and member (`near/sell`).
    """

    symbol: str
    book: str
    is_synced: bool
    lag_ms: float | None = None
    last_bar: str = "none yet"
    missing: int = 0
    signal: str = "none yet"
    drift: str = ""
    warming: int = 0
    shadow_missing: int = 0
    blockless: int = 0
    cold: dict[str, int] = field(default_factory=dict)
    votes: dict[str, str] = field(default_factory=dict)
    model: str = ""
    version: int | None = None
    shadow: int | None = None
    minute: int | None = None
    close: float | None = None
    verdicts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """The whole status.

    Attributes:
        title: command and exchange.
        model: name, version and alias of the answering version, and the shadow.
        symbols: one per symbol.
        loop_lag_ms: the event loop's lag, p99 of the newest minute.
        journal: written and waiting rows, or the problem.
        note: the last warning or error, if any.
    """

    title: str
    symbols: tuple[SymbolStatus, ...]
    loop_lag_ms: float
    journal: str
    model: str = ""
    note: str = ""

    def as_values(self) -> dict[str, Any]:
        """Return the status as plain values, for a JSON line."""
        return asdict(self)

    def as_line(self) -> str:
        """Return the status in one line, for a log file."""
        parts = [_in_a_line(one) for one in self.symbols]
        return " | ".join(
            [*parts, f"loop lag {self.loop_lag_ms:.0f} ms", f"journal {self.journal}"]
        )


def _in_a_line(one: SymbolStatus) -> str:
    """Return a symbol's status in one line; a recording has no bars and signals."""
    told = [
        f"{one.symbol} {one.book}" + ("" if one.lag_ms is None else f", lag {in_time(one.lag_ms)}")
    ]
    told += [f"bar {one.last_bar}"] if one.last_bar else []
    if one.missing:
        told.append(missing_in_words(one.missing, one.warming))
    elif one.signal:
        told.append(f"signal {one.signal}{shadow_in_words(one.shadow_missing)}")
    told += [cold_in_words(one.cold)] if one.cold else []
    return "; ".join([*told, one.drift] if one.drift else told)


def missing_in_words(missing: int, warming: int) -> str:
    """Return how many minutes a version waits for, and which of them fill no window yet.

    >>> missing_in_words(45, 0), missing_in_words(524, 479)
    ('45 minutes missing', '524 minutes missing, 479 of them for the past of its 112 features')
    """
    past = f", {warming} of them for the past of its 112 features" if warming else ""
    return f"{missing} minutes missing{past}"


def cold_in_words(cold: Mapping[str, int]) -> str:
    """Return how many minutes each member of an ensemble waits for that cannot speak yet.

    >>> cold_in_words({"far": 15, "wide": 524})
    'cold members: far 15 minutes, wide 524 minutes'
    """
    return f"cold members: {', '.join(f'{name} {rows} minutes' for name, rows in cold.items())}"


def shadow_in_words(missing: int) -> str:
    """Return how many minutes the challenger waits for while the champion answers."""
    return f"; shadow: {missing} minutes missing" if missing else ""


_UNITS: Final = (("days", 86_400_000.0), ("h", 3_600_000.0), ("min", 60_000.0), ("s", 1_000.0))


def in_time(ms: float) -> str:
    """Return a readable duration; two clocks may be years apart.

    >>> in_time(87.2), in_time(-12_340.0), in_time(90_052_663_822.0)
    ('87 ms', '-12.3 s', '1042.3 days')
    """
    for unit, size in _UNITS:
        if abs(ms) >= 2 * size:
            return f"{ms / size:.1f} {unit}"
    return f"{ms:.0f} ms"
