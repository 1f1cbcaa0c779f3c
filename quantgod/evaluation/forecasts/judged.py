"""Put what an ensemble and its experts issued beside what came, as evaluation takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from quantgod.contracts import Booleans, Floats
from quantgod.dataset.candles.table import CandleTable
from quantgod.ensemble.candles.walk import Walked
from quantgod.evaluation.forecasts.garch import garch_floor
from quantgod.evaluation.forecasts.outcomes import GARCH, Distribution, Outcomes
from quantgod.forecasters.candles.forward import Forward
from quantgod.served.candles.online import experts_of

ENSEMBLE: Final = "ensemble"


def outcomes_of(
    table: CandleTable,
    forward: Forward,
    walked: Walked,
    horizons: Sequence[int],
    since: int | None = None,
    until: int | None = None,
) -> list[Outcomes]:
    """Return the matured forecasts of each horizon, of all experts, the ensemble and GARCH.

    What is judged was issued: corrected by matured scores, as `walk` has it; `raw` is what experts
    said themselves.

    Args:
        table: all rows.
        forward: members' forecasts, whose rows these are.
        walked: what was made of them.
        horizons: steps ahead.
        since: first date of issue.
        until: the date after the last.
    """
    came = table.outcomes(horizons)[forward.rows]
    dates = table.date[forward.rows]
    low, high = (-np.inf if since is None else since, np.inf if until is None else until)
    chosen = (dates >= low) & (dates < high)
    first = min(fold.border for fold in forward.folds)
    garch = garch_of(table, first, tuple(horizons))[forward.rows]
    return [
        _outcomes(table, forward, walked, place, steps, chosen & np.isfinite(came[:, place]), garch)
        for place, steps in enumerate(horizons)
    ]


def _outcomes(
    table: CandleTable,
    forward: Forward,
    walked: Walked,
    place: int,
    steps: int,
    chosen: Booleans,
    garch: Floats,
) -> Outcomes:
    rows, issued = forward.rows[chosen], walked.issued[place].take(chosen)
    forecasts = {ENSEMBLE: Distribution(issued.mean, issued.quantiles, issued.uncorrected)}
    names = experts_of(forward.members)
    for number, name in enumerate(names):
        raw = issued.raw[:, number] if number < issued.raw.shape[1] else None
        forecasts[name] = Distribution(issued.means[:, number], issued.experts[:, number], raw)
    unit = table.sigma[rows] * np.sqrt(steps)
    floor = garch[chosen, place] / unit[:, None]
    if np.isfinite(floor).all():
        forecasts[GARCH] = Distribution(np.zeros(len(rows)), floor)
    return Outcomes(
        date=table.date[rows],
        coin=np.array(table.coins, np.str_)[table.coin[rows]],
        steps=steps,
        y=table.outcomes((steps,))[rows, 0],
        sigma=table.sigma[rows],
        close=table.close[rows],
        forecasts=forecasts,
        step_ms=table.step_ms,
    )


def garch_of(table: CandleTable, border: int, horizons: tuple[int, ...]) -> Floats:
    """Return GARCH's quantiles of log returns, (n, horizons, levels), fitted before a border.

    NaN for a coin that is too young.
    """
    found = np.full((len(table), len(horizons), 7), np.nan)
    for coin in range(len(table.coins)):
        own = np.flatnonzero(table.coin == coin)
        returns = np.diff(np.log(table.close[own]), prepend=np.nan)
        returns[np.diff(table.run[own], prepend=table.run[own][:1] - 1) != 0] = np.nan
        try:
            found[own] = garch_floor(returns, table.date[own] < border, horizons)
        except ValueError:  # too few before the border: no such floor for it
            continue
    return found


def weights_of(walked: Walked, members: Sequence[str], place: int) -> Mapping[str, Floats]:
    """Return the weights of each expert that counted at one horizon, of all moments, by name."""
    weights = walked.issued[place].weights
    return {name: weights[:, number] for number, name in enumerate(experts_of(members))}
