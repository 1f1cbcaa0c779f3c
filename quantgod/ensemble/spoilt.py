"""Measure what strategies lose when a member stops knowing anything halfway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from quantgod.contracts import Floats, Integers
from quantgod.ensemble.fitting import OutOfFoldVotes, fit_combiner, new_combiner
from quantgod.served.combiners.outcome import Outcome
from quantgod.served.combiners.strategies import FLOOR
from quantgod.settings import EnsembleSettings, Settings
from quantgod.settings.ensemble import Strategy

STRATEGIES: Final[tuple[Strategy, ...]] = ("weighted_voting", "adaptive", "hedge")
"""Fixed weights, and those that move with outcomes."""


def losses_with_a_spoilt_member(
    members: Sequence[str], made: OutOfFoldVotes, settings: Settings
) -> dict[str, float]:
    """Return each strategy's log-loss from the middle on, where the best member is spoilt.

    From there on it says of a minute what it would have said of another one, so that its forecasts
    look as before and tell nothing. All strategies begin with equal weights.

    Args:
        members: names, in the order of the votes.
        made: what they said of moments in order of time, all present, and what came.
        settings: of label, audit and evaluate; of `ensemble` all but strategy and weights.
            `simulate.seed` draws the order in which the spoilt member speaks.
    """
    votes, target, half = made.votes, made.target, len(made.target) // 2
    said = votes.probabilities.copy()
    best = int(np.argmin([_loss(one[:half], target[:half]) for one in said]))
    rng = np.random.default_rng([settings.simulate.seed, 1])
    order = np.append(np.arange(half), rng.permutation(np.arange(half, len(target))))
    said[best], confidence = said[best, order], votes.confidence.copy()
    confidence[best] = confidence[best, order]
    spoilt = made._replace(votes=replace(votes, probabilities=said, confidence=confidence))
    return {
        strategy: _loss(_together(strategy, members, spoilt, settings)[half:], target[half:])
        for strategy in STRATEGIES
    }


def _together(
    strategy: Strategy, members: Sequence[str], made: OutOfFoldVotes, settings: Settings
) -> Floats:
    """Return what members say together under a strategy that begins with equal weights."""
    how = (settings.ensemble or EnsembleSettings()).model_copy(
        update={"strategy": strategy, "weights": {}}
    )
    own = settings.label
    outcome = Outcome(own.horizon_minutes, own.buy_above, own.sell_below)
    new = new_combiner(
        how, members, settings.audit.decision_weights, outcome, settings.evaluate.stride
    )
    fitted = fit_combiner(new, strategy, made)
    return fitted.combiner.combine(made.votes, fitted.weights).probabilities


def _loss(said: Floats, target: Integers) -> float:
    came = np.take_along_axis(said, target[:, None], axis=1)
    return float(-np.log(np.maximum(came, FLOOR)).mean())
