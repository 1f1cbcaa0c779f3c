"""Check before hours of work that members can be made."""

from __future__ import annotations

from quantgod.forecasters.candles import trees
from quantgod.forecasters.candles.network import check_network, train_settings
from quantgod.settings import Settings, SettingsError

PLAIN = {"ridge": ("penalties",), "lightgbm": tuple(trees.DEFAULTS)}


def check_members(settings: Settings) -> None:
    """Check the members of the settings: model, parameters and training.

    Raises:
        SettingsError: naming each member and what does not fit.
    """
    wrong, how = [], settings.forecast
    for name, member in how.chosen.items():
        try:
            if member.model in PLAIN:
                _check_plain(member.model, set(member.params))
            else:
                check_network(name, member, how)
                train_settings(member, settings)
        except SettingsError as error:
            wrong.append(f"forecast.members.{name}: {error}")
    if wrong:
        raise SettingsError("; ".join(wrong))


def _check_plain(model: str, params: set[str]) -> None:
    if unknown := sorted(params - set(PLAIN[model])):
        raise SettingsError(
            f"{model}: unknown parameter {', '.join(unknown)} (allowed: {', '.join(PLAIN[model])})"
        )
