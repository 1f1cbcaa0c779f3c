"""From votes to one answer a moment, with all that document 001 asks to be told of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .strategies import STRATEGIES, confidence_of
from .votes import NEUTRAL, UNDECIDED, Booleans, Floats, Integers, Rules, Votes, total


@dataclass(frozen=True)
class Consensus:
    """One answer to each moment. Without one, numbers are not numbers and nothing is traded.

    Attributes:
        probabilities: (moments, 3) in class order.
        direction: (moments,) class, or `UNDECIDED`.
        confidence: (moments,) Σc² / Σc over the speaking members.
        agreement: (moments,) share of the speaking members that say this class, by count.
        meta_confidence: (moments,) 1 less the mean over classes of the members' deviation.
        expected_return: (moments,) mean by the shares of the members that say one; NaN of none.
        should_trade: (moments,) whether it is SELL or BUY and reaches the thresholds.
        contributions: (members, moments) share of each member in the probability of the class.
    """

    probabilities: Floats
    direction: Integers
    confidence: Floats
    agreement: Floats
    meta_confidence: Floats
    expected_return: Floats
    should_trade: Booleans
    contributions: Floats

    def at(self, moments: Integers | Booleans) -> Consensus:
        """Return the answers to these moments alone."""
        return Consensus(
            self.probabilities[moments],
            self.direction[moments],
            self.confidence[moments],
            self.agreement[moments],
            self.meta_confidence[moments],
            self.expected_return[moments],
            self.should_trade[moments],
            self.contributions[:, moments],
        )


def consensus(strategy: str, votes: Votes, weights: Floats, rules: Rules) -> Consensus:
    """Return the answer to each moment.

    Args:
        strategy: of `STRATEGIES`.
        votes: of all members that are enabled.
        weights: (members,) or (members, moments), none below 0; only their ratios count.
        rules: of the ensemble.

    Raises:
        ValueError: for an unknown strategy, or weights that are no numbers of 0 or more.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"a strategy of {', '.join(STRATEGIES)} expected, got {strategy!r}")
    if len(weights) != len(votes.present) or not ((weights >= 0) & np.isfinite(weights)).all():
        raise ValueError(f"{len(votes.present)} weights of 0 or more expected, got {weights}")
    pool = STRATEGIES[strategy](votes, weights, rules)
    speaks = pool.is_heard & (votes.present.sum(axis=0) >= rules.quorum)
    agreement = _share(
        votes.present & (rules.directions(votes.probabilities) == pool.direction), votes.present
    )
    reaches = (agreement >= rules.min_agreement) & (pool.certainty >= rules.confidence_threshold)
    return Consensus(
        probabilities=_where(speaks[:, None], pool.probabilities),
        direction=np.where(speaks, pool.direction, UNDECIDED),
        confidence=_where(speaks, confidence_of(votes)),
        agreement=_where(speaks, agreement),
        meta_confidence=_where(speaks, 1.0 - _deviation(votes)),
        expected_return=_where(speaks, _expected(pool.shares, votes.expected_return)),
        should_trade=speaks & (pool.direction != NEUTRAL) & reaches,
        contributions=_where(speaks, _contributions(votes, pool.shares, pool.direction)),
    )


def _where(speaks: Booleans, numbers: Floats) -> Floats:
    return np.asarray(np.where(speaks, numbers, np.nan))


def _share(some: Booleans, of: Booleans) -> Floats:
    count = of.sum(axis=0)
    return np.asarray(some.sum(axis=0) / np.maximum(count, 1))


def _expected(shares: Floats, returns: Floats) -> Floats:
    """Return the mean by shares of the members that say a return; NaN where none does."""
    is_told = (shares > 0) & np.isfinite(returns)
    used = np.where(is_told, shares, 0.0)
    whole = total(used)
    told = total(np.where(is_told, used * returns, 0.0))
    return np.asarray(np.divide(told, whole, out=np.full_like(whole, np.nan), where=whole > 0))


def _deviation(votes: Votes) -> Floats:
    """Return the mean over classes of the speaking members' population deviation, (moments,)."""
    heard = votes.present[..., None]
    count = np.maximum(votes.present.sum(axis=0), 1)[:, None]
    said = np.where(heard, votes.probabilities, 0.0)
    away = np.where(heard, said - total(said) / count, 0.0)
    return np.asarray(np.sqrt(total(away**2) / count).mean(axis=-1))


def _contributions(votes: Votes, shares: Floats, direction: Integers) -> Floats:
    said = np.take_along_axis(votes.probabilities, direction[None, :, None], axis=-1)[..., 0]
    parts = np.where(shares > 0, shares * said, 0.0)
    whole = total(parts)
    return np.asarray(np.divide(parts, whole, out=np.array(shares), where=whole > 0))
