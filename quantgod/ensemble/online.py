"""Weights at each moment, moved only by outcomes that had matured by then; batch and live alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np

from quantgod.contracts import Booleans, Floats, Integers
from quantgod.served.combiners.weights import Adaptive, Hedge

Moving = Adaptive | Hedge


@dataclass(frozen=True, order=True)
class _Open:
    """A moment whose outcome is out, first the one that matures first."""

    label_end_ms: int
    time_ms: int


class OnlineWeights:
    """Weights of members, from one state to the next as outcomes mature.

    Moments are opened as members speak, and closed with what came; `at` never sees an outcome
    before its time. The same calls in the same order give the same bits.

    Args:
        moving: how weights move.
        given: (members,) weights before any outcome.
        state: to go on from; None for the start.
    """

    def __init__(
        self, moving: Moving, given: Floats, state: Mapping[str, Any] | None = None
    ) -> None:
        self._moving, self._given = moving, np.asarray(given, np.float64)
        self.state = moving.start(self._given) if state is None else dict(state)
        self._open: list[_Open] = []
        self._said: dict[_Open, tuple[Floats, Booleans]] = {}

    def hear(
        self, time_ms: int, label_end_ms: int, probabilities: Floats, present: Booleans
    ) -> None:
        """Open a moment: what members (members, 3) say of it, and which of them speak."""
        moment = _Open(label_end_ms, time_ms)
        heappush(self._open, moment)
        self._said[moment] = probabilities, present

    def mature(self, now_ms: int, outcome_of: Callable[[int], int | None]) -> None:
        """Close all moments whose outcome is known by now, oldest label end first.

        Args:
            now_ms: the close of a bar.
            outcome_of: from a moment's time to the class that came; None if a hole took it.
        """
        while self._open and self._open[0].label_end_ms <= now_ms:
            moment = heappop(self._open)
            said, present = self._said.pop(moment)
            outcome = outcome_of(moment.time_ms)
            if outcome is not None:
                self.state = self._moving.advance(self.state, self._given, said, present, outcome)

    @property
    def weights(self) -> Floats:
        """Return the weights (members,) to combine with now."""
        return self._moving.weights(self.state, self._given)


def weights_over(
    moving: Moving,
    given: Floats,
    probabilities: Floats,
    present: Booleans,
    time_ms: Integers,
    label_end_ms: Integers,
    target: Integers,
) -> Floats:
    """Return the weights at each of many moments, (members, moments), as live they would have been.

    Args:
        moving: how weights move.
        given: (members,) weights before any outcome.
        probabilities: (members, moments, 3).
        present: (members, moments).
        time_ms: (moments,) rising close of each.
        label_end_ms: (moments,) when the outcome of each is known.
        target: (moments,) class that came.
    """
    online, found = OnlineWeights(moving, given), np.empty(present.shape)
    came = dict(zip(time_ms.tolist(), target.tolist(), strict=True))
    for at, (now, end) in enumerate(zip(time_ms.tolist(), label_end_ms.tolist(), strict=True)):
        online.mature(now, came.get)
        found[:, at] = online.weights
        online.hear(now, end, probabilities[:, at], present[:, at])
    return found
