"""Weights at each moment, moved only by outcomes that had matured by then; batch and live alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np

from .votes import Booleans, Floats, Integers
from .weights import Adaptive, Hedge


@dataclass(frozen=True, order=True)
class _Pending:
    """A moment whose outcome is not known yet; the one that matures first comes first."""

    label_end_ms: int
    time_ms: int


class OnlineWeights:
    """Weights of members, from one state to the next as outcomes mature.

    Call `mature` at each moment, read `weights`, and then `add` what the members say. The same
    calls in the same order give the same bits. `weights` never depends on an outcome that is not
    known yet.

    Args:
        rule: how weights move.
        initial: (members,) weights before any outcome.
        state: to go on from; None for the start.
    """

    def __init__(
        self, rule: Adaptive | Hedge, initial: Floats, state: Mapping[str, Any] | None = None
    ) -> None:
        self._rule, self._initial = rule, np.asarray(initial, np.float64)
        self.state = rule.start(self._initial) if state is None else dict(state)
        self._queue: list[_Pending] = []
        self._votes: dict[_Pending, tuple[Floats, Booleans]] = {}

    def add(
        self, time_ms: int, label_end_ms: int, probabilities: Floats, present: Booleans
    ) -> None:
        """Keep what the members (members, 3) say of a moment, and which of them are present."""
        moment = _Pending(label_end_ms, time_ms)
        heappush(self._queue, moment)
        self._votes[moment] = probabilities, present

    def mature(self, now_ms: int, outcome_of: Callable[[int], int | None]) -> None:
        """Advance by all moments whose outcome is known by now, oldest label end first.

        Args:
            now_ms: the minute that has closed.
            outcome_of: from a moment's time to the class that came; None if a gap took it.
        """
        while self._queue and self._queue[0].label_end_ms <= now_ms:
            moment = heappop(self._queue)
            probabilities, present = self._votes.pop(moment)
            outcome = outcome_of(moment.time_ms)
            if outcome is not None:
                self.state = self._rule.advance(
                    self.state, self._initial, probabilities, present, outcome
                )

    @property
    def weights(self) -> Floats:
        """Return the weights (members,) to combine with now."""
        return self._rule.weights(self.state, self._initial)


def weights_over(
    online: OnlineWeights,
    probabilities: Floats,
    present: Booleans,
    time_ms: Integers,
    label_end_ms: Integers,
    target: Integers,
    counts: Booleans | None = None,
) -> Floats:
    """Return the weights at each of many moments, (members, moments), as live has them.

    Args:
        online: the weights before the first moment; it is advanced.
        probabilities: (members, moments, 3).
        present: (members, moments).
        time_ms: (moments,) minute of each, rising.
        label_end_ms: (moments,) minute at whose close the outcome is known.
        target: (moments,) class that came; below 0 where none is known.
        counts: (moments,) whether a moment's outcome moves weights; None if each does.
    """
    found = np.empty(present.shape)
    known = zip(time_ms.tolist(), target.tolist(), strict=True)
    came = {time: outcome for time, outcome in known if outcome >= 0}
    for at, (now, end) in enumerate(zip(time_ms.tolist(), label_end_ms.tolist(), strict=True)):
        online.mature(now, came.get)
        found[:, at] = online.weights
        if counts is None or counts[at]:
            online.add(now, end, probabilities[:, at], present[:, at])
    return found
