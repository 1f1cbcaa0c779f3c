"""Find the forecasters that cannot be told from the best (Hansen, Lunde and Nason, 2011)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from quantgod.contracts import Floats

SIZE: Final = 0.1
"""The set holds the best forecaster in 1 - SIZE of cases."""
REDRAWS: Final = 1000


def model_confidence_set(
    losses: Mapping[str, Floats], steps: int, seed: int = 0, redraws: int = REDRAWS
) -> dict[str, float]:
    """Return the p-value of each forecaster; those above `SIZE` are in the set.

    Args:
        losses: (d,) mean loss of each date by forecaster, oldest first.
        steps: candles that the horizon looks ahead; blocks of dates are at least that long.
        seed: of the redraws.
        redraws: of circular blocks.

    Raises:
        ValueError: for fewer than three blocks.
    """
    from arch.bootstrap import MCS  # noqa: PLC0415  # takes a second

    names, dates = list(losses), len(next(iter(losses.values())))
    block = max(steps, round(dates ** (1 / 3)))
    if dates < 3 * block:
        raise ValueError(f"three blocks of {block} dates at least expected, got {dates} dates")
    groups = _equal(losses)
    leaders = [name for name in names if groups[name] == name]
    if len(leaders) == 1:
        return dict.fromkeys(names, 1.0)
    table = np.stack([losses[name] for name in leaders], axis=1)
    found = MCS(table, SIZE, redraws, block, method="R", bootstrap="circular", seed=seed)
    found.compute()
    values = found.pvalues["Pvalue"]
    return {name: float(values[leaders.index(groups[name])]) for name in names}


def _equal(losses: Mapping[str, Floats]) -> dict[str, str]:
    """Return the first forecaster with the same losses, by name: equal ones cannot be compared."""
    found: dict[str, str] = {}
    for name, loss in losses.items():
        same = (one for one in found.values() if np.allclose(losses[one], loss, rtol=1e-12, atol=0))
        found[name] = next(same, name)
    return found
