"""Closes in which regimes are planted, and those regimes."""

from __future__ import annotations

import numpy as np

from quantgod.served.candles.regime_rules import NAMES

SEGMENT = 120


def planted(seed: int, segments: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Closes and the regime of each row: all four in turn, each time in another order."""
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(NAMES)) for _ in range(segments // len(NAMES))])
    returns = np.concatenate([_returns(NAMES[regime], rng) for regime in order])
    return 100 * np.exp(np.cumsum(returns)), np.repeat(order, SEGMENT)


def _returns(regime: str, rng: np.random.Generator) -> np.ndarray:
    shocks = rng.normal(0, 0.01, SEGMENT + 1)
    moves = {
        "trending": shocks[1:] + 0.006 * rng.choice([-1, 1]),
        "mean_reverting": shocks[1:] - 0.9 * shocks[:-1],
        "volatile": 4 * shocks[1:],
        "ranging": 0.5 * shocks[1:],
    }
    return moves[regime]
