"""Put what an ensemble and its experts issued beside what came, as evaluation takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from quantgod.contracts import Booleans, Floats, Integers
from quantgod.dataset.candles.table import CandleTable
from quantgod.ensemble.candles.walk import Walked
from quantgod.evaluation.forecasts.garch import garch_floor
from quantgod.evaluation.forecasts.outcomes import GARCH, RANDOM_WALK, Distribution, Outcomes
from quantgod.forecasters.candles.forward import Forward
from quantgod.served.candles.state import Issued, experts_of
from quantgod.settings import ForecastSettings

ENSEMBLE: Final = "ensemble"


def outcomes_of(
    table: CandleTable, forward: Forward, walked: Walked, how: ForecastSettings
) -> list[Outcomes]:
    """Return the matured forecasts of each horizon, of all whom `said_by` tells of and GARCH.

    What is judged was issued: corrected by matured scores, as `walk` has it; `raw` is what experts
    said themselves.

    Args:
        table: all rows.
        forward: members' forecasts, whose rows these are.
        walked: what was made of them.
        how: horizons, and whether members are combined.
    """
    came = table.outcomes(how.horizons)[forward.rows]
    first = min(fold.border for fold in forward.folds)
    garch = garch_of(table, first, how.horizons)[forward.rows]
    return [
        _outcomes(
            table, forward.rows, np.isfinite(came[:, place]), steps,
            said_by(walked.issued[place], forward.members, how), garch[:, place],
        )
        for place, steps in enumerate(how.horizons)
    ]  # fmt: skip


def subject_of(how: ForecastSettings) -> str:
    """Return who is judged: the ensemble, or without one the first member that is asked for."""
    return ENSEMBLE if how.ensemble.enabled else next(iter(how.chosen), RANDOM_WALK)


def said_by(
    issued: Issued, members: Sequence[str], how: ForecastSettings
) -> dict[str, Distribution]:
    """Return what the ensemble and each expert issued, by name; members alone without one."""
    found = {}
    if how.ensemble.enabled:
        found[ENSEMBLE] = Distribution(issued.mean, issued.quantiles, issued.uncorrected)
    for number, name in enumerate(experts_of(members) if how.ensemble.enabled else members):
        raw = issued.raw[:, number] if number < issued.raw.shape[1] else None
        found[name] = Distribution(issued.means[:, number], issued.experts[:, number], raw)
    return found


def _outcomes(
    table: CandleTable,
    rows: Integers,
    chosen: Booleans,
    steps: int,
    said: Mapping[str, Distribution],
    garch: Floats,
) -> Outcomes:
    forecasts, rows = {name: one.take(chosen) for name, one in said.items()}, rows[chosen]
    floor = garch[chosen] / (table.sigma[rows] * np.sqrt(steps))[:, None]
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
