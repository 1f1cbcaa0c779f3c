"""What the members of an ensemble say of one minute, live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from quantgod.contracts.columns import CLASSES

NOBODY: Final[Mapping[str, str]] = {}
"""No member is disabled: why each one is, by name."""


class Member(NamedTuple):
    """What a member of an ensemble takes.

    Attributes:
        name: of the member.
        window: rows of its window.
        columns: how many columns of a row it takes, those of `ALL_FEATURES` from the first on.
        sees_book: whether it looks at the book.
    """

    name: str
    window: int
    columns: int
    sees_book: bool = False


class Vote(NamedTuple):
    """What a member says of one minute. What an absent one says is not a number.

    Attributes:
        member: its name.
        probabilities: in the order of `CLASSES`, untilted.
        confidence: that the class that it decides on is right.
        expected_return: as `Forecast` has it; NaN of a member that says none.
        weight: that it was heard with.
        contribution: its share in the probability of the answer's class; NaN without an answer.
        absent: why it says nothing, a code and words; empty if it speaks.
    """

    member: str
    probabilities: tuple[float, ...]
    confidence: float
    expected_return: float
    weight: float
    contribution: float
    absent: str = ""


class Panel(NamedTuple):
    """The votes on one minute, and what they make together.

    Attributes:
        minute: epoch minute that ends the windows.
        votes: of all members.
        direction: the class that they decide on; empty without a quorum, which is not NEUTRAL.
        agreement: share of the speaking members that say it; NaN without an answer.
        meta_confidence: 1 less the mean deviation of what they say; NaN without an answer.
        should_trade: whether they would trade on it.
    """

    minute: int
    votes: tuple[Vote, ...]
    direction: str
    agreement: float
    meta_confidence: float
    should_trade: bool

    @property
    def absent(self) -> dict[str, str]:
        """Return why members say nothing, by name."""
        return {vote.member: vote.absent for vote in self.votes if vote.absent}

    @property
    def chances(self) -> dict[str, float]:
        """Return all members' probabilities by member and class: `near/sell` and so on."""
        return {
            name: chance
            for vote in self.votes
            for name, chance in zip(chance_names(vote.member), vote.probabilities, strict=True)
        }


def chance_names(member: str) -> tuple[str, ...]:
    """Return the names of a member's probabilities: `near/sell`, `near/neutral`, `near/buy`."""
    return tuple(f"{member}/{label.lower()}" for label in CLASSES)
