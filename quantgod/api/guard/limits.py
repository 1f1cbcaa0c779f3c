"""Limit requests and wrong tokens. All callers count together: on loopback addresses tell nothing.

Clocks are functions that return seconds, so that no test waits.
"""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]


class RateLimit:
    """At most so many requests in a second, and as many at once.

    Args:
        per_second: of all callers.
        clock: in seconds.
    """

    def __init__(self, per_second: int, clock: Clock) -> None:
        self._rate, self._clock = per_second, clock
        self._left, self._at = float(per_second), clock()

    def wait(self) -> float:
        """Count a request; return 0 if it may be answered, else in how many seconds one may."""
        now = self._clock()
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class Lockout:
    """After so many wrong tokens in a row none is looked at for a while.

    Args:
        wrong_tokens: in a row.
        seconds: how long.
        clock: in seconds.
    """

    def __init__(self, wrong_tokens: int, seconds: float, clock: Clock) -> None:
        self._limit, self._seconds, self._clock = wrong_tokens, seconds, clock
        self._wrong, self._until = 0, clock()

    @property
    def left(self) -> float:
        """Return for how many seconds no token is looked at."""
        return max(0.0, self._until - self._clock())

    def count(self, *, is_right: bool) -> None:
        """Note whether a token was right."""
        self._wrong = 0 if is_right else self._wrong + 1
        if self._wrong >= self._limit:
            self._wrong, self._until = 0, self._clock() + self._seconds
