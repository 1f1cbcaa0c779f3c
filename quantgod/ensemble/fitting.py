"""Make the combiner of an ensemble, and combine its members' out-of-fold forecasts with it.

Nothing at a moment depends on an outcome that was not known by then: moving weights wait until a
label has ended, and fitted weights of a fold come from the folds before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from quantgod.contracts import Floats, Integers
from quantgod.ensemble.stacking import fit_stacking
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.outcome import Outcome
from quantgod.served.combiners.votes import Rules, Votes
from quantgod.served.combiners.weights import Adaptive, Hedge
from quantgod.settings.ensemble import EnsembleSettings

STACKING: Final = "stacking"

POOLS: Final[Mapping[str, str]] = {
    "adaptive": "weighted_voting",
    "hedge": "weighted_voting",
    STACKING: "logarithmic_pool",
}
"""The strategies of the settings that are another strategy with weights of their own."""


class UnknownMemberError(ValueError):
    """Settings of an ensemble name a member that it does not have."""


class OutOfFoldVotes(NamedTuple):
    """What members said out of fold of the same n moments, in order of time, and what came.

    Attributes:
        votes: of all members.
        time_ms: (n,) minute.
        label_end_ms: (n,) last minute of its label.
        target: (n,) class that came.
        weight: (n,) uniqueness of the label.
        fold: (n,) rising number; no member's model changes within one.
    """

    votes: Votes
    time_ms: Integers
    label_end_ms: Integers
    target: Integers
    weight: Floats
    fold: Integers

    def before(self, minute_ms: int) -> OutOfFoldVotes:
        """Return the moments whose outcome was known before a minute began."""
        known = self.label_end_ms < minute_ms
        return OutOfFoldVotes(
            self.votes.at(known),
            self.time_ms[known],
            self.label_end_ms[known],
            self.target[known],
            self.weight[known],
            self.fold[known],
        )


class Fitted(NamedTuple):
    """A combiner with the state behind the last outcome, and the weights of each moment before.

    Attributes:
        combiner: as it is served.
        weights: (members, n) that each out-of-fold moment is combined with.
    """

    combiner: Combiner
    weights: Floats


def new_combiner(
    settings: EnsembleSettings,
    members: Sequence[str],
    class_weights: tuple[float, float, float],
    outcome: Outcome,
    every: int,
) -> Combiner:
    """Return the combiner of these members before any outcome.

    Args:
        settings: of the ensemble.
        members: names, in order.
        class_weights: by which members and ensemble decide.
        outcome: of the primary label.
        every: outcomes of every so many minutes move the weights.

    Raises:
        UnknownMemberError: if settings name another member.
    """
    check_names(settings, members)
    rules = Rules(
        settings.quorum,
        settings.min_agreement,
        settings.confidence_threshold,
        settings.neutral_threshold,
        class_weights,
    )
    moving: dict[str, Any] = {
        "adaptive": Adaptive(settings.half_life, settings.prior),
        "hedge": Hedge(settings.rate, settings.share, max(1, outcome.minutes // every)),
    }
    return Combiner(
        members=tuple(members),
        strategy=POOLS.get(settings.strategy, settings.strategy),
        weights=tuple(settings.weights.get(name, 1.0) for name in members),
        rules=rules,
        min_confidence=tuple(settings.min_confidence.get(name, 0.0) for name in members),
        online=moving.get(settings.strategy),
        every=every,
        outcome=outcome if settings.strategy in moving else None,
    )


def check_names(settings: EnsembleSettings, members: Iterable[str]) -> None:
    """Refuse settings that name another member.

    Raises:
        UnknownMemberError: naming it.
    """
    known = list(members)
    for key in ("weights", "min_confidence", "disabled"):
        if others := sorted(set(getattr(settings, key)) - set(known)):
            raise UnknownMemberError(
                f"ensemble.{key}: no member {', '.join(others)} (members: {', '.join(known)})"
            )


def fit_combiner(new: Combiner, strategy: str, made: OutOfFoldVotes) -> Fitted:
    """Return the combiner as it is served, and the weights of each out-of-fold moment.

    Args:
        new: what `new_combiner` returned.
        strategy: of the settings.
        made: out-of-fold votes of its members.

    Raises:
        ValueError: if weights cannot be fitted.
    """
    if strategy == STACKING:
        return _stacked(new, made)
    weights, state = new.weights_over(made.votes, made.time_ms, made.label_end_ms, made.target)
    return Fitted(replace(new, state=state), weights)


def _stacked(new: Combiner, made: OutOfFoldVotes) -> Fitted:
    """Fit the weights of each fold to the folds before it, and the served ones to all."""
    weights = np.empty(made.votes.present.shape)
    for fold in np.unique(made.fold):
        of_fold = made.fold == fold
        known = made.before(int(made.time_ms[of_fold][0]))
        weights[:, of_fold] = _fit(new, known)[:, None]
    return Fitted(replace(new, weights=tuple(_fit(new, made).tolist())), weights)


def _fit(new: Combiner, made: OutOfFoldVotes) -> Floats:
    """Return fitted weights, or those given where there is nothing to fit them to."""
    if not len(made.target):
        return np.asarray(new.weights, np.float64)
    return fit_stacking(made.votes.probabilities, made.target, made.weight)


def grid_minutes(*strides: int) -> int:
    """Return how many minutes lie between outcomes that move weights: each stride's multiple."""
    return int(np.lcm.reduce(strides))
