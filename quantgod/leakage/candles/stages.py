"""Tell of a walk through candles from when on each of its values may be known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from quantgod.evaluation.forecasts.judged import garch_of
from quantgod.evaluation.forecasts.run import ForecastWalk
from quantgod.leakage.candles.trace import ALL_COINS, Trace, Values
from quantgod.served.candles.quantiles import LEVELS
from quantgod.served.candles.state import experts_of
from quantgod.served.candles.timeline import Timeline
from quantgod.settings import ForecastSettings

STACKED = "stacked mean"
_STATES = {
    "conformal scores": ("scores", "moves"),
    "adaptive intervals": ("intervals", "alpha"),
    "online weights": ("weights", "by_regime", "gained", "usual"),
}
"""Parts of the state of a horizon by stage."""


@dataclass
class States:
    """Keeps digests of the ensemble's state at some dates, before anything is issued by it."""

    at: frozenset[int]
    found: dict[int, list[list[str]]] = field(default_factory=dict)

    def keep(self, now: int, timeline: Timeline) -> None:
        """Keep the state of a date, by stage and horizon."""
        states = timeline.states
        if now in self.at:
            self.found[now] = [
                [_digest(*(np.array(vars(state)[name]) for name in parts)) for state in states]
                for parts in _STATES.values()
            ]


def trace_of(made: ForecastWalk, states: States, how: ForecastSettings) -> Trace:
    """Return all values of a walk by stage, each with the date from which it may be known.

    A row is known at its close, a target at the close that ends it, a selection and a scale before
    the first date to stop by, a stacked mean at its border. Members are told by their forecasts. A
    random walk is left out: it says the same always.
    """
    return {
        **_rows(made, how),
        **_folds(made),
        **_forecasts(made, how),
        **_ensemble(made, how),
        **_states(states, how),
        "GARCH floor": _garch(made, how),
    }


def _rows(made: ForecastWalk, how: ForecastSettings) -> dict[str, Values]:
    table = made.table
    rows = np.flatnonzero(table.so_far > 0)  # the others have too little past
    date, coin = table.date[rows], table.coin[rows]
    found = {
        "features": Values(date, date, coin, table.features[rows], table.columns),
        "widths": Values(date, date, coin, table.sigma[rows, None], ("sigma",)),
    }
    told = date
    if made.regimes["kind"] != "rules":  # fitted to what lies before the first border
        border = made.forward.folds[0].border
        told = np.maximum(date, border - 1)
        model = _digest(json.dumps(made.regimes).encode())
        found["regime model"] = _fitted([(border - 1, border, ALL_COINS)], [[model]], ("model",))
    found["regimes"] = Values(told, date, coin, table.regime[rows, None], ("regime",))
    outcomes = table.outcomes(how.horizons)
    for place, steps in enumerate(how.horizons):
        own = rows[np.isfinite(outcomes[rows, place])]
        date, value = table.date[own], outcomes[own, place, None]
        found[f"targets {steps} ahead"] = Values(
            date + steps, date, table.coin[own], value, ("target",)
        )
    return found


def _folds(made: ForecastWalk) -> dict[str, Values]:
    """Return what each fold learns from, chooses and scales."""
    table, names = made.table, made.table.columns
    learned, chosen, scales, keys = [], [], [], []
    for fold in made.forward.folds:
        rows = (fold.train, fold.stopping)
        learned.append([_digest(*(of[own] for own in rows for of in (table.date, table.coin)))])
    for part in made.forward.parts:
        fold, scale = part.part.fold, part.scale
        whose = part.part.coins[0] if len(part.part.coins) == 1 else ALL_COINS
        keys.append((int(table.date[fold.stopping].min()) - 1, fold.border, whose))
        places = [names.index(column) for column in scale.columns]
        chosen.append(np.isin(np.arange(len(names)), places))
        scales.append(np.full((2, len(names)), np.nan))
        scales[-1][:, places] = scale.centre, scale.width
    each = tuple(f"{part} of {name}" for part in ("centre", "width") for name in names)
    borders = [fold.border for fold in made.forward.folds]
    return {
        "rows to learn from": _fitted(
            [(border - 1, border, ALL_COINS) for border in borders], learned, ("rows",)
        ),
        "selection": _fitted(keys, chosen, names),
        "scales": _fitted(keys, [scale.ravel() for scale in scales], each),
    }


def _forecasts(made: ForecastWalk, how: ForecastSettings) -> dict[str, Values]:
    """Return what each member says, out of fold and on the newest part."""
    forward, count = made.forward, len(made.forward.rows)
    date, coin = made.table.date[forward.rows], made.table.coin[forward.rows]
    return {
        f"forecasts of {name}": Values(
            date, date, coin,
            np.hstack([
                forward.mean[:, place], forward.quantiles[:, place].reshape(count, -1)
            ]),
            _means(how) + _quantiles(how),
        )
        for place, name in enumerate(forward.members)
        if place
    }  # fmt: skip


def _ensemble(made: ForecastWalk, how: ForecastSettings) -> dict[str, Values]:
    """Return coefficients of the stacked mean, and what is issued."""
    forward, issued = made.forward, made.walked.issued
    date, coin = made.table.date[forward.rows], made.table.coin[forward.rows]
    stacks = made.walked.stacks
    of_members = _by_horizon([f"coefficient of {name}" for name in forward.members], how)
    weights = _by_horizon([f"weight of {name}" for name in experts_of(forward.members)], how)
    said = [one.mean[:, None] for one in issued] + [one.quantiles for one in issued]
    return {
        STACKED: _fitted(
            [(border, border, ALL_COINS) for border, _ in stacks],
            [stack.T.ravel() for _, stack in stacks],
            of_members,
        ),
        "weights as issued": Values(
            date, date, coin, np.hstack([one.weights for one in issued]), weights
        ),
        "forecasts as issued": Values(
            date, date, coin, np.hstack(said), _means(how) + _quantiles(how)
        ),
    }


def _states(states: States, how: ForecastSettings) -> dict[str, Values]:
    keys = [(now, now, ALL_COINS) for now in states.found]
    return {
        stage: _fitted(
            keys, [found[place] for found in states.found.values()], _by_horizon(["all"], how)
        )
        for place, stage in enumerate(_STATES)
    }


def _garch(made: ForecastWalk, how: ForecastSettings) -> Values:
    table, first = made.table, made.forward.folds[0].border
    rows = np.flatnonzero(table.date >= first)
    widths = garch_of(table, first, how.horizons)[rows].reshape(len(rows), -1)
    return Values(table.date[rows], table.date[rows], table.coin[rows], widths, _quantiles(how))


def _fitted(
    keys: Sequence[tuple[int, int, int]], values: Sequence[Any], names: tuple[str, ...]
) -> Values:
    """Return values by (known at, date, coin)."""
    known_at, date, coin = np.array(keys, np.int64).reshape(-1, 3).T
    return Values(known_at, date, coin, np.array(values).reshape(len(keys), len(names)), names)


def _by_horizon(each: Sequence[str], how: ForecastSettings) -> tuple[str, ...]:
    return tuple(f"{one} {steps} ahead" for steps in how.horizons for one in each)


def _means(how: ForecastSettings) -> tuple[str, ...]:
    return _by_horizon(["mean"], how)


def _quantiles(how: ForecastSettings) -> tuple[str, ...]:
    return _by_horizon([f"{level:.1%} quantile" for level in LEVELS], how)


def _digest(*parts: npt.NDArray[Any] | bytes) -> str:
    """Return one SHA-256 of arrays or bytes, of each with its length."""
    whole = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes()
        whole.update(len(content).to_bytes(8) + content)
    return whole.hexdigest()
