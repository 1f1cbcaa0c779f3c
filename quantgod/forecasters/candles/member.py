"""What a member of candle forecasts is: fitted, and asked by rows of a scaled matrix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from quantgod.contracts import Floats, Integers, Progress, silent
from quantgod.served.candles.members import Said
from quantgod.training.reports import Epoch

Seen = npt.NDArray[np.float32]
"""Features as members see them: scaled in float64, rounded once."""

PARTS = 1000
"""Of a member's fit, that its progress is told in."""

AT_ONCE = 2000
"""Windows in memory at a time."""


class Material(NamedTuple):
    """What a member is fitted on.

    Attributes:
        matrix: (n, features) of all rows of a table, chosen and scaled, float32.
        outcomes: (n, horizons) scaled returns; NaN where unknown.
        horizons: steps ahead.
        window: rows that a member may look at.
        train: rows to fit on, in order of date.
        stopping: newer rows to stop early by.
    """

    matrix: Seen
    outcomes: Floats
    horizons: tuple[int, ...]
    window: int
    train: Integers
    stopping: Integers


class Hooks(NamedTuple):
    """Who is told of a fit, and where it keeps its state in case of a kill.

    Attributes:
        place: a folder, or None.
        on_epoch: of a network, by the fit's name.
        progress: of batches.
    """

    place: Path | None = None
    on_epoch: Callable[[str, Epoch], None] = lambda name, epoch: None
    progress: Progress = silent

    def of_member(self, name: str, number: int, members: int) -> Hooks:
        """Return the hooks of one of several members, whose progress is a part of the whole."""

        def progress(done: int, total: int, note: str) -> None:
            share = PARTS * done // max(1, total)
            self.progress(number * PARTS + share, members * PARTS, f"{name}: {note}")

        place = None if self.place is None else self.place / name
        return Hooks(place, self.on_epoch, progress)


@runtime_checkable
class Member(Protocol):
    """Fitted."""

    @property
    def told(self) -> dict[str, Any]:
        """What is worth to know of the fit, as plain values."""

    def forecast(self, matrix: Seen, rows: Integers) -> Said:
        """Return what it says of the windows of a scaled matrix that end at `rows`."""


def windows_at(matrix: Seen, rows: Integers, length: int) -> Seen:
    """Return windows that end at rows, (n, length, features)."""
    view = sliding_window_view(matrix, length, axis=0)[rows - length + 1]
    return np.ascontiguousarray(view.transpose(0, 2, 1))


def in_batches(say: Callable[[Seen], Said], matrix: Seen, rows: Integers, length: int) -> Said:
    """Return what `say` says of windows, a batch of them at a time."""
    parts = [
        say(windows_at(matrix, rows[begin : begin + AT_ONCE], length))
        for begin in range(0, max(len(rows), 1), AT_ONCE)
    ]
    return Said(*(np.concatenate(one) for one in zip(*parts, strict=True)))
