"""What makes features free of price and volatility, and how a set's columns become its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..rolling import Floats, before, deviation

SIGMA_FLOOR = 1e-5
"""Least deviation of a log return: a tenth of a basis point."""


def log_returns(close: Floats) -> Floats:
    """Return ln(close / close of the row before), NaN in the first row."""
    return np.asarray(np.log(close / before(close, 1)))


def sigma_of(close: Floats, rows: int) -> Floats:
    """Return the standard deviation of the last `rows` returns, at least `SIGMA_FLOOR`."""
    return np.maximum(deviation(log_returns(close), rows), SIGMA_FLOOR)


def newest(columns: Mapping[str, Floats], reach: int, needed: int) -> dict[str, Floats]:
    """Return the columns without the rows that only a figure with a longer memory looks at.

    Of a set that reaches back `reach` rows the values before have no place in its table, so that
    figures of `needed` rows need none of the first `reach - needed`. It is what makes one live
    minute cheap.
    """
    return {name: values[max(reach - needed, 0) :] for name, values in columns.items()}


def table(found: Mapping[str, Floats], names: Sequence[str], reach: int, rows: int) -> Floats:
    """Return (rows, names), NaN where there is less past than `reach`; figures end together."""
    together = np.full((rows, len(names)), np.nan)
    if rows >= reach:
        for place, name in enumerate(names):
            together[reach - 1 :, place] = found[name][-(rows - reach + 1) :]
    return together
