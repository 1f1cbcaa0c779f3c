"""Scale features by their median and quartiles, and bound what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RobustScale:
    """`clip((x - centre) / width)`; a width of zero marks a feature that is always scaled to zero.

    Attributes:
        columns: names of the features that are kept, in order.
        centre: (features,) median of the training rows.
        width: (features,) distance of their quartiles.
        bound: largest absolute value that is left.
    """

    columns: tuple[str, ...]
    centre: Floats
    width: Floats
    bound: float

    def transform(self, matrix: Floats, names: Sequence[str]) -> Floats:
        """Return the kept features of a matrix (n, names), scaled, (n, features)."""
        chosen = matrix[:, [names.index(column) for column in self.columns]]
        moves = self.width > 0
        scaled = (chosen - self.centre) / np.where(moves, self.width, 1.0)
        return np.clip(np.where(moves, scaled, 0.0), -self.bound, self.bound)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, from which `from_json` makes the same bits."""
        return {
            "columns": list(self.columns), "centre": self.centre.tolist(),
            "width": self.width.tolist(), "bound": self.bound,
        }  # fmt: skip

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> RobustScale:
        """Return what `to_json` told."""
        centre, width = (np.asarray(told[name], np.float64) for name in ("centre", "width"))
        return cls(tuple(told["columns"]), centre, width, float(told["bound"]))
