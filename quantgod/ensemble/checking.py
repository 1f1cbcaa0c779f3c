"""Check the settings of an ensemble against those of its members, before any of them is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from quantgod.ensemble.fitting import check_names, grid_minutes
from quantgod.settings import Settings, SettingsError

MOVING: Final = ("adaptive", "hedge")
"""The strategies whose weights move with outcomes."""


def check_ensemble(settings: Settings, members: Mapping[str, Settings]) -> None:
    """Refuse an ensemble that could not be audited, scored or heard.

    Args:
        settings: of all together; without `ensemble` nothing is refused.
        members: settings of each.

    Raises:
        SettingsError: naming what is wrong and what was expected.
        UnknownMemberError: if it names another member.
    """
    how = settings.ensemble
    if how is None:
        return
    if not members:
        raise SettingsError("ensemble: `members` to combine expected, got none")
    check_names(how, members)
    voting = {name: own for name, own in members.items() if name not in how.disabled}
    if not any(how.weights.get(name, 1.0) > 0 for name in voting):
        raise SettingsError(
            "ensemble: a member that is not disabled and weighs more than 0 expected, got "
            f"disabled: {', '.join(how.disabled) or 'none'}, weights: {how.weights}"
        )
    if how.quorum > len(voting):
        raise SettingsError(
            f"ensemble.quorum: at most {len(voting)}, as many as there are members that vote, "
            f"expected, got {how.quorum}: there would be no answer"
        )
    grid_of(settings, voting)


def grid_of(settings: Settings, members: Mapping[str, Settings]) -> int:
    """Return the minutes between outcomes that move weights: all strides have them.

    Raises:
        SettingsError: if weights move and the test part is scored at other minutes.
    """
    every = grid_minutes(*(one.audit.stride for one in members.values()))
    is_moved = settings.ensemble is not None and settings.ensemble.strategy in MOVING
    if is_moved and every % (scored := settings.evaluate.stride):
        raise SettingsError(
            f"evaluate.stride: a divisor of {every}, the minutes between audited ones that all "
            f"members have, expected, got {scored}: outcomes would move weights at other minutes "
            "than in training"
        )
    return every
