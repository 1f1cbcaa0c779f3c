"""Weights that move with outcomes: one step a matured outcome, in the order in which they matured.

Whoever replays the same outcomes gets the same bits; without any, weights are the initial ones. A
member that was absent from a moment neither wins nor loses by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .votes import Booleans, Floats, likeliest

FLOOR = 1e-6
"""The least probability that a loss is computed of: a certain member that errs loses 13.8."""


@dataclass(frozen=True)
class Hedge:
    """Exponential weights on log-loss with a fixed share (Herbster and Warmuth 1998).

    Outcomes come `delay` steps late and overlap as much, so each counts a `delay`th.

    Attributes:
        rate: of learning. At 1 the weights are what Bayes' rule says of who is the one member that
            is right, which one market's noise decides; far below it members that know different
            things stay together.
        share: that as many steps as `delay` give back to the initial weights, so that who was bad
            can return.
        delay: outcomes that are out at any time: the steps to the primary horizon.
    """

    rate: float = 0.1
    share: float = 0.01
    delay: int = 1

    def start(self, initial: Floats) -> dict[str, Any]:
        """Return the state before any outcome, (members,) of weights that add up to 1."""
        return {"weights": np.asarray(initial, np.float64) / np.sum(initial)}

    def weights(self, state: dict[str, Any], initial: Floats) -> Floats:
        """Return the weights to combine with."""
        return np.asarray(state["weights"])

    def advance(
        self,
        state: dict[str, Any],
        initial: Floats,
        probabilities: Floats,
        present: Booleans,
        outcome: int,
    ) -> dict[str, Any]:
        """Return the state after an outcome.

        Args:
            state: before it.
            initial: (members,) the weights before any outcome.
            probabilities: (members, 3) what members said of that moment.
            present: (members,) which of them spoke.
            outcome: the class that came.
        """
        if not present.any():
            return state
        weights = np.array(state["weights"])
        said = np.maximum(probabilities[present, outcome], FLOOR)
        awake = weights[present]
        moved = awake * said ** (self.rate / self.delay)
        if moved.sum() > 0:
            weights[present] = moved * (awake.sum() / moved.sum())
        start = self.start(initial)["weights"]
        share = self.share / self.delay
        return {"weights": (1 - share) * weights + share * start}


@dataclass(frozen=True)
class Adaptive:
    """The initial weights times recent accuracy (document 001), which fades with a half-life.

    Attributes:
        half_life: outcomes after which one counts half.
        prior: outcomes of equal accuracy that every member starts with.
    """

    half_life: float = 1440.0
    prior: float = 60.0

    def start(self, initial: Floats) -> dict[str, Any]:
        """Return the state before any outcome: right and judged outcomes of each member, faded."""
        zeros = np.zeros(len(initial))
        return {"right": zeros, "judged": zeros}

    def weights(self, state: dict[str, Any], initial: Floats) -> Floats:
        """Return the initial weights times accuracy, of which `prior` outcomes are even chance."""
        right = np.asarray(state["right"]) + self.prior / 3
        return np.asarray(initial) * (right / (np.asarray(state["judged"]) + self.prior))

    def advance(
        self,
        state: dict[str, Any],
        initial: Floats,
        probabilities: Floats,
        present: Booleans,
        outcome: int,
    ) -> dict[str, Any]:
        """Return the state after an outcome; see `Hedge.advance`."""
        kept = np.where(present, 0.5 ** (1 / self.half_life), 1.0)
        is_right = present & (likeliest(probabilities) == outcome)
        return {
            "right": np.asarray(state["right"]) * kept + is_right,
            "judged": np.asarray(state["judged"]) * kept + present,
        }
