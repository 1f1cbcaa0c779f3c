"""The strategies of document 001: each makes one forecast a moment of votes and weights.

All are free of the members' order, symmetric in SELL and BUY, and give back a single member's
forecast. Sources: document 001 (weighted, unanimous, majority, confidence); Genest and Zidek 1986
(logarithmic pool).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .votes import NEUTRAL, Booleans, Floats, Integers, Rules, Votes, likeliest, shares, total

FLOOR = 1e-12
"""The least probability that a logarithm is taken of."""


class Pool(NamedTuple):
    """One forecast of each moment, before it is asked whether to trade on it.

    Attributes:
        probabilities: (moments, 3); not a number where nobody is heard.
        shares: (members, moments) of each member in it, adding up to 1 where anybody is heard.
        direction: (moments,) class.
        is_heard: (moments,) whether there is an answer, the quorum left aside.
        certainty: (moments,) what has to reach the confidence threshold.
    """

    probabilities: Floats
    shares: Floats
    direction: Integers
    is_heard: Booleans
    certainty: Floats


def weighted(votes: Votes, weights: Floats, rules: Rules) -> Pool:
    """Return the weighted mean of the members' probabilities."""
    return _pool(votes, shares(weights, votes.present), rules)


def confidence(votes: Votes, weights: Floats, rules: Rules) -> Pool:
    """Return the mean weighted by weight times confidence."""
    given = weights[:, None] if weights.ndim == 1 else weights
    sure = np.where(votes.present, votes.confidence, 0.0)
    return _pool(votes, shares(given * sure, votes.present), rules)


def logarithmic(votes: Votes, weights: Floats, rules: Rules) -> Pool:
    """Return the weighted geometric mean of the members' probabilities, made to add up to 1."""
    used = shares(weights, votes.present)
    said = np.where(votes.present[..., None], votes.probabilities, 1.0)
    scores = total(used[..., None] * np.log(np.maximum(said, FLOOR)))
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return _answer(votes, powers / powers.sum(axis=-1, keepdims=True), used, rules)


def unanimous(votes: Votes, weights: Floats, rules: Rules) -> Pool:
    """Return the weighted mean; it is NEUTRAL unless all members say one class.

    All have to speak, and each to reach both thresholds itself: one more member adds no trade.
    """
    pool = weighted(votes, weights, rules)
    said = rules.directions(votes.probabilities, rules.neutral_threshold)
    all_agree = (said == said[:1]).all(axis=0)
    least = np.where(votes.present, votes.confidence, 0.0).min(axis=0)
    direction = np.where(all_agree, said[0], NEUTRAL)
    return pool._replace(
        direction=direction, is_heard=pool.is_heard & votes.present.all(axis=0), certainty=least
    )


def majority(votes: Votes, weights: Floats, rules: Rules) -> Pool:
    """Return the class that most members say, weights aside; NEUTRAL on a tie.

    The direction depends on the members' classes alone. Probabilities are the mean of those who
    say it, or of all where nobody does.
    """
    heard = votes.present & (shares(weights, votes.present) > 0)
    said = rules.directions(votes.probabilities)
    counts = np.stack([(heard & (said == one)).sum(axis=0) for one in range(3)], axis=-1)
    direction = likeliest(counts.astype(np.float64))
    mine = heard & (said == direction)
    mine = np.where(mine.any(axis=0), mine, heard)
    ones = np.ones(len(heard))
    return _pool(votes, shares(ones, mine), rules)._replace(direction=direction)


STRATEGIES: dict[str, Callable[[Votes, Floats, Rules], Pool]] = {
    "weighted_voting": weighted,
    "unanimous": unanimous,
    "majority": majority,
    "confidence_based": confidence,
    "logarithmic_pool": logarithmic,
}
"""By name; `adaptive` and `hedge` are `weighted_voting` by weights that move, and
`stacking` is `logarithmic_pool` by weights that were fitted."""


def _pool(votes: Votes, used: Floats, rules: Rules) -> Pool:
    said = np.where(votes.present[..., None], votes.probabilities, 0.0)
    return _answer(votes, total(used[..., None] * said), used, rules)


def _answer(votes: Votes, probabilities: Floats, used: Floats, rules: Rules) -> Pool:
    is_heard = np.asarray((used > 0).any(axis=0))
    made = np.where(is_heard[:, None], probabilities, np.nan)
    direction = rules.directions(made, rules.neutral_threshold)
    return Pool(made, used, direction, is_heard, confidence_of(votes))


def confidence_of(votes: Votes) -> Floats:
    """Return Σc² / Σc over the speaking members, (moments,); 0 where none is sure of anything."""
    said = np.where(votes.present, votes.confidence, 0.0)
    whole = total(said)
    return np.asarray(np.divide(total(said**2), whole, out=np.zeros_like(whole), where=whole > 0))
