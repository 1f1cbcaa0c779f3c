"""Minutes of features, as the live path hands them to a model."""

from __future__ import annotations

from typing import Final, NamedTuple

import pandas as pd

from quantgod.contracts.arrays import Floats, Integers
from quantgod.contracts.columns import ALL_FEATURES

KEPT_MINUTES: Final = 10_080
"""Rows that a live window keeps: a week (10 MB). A new version with a longer window than the one
before it can then answer at once."""


class MinuteRows(NamedTuple):
    """Epoch minutes (n,), increasing, and their features (n, 9 or 121): those of `ALL_FEATURES`."""

    minutes: Integers
    features: Floats


def as_frame(rows: MinuteRows, books: Floats | None = None) -> pd.DataFrame:
    """Return the table that a registered version takes: `datetime` in UTC and the features.

    Args:
        rows: of a window.
        books: (snapshots, levels, 4) before the close of the last row, for a version of the book.
    """
    frame = pd.DataFrame(rows.features, columns=[*ALL_FEATURES[: rows.features.shape[1]]])
    frame.insert(0, "datetime", pd.to_datetime(rows.minutes * 60, unit="s", utc=True))
    if books is not None:
        frame["book"] = pd.Series([*[None] * (len(frame) - 1), books], dtype=object)
    return frame
