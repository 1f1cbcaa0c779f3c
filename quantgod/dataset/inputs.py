"""Describe the inputs of a network: the columns of a row, and each view that is cut from a window.

One description drives training, the network's card, the served graph, its contract and all checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jaxtyping import Float
from torch import Tensor

from quantgod.contracts import ALL_FEATURES, FEATURE_SETS, FEATURES
from quantgod.dataset.views import View, Views
from quantgod.dataset.windows import Newest, Windows
from quantgod.served.features import sets

BARS: Final = "bars"
"""The view of the nine features of the bars: (window, 9)."""

WIDE: Final = "features"
"""The view of the features of `served/features`: (window, 112)."""

AUX: Final = "aux"
"""The newest row of the same features: (112,)."""

OF_A_TABLE: Final = (BARS, WIDE, AUX)
"""The views that are cut from rows of a table."""


@dataclass(frozen=True)
class Inputs:
    """What a network sees of a moment.

    Attributes:
        window: rows of a window, which `bars` and `features` see whole.
        views: names of the views, of `OF_A_TABLE`.
    """

    window: int
    views: tuple[str, ...] = (BARS,)

    def __post_init__(self) -> None:
        if not self.views or set(self.views) - set(OF_A_TABLE):
            raise ValueError(
                f"views of {', '.join(OF_A_TABLE)} expected, got {', '.join(self.views) or 'none'}"
            )

    @property
    def has_features(self) -> bool:
        """Return whether a view shows more than the nine features of the bars."""
        return self.views != (BARS,)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of a row; the nine come first, since the auditor reads them."""
        return ALL_FEATURES if self.has_features else FEATURES

    @property
    def feature_set(self) -> str:
        """Return the names and versions of the columns' feature sets."""
        return next(name for name, columns in FEATURE_SETS.items() if columns == self.columns)

    @property
    def memory(self) -> int:
        """Return how many rows of a stretch it takes until a row has all columns."""
        return sets.REACH if self.has_features else 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each view of one moment, by name."""
        wide = len(ALL_FEATURES) - len(FEATURES)
        shapes: dict[str, tuple[int, ...]] = {
            BARS: (self.window, len(FEATURES)),
            WIDE: (self.window, wide),
            AUX: (wide,),
        }
        return {name: shapes[name] for name in self.views}

    def over(self, matrix: Float[Tensor, "rows columns"]) -> Views:
        """Return the views of a table's rows, each over its columns of `matrix`."""
        bars, wide = matrix[:, : len(FEATURES)], matrix[:, len(FEATURES) :]
        parts: dict[str, View] = {}
        for name in self.views:
            seen = bars if name == BARS else wide
            parts[name] = Newest(seen) if name == AUX else Windows(seen, self.window)
        return Views(parts)


def cut(windows: Float[Tensor, "batch time columns"], views: tuple[str, ...]) -> dict[str, Tensor]:
    """Return each view of some windows, as `Inputs.over` cuts them from a matrix."""
    if views == (BARS,):
        return {BARS: windows}
    bars, wide = windows[:, :, : len(FEATURES)], windows[:, :, len(FEATURES) :]
    parts = {BARS: bars, WIDE: wide, AUX: wide[:, -1]}
    return {name: parts[name] for name in views}
