"""What may be asked of a venue, and when: weight in a minute, and the waits that it demands.

Pure: callers bring the time. A minute that slides is stricter than the venue's own, which starts
with the clock's.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 60.0

LONGEST_HOLD_SECONDS: Final = 3 * 86_400.0
"""Binance's bans last from two minutes to three days; who asks for more is not believed."""


class RequestBudget:
    """Weight of requests in the last minute, and until when there must be none.

    Args:
        weight: of one request.
        limit: weight that the venue allows a minute.
        share: the part of it that may be used here.
        unsaid_seconds: the wait where the venue demands one and does not say how long.

    Raises:
        ValueError: where not even one request fits.
    """

    def __init__(self, weight: int, limit: int, share: float, unsaid_seconds: float) -> None:
        self._weight, self._allowed = weight, limit * share
        if weight > self._allowed:
            raise ValueError(
                f"a request of weight {weight} does not fit into {share:.0%} of {limit} a minute"
            )
        self._unsaid_seconds = unsaid_seconds
        self._spent: deque[float] = deque()
        self._held_until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next request may go; 0 if it may go now."""
        return max(self.held(now), self._until_it_fits(now))

    def held(self, now: float) -> float:
        """Seconds that are left of the wait that the venue demanded."""
        return max(0.0, self._held_until - now)

    def spend(self, now: float) -> None:
        """Count a request that goes out now."""
        self._spent.append(now)

    def hold(self, now: float, seconds: float | None) -> float:
        """Obey a demand to wait (`None`: for a time it did not say); gives the seconds from now.

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
