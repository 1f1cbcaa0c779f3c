"""Fit all members on one side of a border: the one way to do so, for every fold, coin and trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantgod.contracts import Integers
from quantgod.dataset.candles.folds import Fold
from quantgod.dataset.candles.scaling import fit_scale
from quantgod.dataset.candles.selection import Selection, select
from quantgod.dataset.candles.table import CandleTable
from quantgod.forecasters.candles import plain
from quantgod.forecasters.candles.member import Hooks, Material, Member, Seen
from quantgod.forecasters.candles.network import network
from quantgod.forecasters.candles.trees import trees
from quantgod.served.candles.members import Said
from quantgod.served.candles.scaling import RobustScale
from quantgod.settings import FLOORS, ForecastMemberSettings, ForecastSettings, Settings


@dataclass(frozen=True, eq=False)
class Learned:
    """Members of one fold, and what they see.

    Attributes:
        selection: the features that were chosen.
        scale: of these.
        members: by name, the floors first.
        window: rows that a network looks at.
    """

    selection: Selection
    scale: RobustScale
    members: Mapping[str, Member]
    window: int

    def forecast(self, table: CandleTable, rows: Integers) -> Said:
        """Return what all say of rows: mean (n, members, horizons), quantiles (..., levels)."""
        matrix = scaled(table, self.scale)
        said = [member.forecast(matrix, rows) for member in self.members.values()]
        return Said(*(np.stack(part, axis=1) for part in zip(*said, strict=True)))


def scaled(table: CandleTable, scale: RobustScale) -> Seen:
    """Return the chosen features of all rows, scaled in float64 and seen in float32."""
    return scale.transform(table.features, table.columns).astype(np.float32)


def material_of(
    table: CandleTable, fold: Fold, settings: ForecastSettings
) -> tuple[Selection, RobustScale, Material]:
    """Choose and scale features by the training rows of a fold, and return what is learned from."""
    outcomes = table.outcomes(settings.horizons)
    seen, how = table.features[fold.train], settings.selection
    against = outcomes[fold.train] if how.rule == "stable" else table.close[fold.train][:, None]
    selection = select(seen, against, table.date[fold.train], table.columns, how)
    scale = fit_scale(seen, table.columns, selection.columns, settings.bound)
    matrix = scaled(table, scale)
    of = Material(matrix, outcomes, settings.horizons, settings.window, fold.train, fold.stopping)
    return selection, scale, of


def learn(
    table: CandleTable, fold: Fold, settings: Settings, hooks: Hooks | None = None
) -> Learned:
    """Fit the floors and every member of the settings on a fold.

    Raises:
        SettingsError: for a parameter that a member does not have.
    """
    told = hooks or Hooks()
    selection, scale, of = material_of(table, fold, settings.forecast)
    members: dict[str, Member] = dict(
        zip(FLOORS, (plain.random_walk(of), plain.drift(of)), strict=True)
    )
    chosen = settings.forecast.chosen
    for number, (name, one) in enumerate(chosen.items()):
        own = told.of_member(name, number, len(chosen))
        members[name] = fit_member(name, one, table, of, settings, own)
    return Learned(selection, scale, members, settings.forecast.window)


def fit_member(
    name: str,
    member: ForecastMemberSettings,
    table: CandleTable,
    of: Material,
    settings: Settings,
    hooks: Hooks,
) -> Member:
    """Fit one member by its settings.

    Raises:
        SettingsError: for an unknown model, or a parameter that it does not have.
    """
    params: Mapping[str, Any] = member.params
    if member.model == "ridge":
        return plain.ridge(of, params, hooks)
    if member.model == "lightgbm":
        return trees(of, params, hooks)
    return network(name, member, table, of, settings, hooks)
