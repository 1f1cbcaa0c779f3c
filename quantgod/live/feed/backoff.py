"""Compute waits before the next attempt: doubling each time, partly random."""

from __future__ import annotations

from random import Random

_DOUBLINGS = 40  # beyond it any sensible limit is reached


class Backoff:
    """Waits between `first` and `limit` seconds; randomness spreads the retries of clients."""

    def __init__(self, first: float, limit: float, random: Random) -> None:
        self._first, self._limit, self._random = first, max(first, limit), random
        self._failures = 0

    @property
    def failures(self) -> int:
        """Return the number of waits since the last reset."""
        return self._failures

    def next(self) -> float:
        """Return the seconds to wait after one more failure: half to all of the doubled wait."""
        self._failures += 1
        top = min(self._limit, self._first * 2.0 ** min(self._failures, _DOUBLINGS))
        return self._random.uniform(max(self._first, top / 2), top)

    def reset(self) -> None:
        """Start over after a lasting success."""
        self._failures = 0
