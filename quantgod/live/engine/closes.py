"""Keep a symbol's newest closes, to tell what came of an earlier minute."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantgod.contracts import Floats, Integers
from quantgod.contracts.minute_rows import KEPT_MINUTES
from quantgod.dataset.labels import NO_TARGET, classes_of
from quantgod.settings import HorizonSettings


class _Close(NamedTuple):
    price: float
    stretch: int


class Closes:
    """The closes of the newest minutes with a row, and the stretch that each lies in.

    Minutes before the first live one may be filled from history; history of that minute or later
    ones is dropped, as a `Window` does.

    Args:
        max_bridge_minutes: the longest gap inside a stretch.
        kept: minutes that are kept.
    """

    def __init__(self, max_bridge_minutes: int, kept: int = KEPT_MINUTES) -> None:
        self._bridge, self._kept = max_bridge_minutes, kept
        self._known: dict[int, _Close] = {}
        self._newest: tuple[int, int] | None = None
        self._is_live = False

    def fill(self, minutes: Integers, prices: Floats) -> None:
        """Take the closes of rising minutes from before this stream."""
        for minute, price in zip(minutes.tolist(), prices.tolist(), strict=True):
            self._put(minute, price)

    def take(self, minute: int, price: float) -> None:
        """Take the close of a live minute with a row, later than the last live one."""
        if not self._is_live:
            self._is_live = True
            self._forget_from(minute)
        self._put(minute, price)

    def outcome(self, minute: int, horizon: HorizonSettings) -> int | None:
        """Return the class that came of a minute; None where `label` gives no label, or not yet."""
        first = self._known.get(minute)
        last = self._known.get(minute + horizon.horizon_minutes)
        if first is None or last is None or first.stretch != last.stretch:
            return None
        forward = np.log(np.array([last.price]) / np.array([first.price]))
        found = int(classes_of(forward, horizon)[0])
        return None if found == NO_TARGET else found

    def _put(self, minute: int, price: float) -> None:
        before, stretch = self._newest or (minute, 0)
        stretch += minute - before - 1 > self._bridge
        self._newest = minute, stretch
        self._known[minute] = _Close(price, stretch)
        if len(self._known) > self._kept:
            del self._known[next(iter(self._known))]

    def _forget_from(self, minute: int) -> None:
        self._known = {at: close for at, close in self._known.items() if at < minute}
        newest = next(reversed(self._known.items()), None)
        self._newest = None if newest is None else (newest[0], newest[1].stretch)
