"""Limit requests to a venue: weight per minute, and waits that it demands.

Pure: callers pass the time. The sliding minute is stricter than the venue's, which follows the
clock.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 60.0

LONGEST_HOLD_SECONDS: Final = 3 * 86_400.0
"""Binance's bans last from two minutes to three days; longer demands are cut to this."""


class RequestBudget:
    """Tracks the weight of requests in the last minute, and demanded waits.

    Args:
        weight: of one request.
        limit: allowed weight per minute.
        share: the usable part of it.
        unsaid_seconds: the wait if the venue demands one without a duration.

    Raises:
        ValueError: if not even one request fits.
    """

    def __init__(self, weight: int, limit: int, share: float, unsaid_seconds: float) -> None:
        self._weight, self._allowed = weight, limit * share
        if weight > self._allowed:
            raise ValueError(
                f"a request of weight {weight} does not fit into {share:.0%} of {limit} a minute"
            )
        self._unsaid_seconds = unsaid_seconds
        self._spent: deque[float] = deque()
        self._held_until = float("-inf")

    def wait(self, now: float) -> float:
        """Return the seconds until the next request is allowed; 0 if it is now."""
        return max(self.held(now), self._until_it_fits(now))

    def held(self, now: float) -> float:
        """Return the remaining seconds of the demanded wait."""
        return max(0.0, self._held_until - now)

    def spend(self, now: float) -> None:
        """Count a request sent now."""
        self._spent.append(now)

    def hold(self, now: float, seconds: float | None) -> float:
        """Start a demanded wait (None: without a duration); return the seconds from now.

        A shorter demand never ends a longer one.
        """
        wanted = self._unsaid_seconds if seconds is None else seconds
        self._held_until = max(self._held_until, now + min(wanted, LONGEST_HOLD_SECONDS))
        return self.held(now)

    def _until_it_fits(self, now: float) -> float:
        while self._spent and self._spent[0] <= now - WINDOW_SECONDS:
            self._spent.popleft()
        surplus = (len(self._spent) + 1) * self._weight - self._allowed
        if surplus <= 0:
            return 0.0
        leaving = -int(-surplus // self._weight)
        return self._spent[leaving - 1] + WINDOW_SECONDS - now
