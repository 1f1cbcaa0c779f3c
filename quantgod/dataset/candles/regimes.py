"""Fit a jump model of regimes on training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantgod.contracts.arrays import Booleans, Floats, Integers
from quantgod.served.candles.jump_model import JumpModel, measures
from quantgod.served.candles.regime_rules import NAMES, PAST, Rules
from quantgod.settings.regimes import RegimeSettings

ROUNDS = 50
"""Most rounds of placing rows and centroids in turn; paths mostly settle in a dozen."""


def fit_jump_model(
    closes: Sequence[Floats], penalty: float, *, starts: int = 8, seed: int = 0
) -> JumpModel:
    """Return the model whose cheapest paths through the training rows cost least.

    Paths and centroids are placed in turn until no row changes its regime, from `starts` draws of
    centroids (k-means++). Regimes are named by their centroids: the widest is volatile, of the
    others the most efficient trends, of the rest that of the lower variance ratio reverts.

    Args:
        closes: gap-free stretches of training closes, (rows,) each, oldest first.
        penalty: cost of a change of regime, in squared standard deviations of the measures.
        starts: draws of first centroids.
        seed: of these draws.

    Raises:
        ValueError: if fewer than four rows have measures, or one measure never moves.
    """
    parts = [measures(close)[PAST - 1 :] for close in closes if len(close) >= PAST]
    rows = np.concatenate(parts) if parts else np.empty((0, 3))
    if len(rows) < len(NAMES) or not (scale := rows.std(axis=0)).all():
        raise ValueError(
            f"{len(rows)} rows with measures that move expected to be at least {len(NAMES)}: a "
            f"stretch of training closes needs {PAST} rows and more, in which prices change"
        )
    center = rows.mean(axis=0)
    begins = np.zeros(len(rows), dtype=np.bool_)
    begins[np.cumsum([0, *(len(part) for part in parts[:-1])])] = True
    centroids = _best((rows - center) / scale, begins, penalty, starts, seed)
    return JumpModel(center, scale, centroids[_by_name(centroids)], penalty)


def _best(rows: Floats, begins: Booleans, penalty: float, starts: int, seed: int) -> Floats:
    """Return the centroids, (4, 3), of the cheapest of all starts."""
    rng = np.random.default_rng(seed)
    centroids = np.stack([_drawn(rows, rng) for _ in range(starts)])
    placed = np.full((starts, len(rows)), -1)
    for _ in range(ROUNDS):
        before, (placed, cost) = placed, paths(_costs(rows, centroids), begins, penalty)
        if (placed == before).all():
            break
        for start, states in enumerate(placed):
            for state in np.unique(states):
                centroids[start, state] = rows[states == state].mean(axis=0)
    return np.asarray(centroids[cost.argmin()])


def _drawn(rows: Floats, rng: np.random.Generator) -> Floats:
    """Draw rows as centroids, each likelier the further it lies from those drawn before."""
    drawn = [rows[rng.integers(len(rows))]]
    while len(drawn) < len(NAMES):
        away = np.min([np.square(rows - one).sum(axis=1) for one in drawn], axis=0)
        odds = away / away.sum() if away.any() else None
        drawn.append(rows[rng.choice(len(rows), p=odds)])
    return np.stack(drawn)


def _costs(rows: Floats, centroids: Floats) -> Floats:
    """Return (starts, rows, 4)."""
    return np.asarray(np.square(rows[None, :, None] - centroids[:, None]).sum(axis=3) / 2)


def paths(costs: Floats, begins: Booleans, penalty: float) -> tuple[Integers, Floats]:
    """Return the cheapest path of each start, (starts, rows), and its cost, (starts,).

    Args:
        costs: (starts, rows, regimes).
        begins: (rows,) where a stretch begins, at which a change of regime costs nothing.
        penalty: what it costs elsewhere.
    """
    fares = np.where(begins, 0.0, penalty)
    whole = np.empty((costs.shape[1], len(costs), costs.shape[2]))  # by row: quick to walk along
    whole[0] = costs[:, 0]
    for row in range(1, len(whole)):
        jumped = whole[row - 1].min(axis=1, keepdims=True) + fares[row]
        whole[row] = np.minimum(whole[row - 1], jumped) + costs[:, row]
    cheapest = whole.argmin(axis=2)
    jumps = whole[:-1] > whole[:-1].min(axis=2, keepdims=True) + fares[1:, None, None]
    placed, every = cheapest.copy(), np.arange(len(costs))
    for row in range(len(whole) - 1, 0, -1):
        jumped = jumps[row - 1, every, placed[row]]
        placed[row - 1] = np.where(jumped, cheapest[row - 1], placed[row])
    return placed.T, whole[-1].min(axis=1)


def _by_name(centroids: Floats) -> list[int]:
    """Return which centroid each regime of NAMES has."""
    volatility, efficiency, together = centroids.T
    left = set(range(len(NAMES)))
    left.remove(volatile := int(volatility.argmax()))
    left.remove(trending := max(left, key=lambda state: efficiency[state]))
    reverting, ranging = sorted(left, key=lambda state: together[state])
    return [trending, reverting, volatile, ranging]


def regimes_of(settings: RegimeSettings, closes: Sequence[Floats]) -> Rules | JumpModel:
    """Return what tells regimes: rules, or a jump model of these stretches of training closes."""
    if settings.kind == "rules":
        return settings.rules
    return fit_jump_model(closes, settings.penalty, starts=settings.starts, seed=settings.seed)
