"""Build the search space: the architecture's own, narrowed or extended by the settings'."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import optuna

from quantgod.contracts import SHORTEST_WINDOW
from quantgod.dataset.inputs import BOOK
from quantgod.models import zoo
from quantgod.settings import Choice, ModelSettings, Range, SearchSpace, Settings, SettingsError
from quantgod.training.study import JOURNAL, check_storage

RUN_PARAMETERS: Final = ("learning_rate", "batch_size", "window_length")
"""Parameters that a search may choose besides those of the architecture."""

PARAMETERS: Final = ("model.params", "optimize.space", "leak_audit.params")
"""Settings that hold parameters of the architecture."""


def joined_space(model: ModelSettings, own: SearchSpace) -> SearchSpace:
    """Return the architecture's space, with entries replaced by those of `own` (`optimize.space`).

    Raises:
        SettingsError: for an unknown parameter, or a value that it cannot have.
    """
    architecture = zoo.architecture(model.name)
    allowed = {*architecture.settings.model_fields, *RUN_PARAMETERS}
    unknown = sorted(own.keys() - allowed)
    if unknown:
        known = ", ".join(sorted(allowed))
        raise SettingsError(f"optimize.space.{unknown[0]}: unknown parameter (allowed: {known})")
    space = {**architecture.space, **own}
    for name, values in space.items():
        for value in _examples(name, values):
            if name not in RUN_PARAMETERS:
                architecture.settings_from({name: value})
    return {name: space[name] for name in sorted(space)}


def check_search(settings: Settings, places: Sequence[str] = PARAMETERS) -> None:
    """Check before data are made that there can be a search: its storage and the network.

    Raises:
        SettingsError: naming what does not fit.
    """
    check_storage(settings.optimize.storage)
    check_network(settings, places)


def check_network(settings: Settings, places: Sequence[str] = PARAMETERS) -> None:
    """Check that the settings' network has every parameter that they give it, and its window.

    A network of the book is not judged, so that its leak audit's parameters may be another's.

    Args:
        settings: of the network.
        places: the settings to look at, of `PARAMETERS`.

    Raises:
        SettingsError: naming each setting that does not fit.
    """
    wrong = []
    for place in places:
        try:
            _check_place(settings, place)
        except SettingsError as error:
            wrong.append(f"{place}: {str(error).removeprefix(f'{place}.')}")
    if wrong:
        raise SettingsError(
            f"{'; '.join(wrong)}. A file that inherits has those of its parent's network, unless "
            "it gives its own"
        )
    zoo.inputs(settings.model.name, settings.window.length)


def _check_place(settings: Settings, place: str) -> None:
    architecture = zoo.architecture(settings.model.name)
    if place == "optimize.space":
        joined_space(settings.model, settings.optimize.space)
    elif place == "model.params":
        architecture.settings_from(settings.model.params)
    elif BOOK not in architecture.views:
        architecture.settings_from(settings.leak_audit.params)


def check_members(
    members: Mapping[str, Settings], places: Sequence[str] = ("model.params",)
) -> None:
    """Check the parameters of each member's network, by name.

    Raises:
        SettingsError: naming each member and setting that does not fit.
    """
    wrong = []
    for name, settings in members.items():
        try:
            check_network(settings, places)
        except SettingsError as error:
            wrong.append(f"member {name}: {error}")
    if wrong:
        raise SettingsError("; ".join(wrong))


def check_studies(members: Mapping[str, Settings]) -> None:
    """Check that members can be searched beside each other: no two share a study in a database.

    Raises:
        SettingsError: naming those that do, or a storage that cannot be used.
    """
    check_members(members, ("model.params", "optimize.space"))
    taken: dict[tuple[str, str], str] = {}
    for name, settings in members.items():
        search = settings.optimize
        check_storage(search.storage)
        other = taken.setdefault((search.storage, search.study), name)
        if search.storage != JOURNAL and other != name:
            raise SettingsError(
                f"members {other} and {name} share the study {search.study!r} in one database: "
                f"give each its own `optimize.study`"
            )


def suggest(trial: optuna.Trial, space: SearchSpace) -> dict[str, Choice]:
    """Let the trial choose a value for each parameter."""
    return {name: _suggested(trial, name, values) for name, values in space.items()}


def current_values(settings: Settings, space: SearchSpace) -> dict[str, Choice]:
    """Return the settings' own values of the parameters, where they lie in the space."""
    model = zoo.architecture(settings.model.name).settings_from(settings.model.params)
    said: dict[str, Any] = {
        **model.model_dump(),
        "learning_rate": settings.train.learning_rate,
        "batch_size": settings.train.batch_size,
        "window_length": settings.window.length,
    }
    return {name: said[name] for name, values in space.items() if _holds(values, said[name])}


def longest_window(settings: Settings, space: SearchSpace) -> int:
    """Return the largest window length of any trial, in rows."""
    return max(_window_lengths(settings, space))


def shortest_window(settings: Settings, space: SearchSpace) -> int:
    """Return the smallest window length of any trial, in rows."""
    return min(_window_lengths(settings, space))


def _window_lengths(settings: Settings, space: SearchSpace) -> list[int]:
    lengths = space.get("window_length", [settings.window.length])
    if isinstance(lengths, Range):
        raise SettingsError("optimize.space.window_length: a list of lengths was expected")
    each = [int(length) for length in lengths]
    if min(each) < SHORTEST_WINDOW:
        raise SettingsError(
            f"optimize.space.window_length: {SHORTEST_WINDOW} rows or more expected, got {each}"
        )
    return each


def _suggested(trial: optuna.Trial, name: str, values: list[Choice] | Range) -> Choice:
    if isinstance(values, Range):
        return trial.suggest_float(name, values.low, values.high, log=values.log)
    return cast(Choice, trial.suggest_categorical(name, values))


def _holds(values: list[Choice] | Range, value: Choice) -> bool:
    if isinstance(values, Range):
        return isinstance(value, (int, float)) and values.low <= value <= values.high
    return value in values


def _examples(name: str, values: list[Choice] | Range) -> Iterable[Choice]:
    if not isinstance(values, Range):
        if not values:
            raise SettingsError(f"optimize.space.{name}: at least one value was expected")
        return values
    # The ends of a range may happen to be whole; a point between shows whether fractions pass.
    return values.low, values.high, values.low + (values.high - values.low) / math.pi
