"""What is forecast of a moment: returns of one or several horizons, cut into classes."""

from __future__ import annotations

from typing import Literal

import msgspec


class Horizon(msgspec.Struct, frozen=True):
    """How far ahead a label looks, and between which log returns it is NEUTRAL.

    Attributes:
        steps: how many steps ahead.
        buy_above: strictly above is BUY.
        sell_below: strictly below is SELL.
    """

    steps: int
    buy_above: float
    sell_below: float


class Target(msgspec.Struct, frozen=True):
    """All horizons of a forecast, and the one that is judged and traded.

    Forecasts can be combined only where their targets are equal.

    Attributes:
        step: the clock that horizons count.
        horizons: nearest first, no two equally far.
        primary: position of the one that is judged and traded.
    """

    step: Literal["minute", "day"]
    horizons: tuple[Horizon, ...]
    primary: int

    def __post_init__(self) -> None:
        """Check the order.

        Raises:
            ValueError: for no horizon, an order that does not rise, or a primary that is not there.
        """
        steps = [horizon.steps for horizon in self.horizons]
        if steps != sorted(set(steps)) or not 0 <= self.primary < len(steps):
            raise ValueError(
                f"rising horizons and one of them expected, got {steps}, {self.primary}"
            )

    @property
    def longest(self) -> int:
        """Steps of the farthest horizon: what purging keeps apart."""
        return self.horizons[-1].steps
