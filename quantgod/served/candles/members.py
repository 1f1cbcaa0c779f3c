"""Members that need no network: what they say of scaled windows, and how they are told in JSON.

Each says a mean and quantiles of the return over sigma sqrt(h), at each horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .conformal import rising
from .quantiles import NORMAL

Floats = npt.NDArray[np.float64]
Seen = npt.NDArray[np.float32]


MOST_WIDTH = 1.5
"""Of the logarithm of a width that a linear model says, over that of past returns."""


class Said(NamedTuple):
    """What a member says of n moments.

    Attributes:
        mean: (n, horizons).
        quantiles: (n, horizons, levels), rising.
    """

    mean: Floats
    quantiles: Floats


def normal(mean: Floats, spread: Floats | float = 1.0) -> Said:
    """Return a normal distribution's quantiles: mean (n, horizons), and spread of the same or 1."""
    wide = np.broadcast_to(np.asarray(spread, np.float64), mean.shape)
    return Said(mean, mean[..., None] + wide[..., None] * NORMAL)


@dataclass(frozen=True, eq=False)
class Floor:
    """The same mean always, (horizons,): zero for a random walk, else its drift."""

    mean: Floats

    def say(self, windows: Seen) -> Said:
        """Return what it says of windows (n, rows, features), of which it sees nothing."""
        return normal(np.tile(self.mean, (len(windows), 1)))

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"mean": self.mean.tolist()}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Floor:
        """Return what `to_json` told."""
        return cls(np.asarray(told["mean"], np.float64))


@dataclass(frozen=True, eq=False)
class Linear:
    """Mean, and logarithm of the width, that are linear in the newest row.

    Attributes:
        coefficients: (features, horizons) of the mean.
        intercept: (horizons,) of it.
        width_coefficients: (features, horizons) of the logarithm of the width.
        width_intercept: (horizons,) of it.
    """

    coefficients: Floats
    intercept: Floats
    width_coefficients: Floats
    width_intercept: Floats

    def say(self, windows: Seen) -> Said:
        """Return what it says of windows (n, rows, features)."""
        newest = windows[:, -1, :].astype(np.float64)
        mean = _linear(newest, self.coefficients, self.intercept)
        wide = _linear(newest, self.width_coefficients, self.width_intercept)
        return normal(mean, np.exp(np.clip(wide, -MOST_WIDTH, MOST_WIDTH)))

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Linear:
        """Return what `to_json` told."""
        names = ("coefficients", "intercept", "width_coefficients", "width_intercept")
        return cls(*(np.asarray(told[name], np.float64) for name in names))


def _linear(rows: Floats, coefficients: Floats, intercept: Floats) -> Floats:
    """Return rows (n, features) times coefficients, each row's sum in the same order."""
    # A product of matrices would add in another order for one row than for many.
    return np.asarray((rows[:, :, None] * coefficients).sum(axis=1) + intercept)


Predict = Callable[[Seen], Floats]
"""A boosted tree: features (n, rows x features) to (n,)."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted trees of the newest rows, flattened: for each horizon the mean and each quantile.

    Attributes:
        rows: newest rows of a window that they see.
        boosters: (horizons) of one for the mean and one for each level.
    """

    rows: int
    boosters: Sequence[Sequence[Predict]]

    def say(self, windows: Seen) -> Said:
        """Return what they say of windows (n, rows or more, features)."""
        seen = np.ascontiguousarray(windows[:, -self.rows :, :]).reshape(len(windows), -1)
        told = np.stack(
            [np.stack([one(seen) for one in each], axis=-1) for each in self.boosters], axis=1
        )
        return Said(told[..., 0], rising(told[..., 1:]))
