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

BOOK: Final = "book"
"""The view of the book's last snapshots before the newest row's close: (block, levels, 4)."""

VIEWS: Final = (BARS, WIDE, AUX, BOOK)
"""All views; `BOOK` is cut from stored blocks, the others from rows of a table."""


@dataclass(frozen=True)
class Inputs:
    """What a network sees of a moment.

    Attributes:
        window: rows of a window, which `bars` and `features` see whole.
        views: names of the views, of `VIEWS`.
        book: snapshots of a block and levels a side, for a network of the book.
    """

    window: int
    views: tuple[str, ...] = (BARS,)
    book: tuple[int, int] = (100, 20)

    def __post_init__(self) -> None:
        if not self.views or set(self.views) - set(VIEWS):
            raise ValueError(
                f"views of {', '.join(VIEWS)} expected, got {', '.join(self.views) or 'none'}"
            )

    @property
    def has_features(self) -> bool:
        """Return whether a view shows features of the 112."""
        return bool({WIDE, AUX}.intersection(self.views))

    @property
    def has_book(self) -> bool:
        """Return whether a view shows snapshots of the book."""
        return BOOK in self.views

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
            BOOK: (*self.book, 4),
        }
        return {name: shapes[name] for name in self.views}

    def over(self, matrix: Float[Tensor, "rows columns"], book: View | None = None) -> Views:
        """Return the views of a table's rows, each over its columns of `matrix`.

        Raises:
            ValueError: if the view of the book is not given, or is of another shape.
        """
        bars, wide = matrix[:, : len(FEATURES)], matrix[:, len(FEATURES) :]
        parts: dict[str, View] = {}
        for name in self.views:
            if name == BOOK:
                parts[name] = self._checked(book)
                continue
            seen = bars if name == BARS else wide
            parts[name] = Newest(seen) if name == AUX else Windows(seen, self.window)
        return Views(parts)

    def _checked(self, book: View | None) -> View:
        if book is None or book.shape != self.shapes[BOOK]:
            came = "none" if book is None else f"those of shape {book.shape}"
            raise ValueError(f"blocks of the book of {self.shapes[BOOK]} expected, got {came}")
        return book


def cut(windows: Float[Tensor, "batch time columns"], views: tuple[str, ...]) -> dict[str, Tensor]:
    """Return each view of some windows but the book's, as `Inputs.over` cuts them."""
    if views == (BARS,):
        return {BARS: windows}
    bars, wide = windows[:, :, : len(FEATURES)], windows[:, :, len(FEATURES) :]
    parts = {BARS: bars, WIDE: wide, AUX: wide[:, -1]}
    return {name: parts[name] for name in views if name in parts}
