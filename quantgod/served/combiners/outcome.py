"""What has to come of a minute for the weights of members to move."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """The label whose classes move weights: that of the log return to a later minute.

    Attributes:
        minutes: until its end.
        buy_above: strictly above is BUY.
        sell_below: strictly below is SELL.
    """

    minutes: int
    buy_above: float
    sell_below: float
