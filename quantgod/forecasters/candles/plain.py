"""Members that are told in JSON: random walk, drift and ridge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import Ridge

from quantgod.contracts import Floats, Integers
from quantgod.files import write_json
from quantgod.forecasters.candles.member import Hooks, Material, Seen, in_batches
from quantgod.served.candles.members import Floor, Linear, Said
from quantgod.settings import SettingsError

FILE = "plain.json"
PENALTIES = (1e2, 1e3, 1e4, 1e5)
"""Of the ridge, as document 002 has none."""
LEAST_SIZE = 0.05
"""Of a return, of its width, whose logarithm is learned: below it there is but rounding."""


@dataclass(frozen=True, eq=False)
class Plain:
    """A member that the served code is told of in one file."""

    served: Floor | Linear
    told: dict[str, Any] = field(default_factory=dict)

    def forecast(self, matrix: Seen, rows: Integers) -> Said:
        """Return what it says of rows of a scaled matrix; it looks at no row before them."""
        return in_batches(self.served.say, matrix, rows, 1)

    def save(self, folder: Path) -> None:
        """Write `plain.json`, atomically."""
        kind = type(self.served).__name__.lower()
        write_json(folder / FILE, {"kind": kind, **self.served.to_json()})


def random_walk(of: Material) -> Plain:
    """Return what the price says itself: nothing of the mean, and the width of past returns."""
    return Plain(Floor(np.zeros(len(of.horizons))))


def drift(of: Material) -> Plain:
    """Return a random walk with the mean of all that is known."""
    known = np.concatenate([of.train, of.stopping])
    return Plain(Floor(of.outcomes[known].mean(axis=0)))


def ridge(of: Material, params: Mapping[str, Any], hooks: Hooks) -> Plain:
    """Fit a ridge of the mean and one of the width to the newest row, at each horizon.

    The width is that of log |return| over its past width, as Corsi (2009) regresses volatility on
    its past; it is set so that squared returns are as large as their variance on training rows.
    `penalties` are tried for both, and the best on the rows to stop by is taken.

    Raises:
        SettingsError: for another parameter.
    """
    if unknown := sorted(params.keys() - {"penalties"}):
        raise SettingsError(f"ridge: unknown parameter {', '.join(unknown)} (allowed: penalties)")
    penalties = tuple(float(one) for one in params.get("penalties", PENALTIES))
    newest = of.matrix.astype(np.float64)
    seen, later = newest[of.train], newest[of.stopping]
    came, then = of.outcomes[of.train], of.outcomes[of.stopping]
    mean = _best(seen, came, later, then, penalties)
    wide = _best(seen, _log_size(came), later, _log_size(then), penalties)
    spread = np.exp(seen @ wide.coefficients)
    level = np.log(np.sqrt(np.square(came / spread).mean(axis=0)))
    told = {"penalties": mean.penalties, "width_penalties": wide.penalties}
    return Plain(Linear(mean.coefficients, mean.intercept, wide.coefficients, level), told)


class _Line(NamedTuple):
    coefficients: Floats
    intercept: Floats
    penalties: list[float]


def _best(
    seen: Floats, came: Floats, later: Floats, then: Floats, penalties: Sequence[float]
) -> _Line:
    """Return the ridge of the least squared error on later rows, for each horizon its own."""
    fitted = [Ridge(alpha=penalty).fit(seen, came) for penalty in penalties]
    # Of one horizon scikit-learn leaves out the axis.
    said = [one.predict(later).reshape(then.shape) for one in fitted]
    errors = np.stack([np.square(one - then).mean(axis=0) for one in said])
    best = [fitted[place] for place in errors.argmin(axis=0)]
    return _Line(
        np.stack([np.atleast_2d(one.coef_)[h] for h, one in enumerate(best)], axis=1),
        np.array([np.atleast_1d(one.intercept_)[h] for h, one in enumerate(best)]),
        [penalties[place] for place in errors.argmin(axis=0)],
    )


def _log_size(outcomes: Floats) -> Floats:
    return np.log(np.maximum(np.abs(outcomes), LEAST_SIZE))
