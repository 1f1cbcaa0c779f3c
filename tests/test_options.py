"""Every option of every step is taken, in a command and as `mlflow run -P` hands it on."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import pytest
from mlflow.projects._project_spec import load_project

from quantgod.settings import Settings, load_settings
from quantgod.tracking.pipeline import UPSTREAM
from steps.options import CONFIG, settings_from

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "steps").glob("*.py"))
STEPS = [name for name in NAMES if name not in ("__init__", "console", "options", "stopping")]
PROJECT = load_project(str(ROOT))
ENTRY_POINTS = PROJECT._entry_points
UNSET = {
    "live.history": "data/bars",
    "live.max_candles": "3",
    "etl.scheduler": "tcp://127.0.0.1:8786",
    "simulate.prices": "prices.csv",
    "leak_audit.at": "2024-01-05T12:30Z",
    "zoo.kinds": "lean",
    "power.scheduler": "tcp://127.0.0.1:8786",
    "forecast_power.scheduler": "tcp://127.0.0.1:8786",
    "zoo.networks": "linear",
    "candles.coins": "BTCUSDT",
    "candles.last_day": "2025-06-30",
    "forecast.only": "ridge",
    "forecast.tune.members": "ridge",
}
"""Values of settings that the shipped files leave open, and of lists."""


def command_of(name: str) -> click.Command:
    command = importlib.import_module(f"steps.{name}").main
    assert isinstance(command, click.Command)
    return command


def options_of(name: str) -> dict[str, click.Option]:
    """A step's options but `--set`, by their long flag without dashes."""
    found = [one for one in command_of(name).params if isinstance(one, click.Option)]
    return {one.opts[0].removeprefix("--"): one for one in found if one.name != "overrides"}


def read(name: str, *arguments: str) -> dict[str, Any]:
    """What a step's function would be given."""
    needed = [
        text
        for flag, option in options_of(name).items()
        if option.required and f"--{flag}" not in arguments
        for text in (f"--{flag}", "somewhere")
    ]
    with command_of(name).make_context(name, [*arguments, *needed]) as context:
        return dict(context.params)


def handed_on(name: str, parameters: dict[str, str]) -> list[str]:
    """The arguments that `mlflow run . -e NAME -P key=value` makes of these."""
    required = {key: "somewhere" for key in ENTRY_POINTS[name].parameters if is_required(name, key)}
    line = PROJECT.get_entry_point(name).compute_command(required | parameters, None)
    python, dash, module, *arguments = shlex.split(line)
    assert (python, dash, module) == ("python", "-m", f"steps.{name}")
    return arguments


def is_required(name: str, key: str) -> bool:
    return ENTRY_POINTS[name].parameters[key].default is None


def settings_of(params: dict[str, Any]) -> Settings:
    options = {key: value for key, value in params.items() if "__" in key}
    return settings_from(params["config"], params["overrides"], options)


def at(settings: Settings, key: str) -> Any:
    value: Any = settings
    for part in key.split("__"):
        value = getattr(value, part)
    return value


def literals(key: str) -> tuple[Any, ...]:
    """The values that a setting may have, where they are few."""
    annotation: Any = Settings
    for part in key.split("__"):
        annotation = annotation.model_fields[part].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def legal(key: str, settings: Settings) -> Iterator[tuple[str, Any]]:
    """Values as they are written in a command, and what the setting then is."""
    if values := literals(key):
        yield from ((str(value), value) for value in values)
        return
    dotted = key.replace("__", ".")
    text = UNSET.get(dotted, str(at(settings, key)))
    value = at(settings, key) if dotted not in UNSET else None
    yield text, value


@pytest.mark.parametrize("name", STEPS)
def test_every_setting_that_has_an_option_takes_it_either_way(name: str) -> None:
    for flag, option in options_of(name).items():
        assert option.name is not None
        if "__" not in option.name:
            continue
        shipped = load_settings(ROOT / (read(name)["config"] or CONFIG))
        for text, value in legal(option.name, shipped):
            ways = [[f"--{flag}", text]]
            if name in ENTRY_POINTS:
                ways.append(handed_on(name, {flag.replace("-", "_"): text}))
            for arguments in ways:
                given = at(settings_of(read(name, *arguments)), option.name)
                assert given == value or (value is None and text in str(given)), (arguments, given)


def test_every_stage_of_a_series_takes_its_symbol_and_market_by_the_same_options() -> None:
    """`promote` moves an alias, `candles` are of coins, `members` and `searches` of stages."""
    stages = {"check", "main", "import_bars", *UPSTREAM} - {
        "promote",
        "members",
        "searches",
        "candles",
    }
    keys = {"symbol": "data__symbol", "market": "data__market"}
    for name in stages:
        of = options_of(name)
        assert {flag: of[flag].name for flag in keys if flag in of} == keys, name


@pytest.mark.parametrize("name", STEPS)
def test_every_other_option_takes_a_value_either_way_and_none_where_it_is_empty(name: str) -> None:
    for flag, option in options_of(name).items():
        assert option.name is not None
        if "__" in option.name:
            continue
        text, value = sample(flag, option)
        ways = [[f"--{flag}", text], *([[f"--{flag}"]] if option.type is click.BOOL else [])]
        if name in ENTRY_POINTS:
            ways += [handed_on(name, {key: text}) for key in (flag, flag.replace("-", "_"))]
        for arguments in ways:
            given = read(name, *arguments)[option.name]
            given = given[0] if option.multiple else given
            assert given == (Path(text) if isinstance(given, Path) else value), arguments
        if not option.required and flag != "config":
            shipped = option.default if isinstance(option.default, (str, int)) else None
            assert read(name)[option.name] == shipped


def sample(flag: str, option: click.Option) -> tuple[str, Any]:
    """A value as it is written in a command, and what is made of it."""
    if flag == "config":
        return "conf/full.yaml", Path("conf/full.yaml")
    if option.type is click.BOOL:
        return "true", True
    if option.type is click.INT or flag == "version":
        return "3", 3
    text = option.type.choices[-1] if isinstance(option.type, click.Choice) else "somewhere"
    return text, text


@pytest.mark.parametrize("name", sorted(ENTRY_POINTS))
def test_what_mlproject_gives_by_default_is_what_a_bare_command_takes(name: str) -> None:
    assert set(ENTRY_POINTS[name].parameters) <= {
        flag.replace("-", "_") for flag in options_of(name)
    }
    assert read(name, *handed_on(name, {})) == read(name)
    several = handed_on(name, {"set": "train.epochs=3;train.seed=1"})
    settings = settings_of(read(name, *several))
    assert (settings.train.epochs, settings.train.seed) == (3, 1)
