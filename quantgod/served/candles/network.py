"""A network of candles as it is served: a graph, and the masks that it is asked with."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ..rolling import Floats
from .mc_dropout import Masks, Seen, Session, ask, mc_forecast
from .members import Said, normal

SURE = 1e-3
"""Least probability of either direction that is told as a mean."""

SELL, BUY = 0, 2
"""Places of the two directions among the classes."""

RETURNS = "returns"
"""The objective whose graph says expected returns, as no other's does."""

_NORMAL = NormalDist()


@dataclass(frozen=True, eq=False)
class Network:
    """Asks a graph about scaled windows.

    Attributes:
        session: of a graph that says expected returns (n, horizons), or of another objective than
            `RETURNS` probabilities (n, horizons, classes).
        objective: that the network was trained for.
        masks: of Monte Carlo dropout; None for a width of past returns alone.
    """

    session: Session
    objective: str
    masks: Masks | None

    def say(self, windows: Seen) -> Said:
        """Return what it says of windows (n, time, columns)."""
        if self.masks is not None:
            mean, variance = mc_forecast(self.session, windows, self.masks)
            return normal(mean, np.sqrt(1 + variance))
        said = ask(self.session, windows, {})
        return normal(said if self.objective == RETURNS else mean_of(said))


def mean_of(probabilities: Floats) -> Floats:
    """Return the mean of a normal distribution, of width one, that is above zero as likely as BUY.

    Args:
        probabilities: (n, horizons, classes) without NEUTRAL.
    """
    up, down = probabilities[..., BUY], probabilities[..., SELL]
    share = np.clip(up / (up + down), SURE, 1 - SURE)
    flat = [_NORMAL.inv_cdf(float(one)) for one in share.ravel()]
    return np.array(flat, np.float64).reshape(share.shape)
