"""Scale each feature to zero mean and unit variance, fitted on training rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import StandardScaler

from quantgod.contracts import Booleans, Floats


class ConstantFeatureWarning(UserWarning):
    """A feature is constant on the training rows, so nothing can be learned from it."""


@dataclass(frozen=True, eq=False)
class Scaler:
    """`(x - mean) / std`, each (features,) float64.

    A std of zero marks a feature that was constant on the training rows. Nothing can be learned
    from it, so every value of it is scaled to zero.
    """

    mean: Floats
    std: Floats

    def __post_init__(self) -> None:
        if self.mean.shape != self.std.shape or self.mean.ndim != 1:
            raise ValueError(
                f"mean {self.mean.shape} and std {self.std.shape} must be one vector each"
            )
        if not (
            np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std >= 0).all()
        ):
            raise ValueError("a scaler needs finite means, and finite deviations of 0 or more")

    @property
    def moves(self) -> Booleans:
        """Return which features varied on the training rows, (features,)."""
        return self.std > 0

    def transform(self, matrix: Floats) -> Floats:
        """Scale an array (..., features)."""
        scaled = (matrix - self.mean) / np.where(self.moves, self.std, 1.0)
        return np.where(self.moves, scaled, 0.0)

    def to_json(self) -> dict[str, list[float]]:
        """Return a JSON-able mapping from which `from_json` restores the same bits."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Sequence[float]]) -> Scaler:
        """Return the scaler that `to_json` wrote.

        Raises:
            ValueError: if a part is missing or invalid.
        """
        missing = {"mean", "std"} - value.keys()
        if missing:
            raise ValueError(f"a scaler needs mean and std; {', '.join(sorted(missing))} missing")
        return cls(np.asarray(value["mean"], np.float64), np.asarray(value["std"], np.float64))


def fit_scaler(matrix: Floats) -> Scaler:
    """Fit on (rows, features), each row once, as scikit-learn's `StandardScaler` does (ddof 0).

    A feature that is constant up to rounding, by scikit-learn's rule, gets a std of zero.

    Raises:
        ValueError: if there are no rows, or a value is not finite.
    """
    if matrix.ndim != 2 or not len(matrix):
        raise ValueError(f"rows of features are needed to fit a scaler, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("a scaler cannot be fitted on values that are not finite")
    fitted = StandardScaler().fit(np.asarray(matrix, np.float64))
    constant = fitted.scale_ != np.sqrt(fitted.var_)  # there scikit-learn divides by 1
    return Scaler(fitted.mean_, np.where(constant, 0.0, fitted.scale_))
