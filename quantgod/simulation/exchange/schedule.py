"""Schedule faults, and record those that struck."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from quantgod.simulation.exchange.faults import SPAN, Fault, Point


class Injection(NamedTuple):
    """A fault that struck after `events` events of its symbol, at exchange time `ts`."""

    name: str
    symbol: str
    events: int
    ts: int


class Schedule:
    """The pending faults, and those already `injected`.

    Raises:
        ValueError: for a fault of an unknown symbol.
    """

    def __init__(self, faults: Sequence[Fault], symbols: Sequence[str], seed: int) -> None:
        draw = random.Random(seed)
        self.injected: list[Injection] = []
        self._waiting = [_place(fault, symbols, draw) for fault in faults]

    @property
    def pending(self) -> tuple[Fault, ...]:
        """Return faults that have not struck yet, or not often enough."""
        return tuple(placed.fault for placed in self._waiting)

    def strikes(self, point: Point, symbol: str, events: int, ts: int) -> list[Fault]:
        """Return the faults that strike now, each once, whatever its `count`."""
        due = [placed for placed in self._waiting if placed.is_due(point, symbol, events)]
        for placed in due:
            self._record(placed, events, ts)
            self._waiting.remove(placed)
        return [placed.fault for placed in due]

    def strike_one(
        self, point: Point, symbols: Sequence[str], events: Sequence[int], ts: int
    ) -> Fault | None:
        """Return the next fault that strikes one of these symbols, up to `count` times."""
        for placed in self._waiting:
            for symbol, happened in zip(symbols, events, strict=True):
                if placed.is_due(point, symbol, happened):
                    self._record(placed, happened, ts)
                    placed.left -= 1
                    if not placed.left:
                        self._waiting.remove(placed)
                    return placed.fault
        return None

    def _record(self, placed: _Placement, events: int, ts: int) -> None:
        self.injected.append(Injection(placed.fault.name, placed.symbol, events, ts))


@dataclass(eq=False)
class _Placement:
    fault: Fault
    symbol: str
    after: int
    left: int

    def is_due(self, point: Point, symbol: str, events: int) -> bool:
        return self.fault.point == point and self.symbol == symbol and events >= self.after


def _place(fault: Fault, symbols: Sequence[str], draw: random.Random) -> _Placement:
    # Both are always drawn, so that one fault's settings do not affect the others.
    symbol, after = draw.choice(symbols), draw.randint(*SPAN)
    if fault.symbol is not None and fault.symbol not in symbols:
        raise ValueError(
            f"{fault.name}: a symbol of {', '.join(symbols)} expected, got {fault.symbol}"
        )
    if fault.after is not None:
        after = fault.after
    return _Placement(fault, fault.symbol or symbol, after, fault.count)
