"""Assign update ids like the venue: an event spans many, and some lie between two events."""

from __future__ import annotations

import random

LONGEST = 4000
BETWEEN = 0.15
"""Up to this share of an event's ids is unused before it: 7.5 % on average, as measured."""


class UpdateIds:
    """The ids of one symbol, rising by random steps."""

    def __init__(self, last: int, seed: int) -> None:
        self.last = last
        self._draw = random.Random(seed)

    def span(self) -> tuple[int, int, int]:
        """Return `first`, `final` and `previous` of the next event."""
        # Not randint, which costs three times as much.
        stride = 1 + int(self._draw.random() * LONGEST)
        previous = self.last
        first = previous + 1 + int(self._draw.random() * BETWEEN * stride)
        self.last = first + stride
        return first, self.last, previous
