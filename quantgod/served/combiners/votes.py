"""What members say of many moments, and the rules for hearing them and for trading on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

SELL, NEUTRAL, BUY = range(3)
UNDECIDED = -1
"""The direction of a moment without an answer. It is never NEUTRAL in its place."""

_OFF = 1e-6
"""By how much probabilities may miss a sum of 1."""


@dataclass(frozen=True)
class Votes:
    """What each member says of each moment. What an absent member says is not looked at.

    Attributes:
        probabilities: (members, moments, 3) in class order, untilted.
        confidence: (members, moments) that the member's class is right, 0 to 1.
        expected_return: (members, moments) as `Forecast` has it; NaN of a member that says none.
        present: (members, moments) whether the member speaks: one that failed, is cold or is
            stale does not.
    """

    probabilities: Floats
    confidence: Floats
    expected_return: Floats
    present: Booleans

    def __post_init__(self) -> None:
        """Check the shapes, and what present members say.

        Raises:
            ValueError: naming the member and the moment.
        """
        shape = self.present.shape
        came = (self.probabilities.shape, self.confidence.shape, self.expected_return.shape)
        if came != ((*shape, 3), shape, shape):
            raise ValueError(f"votes of shape {shape} and 3 classes expected, got {came}")
        sums = self.probabilities.sum(axis=-1)
        for what, right in (
            (
                "probabilities that add up to 1",
                (self.probabilities >= 0).all(axis=-1) & (abs(sums - 1) <= _OFF),
            ),
            ("a confidence of 0 to 1", (self.confidence >= 0) & (self.confidence <= 1)),
            ("a finite expected return, or NaN for none", ~np.isinf(self.expected_return)),
        ):
            wrong = np.argwhere(self.present & ~right)
            if len(wrong):
                member, moment = wrong[0]
                raise ValueError(
                    f"member {member}, moment {moment}: {what} expected ({len(wrong)} such)"
                )

    def only(self, members: Sequence[int] | Booleans) -> Votes:
        """Return the votes of these members alone."""
        chosen = np.asarray(members)
        return Votes(
            self.probabilities[chosen],
            self.confidence[chosen],
            self.expected_return[chosen],
            self.present[chosen],
        )

    def at(self, moments: Integers | Booleans) -> Votes:
        """Return the votes of these moments alone."""
        return Votes(
            self.probabilities[:, moments],
            self.confidence[:, moments],
            self.expected_return[:, moments],
            self.present[:, moments],
        )

    def barred(self, min_confidence: Sequence[float] | Floats) -> Votes:
        """Return the votes without those below their member's least confidence."""
        least = np.asarray(min_confidence, np.float64)[:, None]
        return replace(self, present=self.present & (self.confidence >= least))


@dataclass(frozen=True)
class Rules:
    """When members make an answer, and when it is to be traded on.

    Attributes:
        quorum: members that have to speak, at least 1.
        min_agreement: share of the speaking members that have to say the answer's class.
        confidence_threshold: the answer's least confidence.
        neutral_threshold: an answer whose P(BUY) and P(SELL) are closer is NEUTRAL.
        class_weights: in class order; members and answers decide on the largest probability times
            weight, as a model that was trained on weighted classes does.
    """

    quorum: int = 1
    min_agreement: float = 0.0
    confidence_threshold: float = 0.0
    neutral_threshold: float = 0.0
    class_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def directions(self, probabilities: Floats, gap: float = 0.0) -> Integers:
        """Return the class that probabilities (..., 3) decide on; see `likeliest`."""
        return likeliest(probabilities, gap, self.class_weights)


def likeliest(
    probabilities: Floats, gap: float = 0.0, class_weights: Sequence[float] = (1.0, 1.0, 1.0)
) -> Integers:
    """Return the class of the largest probability times weight; NEUTRAL on a tie.

    Args:
        probabilities: (..., 3) in class order.
        gap: where the probabilities of BUY and SELL are closer than this, it is NEUTRAL.
        class_weights: in class order.
    """
    apart = abs(probabilities[..., BUY] - probabilities[..., SELL]) >= gap
    scores = probabilities * np.asarray(class_weights, np.float64)
    sell, neutral, buy = (scores[..., place] for place in range(3))
    up = apart & (buy > sell) & (buy > neutral)
    down = apart & (sell > buy) & (sell > neutral)
    return np.asarray(np.where(up, BUY, np.where(down, SELL, NEUTRAL)), dtype=np.int64)


def total(terms: Floats) -> Floats:
    """Return the sum over members (first axis), to the bit whatever their order."""
    return np.asarray(np.sort(terms, axis=0).sum(axis=0))


def shares(weights: Floats, heard: Booleans) -> Floats:
    """Return weights (members,) or (members, moments) as shares of those heard, (members, moments).

    Where nobody is heard that has a weight, all are 0.
    """
    given = weights[:, None] if weights.ndim == 1 else weights
    used = np.where(heard, given, 0.0)
    whole = total(used)
    return np.asarray(np.divide(used, whole, out=np.zeros_like(used), where=whole > 0))
