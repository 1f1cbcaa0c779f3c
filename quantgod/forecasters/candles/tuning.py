"""Search members' parameters before the first border, so that nothing that is judged chose them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
from optuna.trial import TrialState

from quantgod.contracts import Progress, silent
from quantgod.dataset.candles.folds import Fold
from quantgod.dataset.candles.table import CandleTable
from quantgod.forecasters.candles import trees
from quantgod.forecasters.candles.learn import fit_member, material_of
from quantgod.forecasters.candles.member import Hooks, Material
from quantgod.models import zoo
from quantgod.served.candles.quantiles import pinball
from quantgod.settings import (
    Choice,
    ForecastMemberSettings,
    Range,
    SearchSpace,
    Settings,
    with_values,
)
from quantgod.training.space import suggest
from quantgod.training.study import JOURNAL, finished_trials, opened_study

TRAIN: Final[Mapping[str, Any]] = {
    "learning_rate": Range(low=1e-4, high=2e-3, log=True),
    "batch_size": [32, 64, 128],
}
"""What a network's search tries besides the architecture's own parameters."""


@dataclass(frozen=True)
class Searched:
    """The search of one member.

    Attributes:
        member: its name.
        trials: finished ones; the first tried the settings as they are.
        first: pinball loss of these, on newer rows of the first fold.
        best: the lowest loss.
        params: that gave it, by name.
    """

    member: str
    trials: int
    first: float
    best: float
    params: dict[str, Choice]


def tune(
    table: CandleTable, fold: Fold, settings: Settings, place: Path, progress: Progress = silent
) -> tuple[Settings, list[Searched]]:
    """Search each member that has anything to choose, and return settings with the best values.

    A trial fits a member on the training rows of the first fold and pays the pinball loss of its
    quantiles on the fold's newer rows, where a horizon of h candles weighs 1/sqrt(h). All of them
    had come true before the first forecast that is judged.

    Args:
        table: all rows.
        fold: the first.
        settings: forecast and train are read; `forecast.tune` says how much is tried.
        place: folder of the studies, which go on from the trials that they have.
        progress: of all trials.
    """
    how = settings.forecast.tune
    asked = {name: space_of(one) for name, one in settings.forecast.chosen.items()}
    named = [name for name in how.members or asked if asked.get(name)]
    brief = with_values(settings, {"train.epochs": min(how.epochs, settings.train.epochs)})
    _, _, of = material_of(table, fold, settings.forecast)
    found = []
    for done, name in enumerate(named):
        tell = partial(_told, progress, name, done * how.trials, len(named) * how.trials)
        found.append(_searched(name, asked[name], table, of, brief, place, tell))
    return with_values(settings, _overrides(settings, found)), found


def space_of(member: ForecastMemberSettings) -> SearchSpace:
    """Return what may be tried of a member: its own `space`, else that of its model."""
    if member.space:
        return dict(member.space)
    if member.model == "ridge":
        return {}
    if member.model == "lightgbm":
        return dict(trees.SPACE)
    return {**zoo.search_space(member.model), **TRAIN}


def _told(progress: Progress, name: str, before: int, total: int, trials: int) -> None:
    progress(before + trials, total, f"trials of {name}")


def _searched(
    name: str,
    space: SearchSpace,
    table: CandleTable,
    of: Material,
    settings: Settings,
    place: Path,
    tell: Callable[[int], None],
) -> Searched:
    how, member = settings.forecast.tune, settings.forecast.members[name]
    place.mkdir(parents=True, exist_ok=True)
    own = {"study": name, "seed": how.seed, "storage": JOURNAL}
    with opened_study(settings.optimize.model_copy(update=own), place, {}) as study:
        until = monotonic() + how.seconds
        while (count := finished_trials(study)) < how.trials and (not count or monotonic() < until):
            tell(count)
            trial = study.ask()
            params = suggest(trial, space) if trial.number else {}  # first the settings as they are
            study.tell(trial, _loss(name, _with(member, params), table, of, settings))
        told = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        losses = [float(one.value or 0) for one in told]
    best = int(np.argmin(losses))
    return Searched(name, len(told), losses[0], losses[best], dict(told[best].params))


def _loss(
    name: str, member: ForecastMemberSettings, table: CandleTable, of: Material, settings: Settings
) -> float:
    fitted = fit_member(name, member, table, of, settings, Hooks())
    said = fitted.forecast(of.matrix, of.stopping)
    paid = pinball(of.outcomes[of.stopping], said.quantiles).mean(axis=0)
    return float(np.average(paid, weights=1 / np.sqrt(of.horizons)))


def _with(member: ForecastMemberSettings, params: Mapping[str, Choice]) -> ForecastMemberSettings:
    """Return a member with other parameters, of its model or of its training."""
    of_train = {key: value for key, value in params.items() if key in TRAIN and _is_network(member)}
    of_model = {key: value for key, value in params.items() if key not in of_train}
    told = {"params": {**member.params, **of_model}, "train": {**member.train, **of_train}}
    return member.model_copy(update=told)


def _is_network(member: ForecastMemberSettings) -> bool:
    return member.model not in ("ridge", "lightgbm")


def _overrides(settings: Settings, found: list[Searched]) -> dict[str, Any]:
    members = settings.forecast.members
    chosen = {one.member: _with(members[one.member], one.params) for one in found}
    told = {name: one.model_dump(mode="json") for name, one in {**members, **chosen}.items()}
    return {"forecast.members": told}
