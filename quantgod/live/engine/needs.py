"""How many rows a version waits for; an ensemble for those of as many members as make a quorum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from quantgod.contracts.panel import Member
from quantgod.live.engine.window import Window


class Taker(Protocol):
    """What a version takes."""

    @property
    def window(self) -> int:
        """Return the rows of its longest window."""

    @property
    def features(self) -> tuple[str, ...]:
        """Return all columns that it takes."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Return its members; none of one network."""

    @property
    def quorum(self) -> int:
        """Return how many members have to speak."""

    @property
    def disabled(self) -> Mapping[str, str]:
        """Return why members are not asked, by name."""


def missing(window: Window, model: Taker) -> int:
    """Return how many more rows pass before a version can answer.

    Where too few members are enabled for a quorum: before all of them can speak.
    """
    if not model.members:
        return window.missing(model.window, len(model.features))
    waits = sorted(missing_by_member(window, model).values())
    return waits[min(model.quorum, len(waits)) - 1] if waits else 0


def missing_by_member(window: Window, model: Taker) -> dict[str, int]:
    """Return how many more rows pass before each enabled member can speak."""
    return {
        one.name: window.missing(one.window, one.columns)
        for one in model.members
        if one.name not in model.disabled
    }


def warming(window: Window, model: Taker) -> int:
    """Return those of the missing rows before one has all columns; of an ensemble they differ."""
    return 0 if model.members else window.warming(len(model.features))
