"""How long to wait before the next attempt: twice as long each time, a part of it by chance."""

from __future__ import annotations

from random import Random

_DOUBLINGS = 40  # beyond it any sensible limit is reached


class Backoff:
    """Waits between `first` and `limit` seconds; chance keeps clients from marching in step."""

    def __init__(self, first: float, limit: float, random: Random) -> None:
        self._first, self._limit, self._random = first, max(first, limit), random
        self._failures = 0

    @property
    def failures(self) -> int:
        """Waits that were given since the last reset."""
        return self._failures

    def next(self) -> float:
        """Seconds to wait after one more failure: from half of what the doubling says to all."""
        self._failures += 1
        top = min(self._limit, self._first * 2.0 ** min(self._failures, _DOUBLINGS))
        return self._random.uniform(max(self._first, top / 2), top)

    def reset(self) -> None:
        """Start anew after a success that lasted."""
        self._failures = 0
