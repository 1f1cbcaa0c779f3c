"""The regime that a market is in, by a statistical jump model run online.

Each regime has a centroid of three figures (`measures`), fitted on training rows. A row costs half
its squared distance from the centroid of its regime, and a change of regime costs `penalty`
(Nystrup, Lindstrom and Madsen, 2020). A row's regime is the one in which the cheapest path of the
last MEMORY rows ends at it. The path is never looked back along, so that no later row changes what
was said (Shu, Yu and Mulvey, 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..features.scale import log_returns
from ..rolling import Floats, deviation, log_ratio
from .features.measures import efficiency, variance_ratio
from .regime_rules import MEMORY, NAMES, PAST, REACH, Integers

FLOOR = 0.05
"""Least variance ratio of which a logarithm is taken."""


@dataclass(frozen=True, eq=False)
class JumpModel:
    """A fitted model of the regimes of NAMES.

    Attributes:
        center: (3,) mean of each figure in training.
        scale: (3,) their standard deviation, above 0.
        centroids: (4, 3) by regime, in these units.
        penalty: cost of a change of regime, at least 0.
    """

    center: Floats
    scale: Floats
    centroids: Floats
    penalty: float

    def costs(self, rows: Floats) -> Floats:
        """Return what each row of `measures` costs in each regime, (rows, 4)."""
        away = ((rows - self.center) / self.scale)[:, None, :] - self.centroids
        return np.asarray(np.square(away).sum(axis=2) / 2)

    def compute(self, columns: Mapping[str, Floats]) -> Integers:
        """Return the regime of each candle of a gap-free stretch, (rows,): its place in NAMES.

        The first REACH - 1 rows are -1.
        """
        regime = np.full(len(columns["close"]), -1)
        if (count := len(regime) - REACH + 1) > 0:
            costs = self.costs(measures(columns["close"])[PAST - 1 :])
            paths = costs[:count]
            for row in range(1, MEMORY):
                jumped = paths.min(axis=1, keepdims=True) + self.penalty
                paths = costs[row : row + count] + np.minimum(paths, jumped)
            regime[REACH - 1 :] = paths.argmin(axis=1)
        return regime

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        arrays = {name: getattr(self, name).tolist() for name in ("center", "scale", "centroids")}
        return {"kind": "jump", **arrays, "penalty": self.penalty, "regimes": list(NAMES)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> JumpModel:
        """Read what `to_json` returned."""
        center, scale, centroids = (
            np.array(content[name], np.float64) for name in ("center", "scale", "centroids")
        )
        return cls(center, scale, centroids, float(content["penalty"]))


def measures(close: Floats) -> Floats:
    """Return what regimes differ in, (rows, 3); the first PAST - 1 rows are NaN.

    That is the logarithm of the volatility of 20 returns over that of 180, the efficiency ratio of
    30 returns without its sign, and the logarithm of the variance ratio of 5 returns over 60.
    """
    returns = log_returns(close)
    found = np.stack(
        [
            log_ratio(deviation(returns, 20), deviation(returns, 180)),
            np.abs(efficiency(returns, 30)),
            np.log(np.maximum(variance_ratio(returns, 60, 5), FLOOR)),
        ],
        axis=1,
    )
    found[: PAST - 1] = np.nan
    return found
