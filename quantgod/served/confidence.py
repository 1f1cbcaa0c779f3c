"""How likely the class that a forecaster decides on is right, from what the forecaster says.

It is a logistic function of a few inputs, kept as `confidence.json`. With `x` a row of the inputs
that it names (`inputs_of`), in their order:

    score = sum(slope * (x - center) / scale) + intercept
    confidence = 1 / (1 + exp(-score)), with the score kept within -50 to 50

Nothing of a network but what it says goes in: the inside of a fold's network means something else
in every other network, and what was fitted on it would not carry over to the one that is served.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PROBABILITY = ("log_odds",)
"""Inputs of the calibrated probability of the decided class."""

SAID = (
    *PROBABILITY, "decided_sell", "decided_buy", "log_sell", "log_neutral", "log_buy", "entropy",
    "log_volatility", "log_volatility_of_a_move",
)  # fmt: skip
"""Inputs from any forecaster and the minute: what it says, and how much the price moves."""

HEADS = ("head_log_odds", "size_of_the_expected_return")
"""Further inputs from a network that has both heads."""

FLOOR = 1e-6
LARGEST = 50.0
"""Score beyond which a confidence of 0 or 1 is not told more exactly."""

SELL, NEUTRAL, BUY = 0, 1, 2


class Statement(NamedTuple):
    """What a forecaster says of n moments at the primary horizon, and what it was said in.

    Attributes:
        tilted: (n, 3) probabilities as the class weights of its loss tilt them; the largest decides
        probabilities: (n, 3) without them.
        confidence: (n,) of its own head; read only by a function of `HEADS`.
        expected_return: (n,) likewise.
        volatility: (n,) of the last minute.
    """

    tilted: Floats
    probabilities: Floats
    confidence: Floats
    expected_return: Floats
    volatility: Floats


def confidence(said: Statement, fitted: Mapping[str, Any]) -> Floats:
    """Return how likely the decided class of each row is right, (n,)."""
    inputs = inputs_of(said, fitted["inputs"])
    center, scale, slope = (np.asarray(fitted[name]) for name in ("center", "scale", "slope"))
    # No product with a matrix, whose sums depend on the number of rows.
    score = ((inputs - center) / scale * slope).sum(axis=1) + fitted["intercept"]
    return np.asarray(1 / (1 + np.exp(-np.clip(score, -LARGEST, LARGEST))))


def inputs_of(said: Statement, names: tuple[str, ...] | list[str]) -> Floats:
    """Return the inputs of these names, (n, names)."""
    decided, rows = said.tilted.argmax(axis=1), np.arange(len(said.tilted))
    logs = np.log(np.maximum(said.probabilities, FLOOR))
    volatility = np.log(np.maximum(said.volatility, FLOOR))
    made = {
        "log_odds": _log_odds(said.probabilities[rows, decided]),
        "decided_sell": decided == SELL,
        "decided_buy": decided == BUY,
        "log_sell": logs[:, SELL],
        "log_neutral": logs[:, NEUTRAL],
        "log_buy": logs[:, BUY],
        "entropy": -(said.probabilities * logs).sum(axis=1),
        "log_volatility": volatility,
        "log_volatility_of_a_move": volatility * (decided != NEUTRAL),
        "head_log_odds": _log_odds(said.confidence),
        "size_of_the_expected_return": np.abs(said.expected_return),
    }
    return np.stack([np.asarray(made[name], np.float64) for name in names], axis=1)


def _log_odds(probability: Floats) -> Floats:
    inside = np.clip(np.ascontiguousarray(probability), FLOOR, 1 - FLOOR)
    return np.asarray(np.log(inside / (1 - inside)))
