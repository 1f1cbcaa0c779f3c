"""Define the options shared by all steps, and make settings of them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import plain_warnings
from steps.stopping import NOTHING_KEPT, told

if TYPE_CHECKING:
    from quantgod.settings import Settings

Command = Callable[..., Any]
PROJECT = Path(__file__).resolve().parents[1]
CONFIG = "conf/demo.yaml"
"""The default settings file."""

RUN = "_run"
"""Ending of option names for a stage's run."""

GIVEN = "steps.options.given"
"""Key of the given settings file in a command's context."""

MEMBER = "member"
"""Name of the option of `member_option`."""

GIVEN_MEMBER = "steps.options.given_member"
"""Key of the given member in a command's context."""


def step(stopped: str = NOTHING_KEPT) -> Callable[[Command], click.Command]:
    """Return a decorator for click commands that end known errors in one line.

    `stopped` is printed after Ctrl-C: what is kept, and how to continue.
    """

    def wrap(function: Command) -> click.Command:
        @functools.wraps(function)
        def run(**values: Any) -> None:
            try:
                with told(stopped), plain_warnings(), _suggesting_this_file():
                    function(**values)
            except _named_errors() as error:
                from quantgod.settings import without_passwords

                said = without_passwords(f"{type(error).__name__}: {error}")
                raise click.ClickException(said + _by_default(error)) from error

        # MLflow passes parameters by their names in MLproject: `etl_run`, not `etl-run`.
        dashes = {"token_normalize_func": lambda token: token.replace("_", "-")}
        return click.command(context_settings={"show_default": True, **dashes})(run)

    return wrap


def config_options(command: Command, config: str = CONFIG) -> Command:
    """Add `--config FILE`, by default `config`, and repeatable `--set KEY=VALUE`."""
    given = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override any setting by its dotted key: train.epochs=3; several are parted by ';'.",
    )
    file = click.option(
        "--config",
        default=config,
        show_default=True,
        type=click.Path(path_type=Path),
        callback=_found,
        help="Settings file, looked for here and then in the project's folder"
        + ("." if config else "; by default the version's own settings are taken."),
    )
    return file(given(command))


def judging_options(command: Command) -> Command:
    """Add `--config` and `--set` for judging steps: by default a version's own settings count."""
    return config_options(command, "")


def member_option(command: Command) -> Command:
    """Add `--member NAME`: one of the `members` of the settings file."""
    text = "Of several `members` of the settings file: the one whose settings to take."
    return click.option("--member", default=None, callback=_remembered, help=text)(command)


def series_options(command: Command) -> Command:
    """Add `--symbol` and `--market`, of the series whose data a stage reads or makes."""
    symbol = setting("--symbol", "data.symbol", "Symbol, such as BTCUSDT.")
    market = setting("--market", "data.market", "linear, spot or inverse.")
    return symbol(market(command))


def setting(flag: str, key: str, text: str, **attributes: Any) -> Callable[[Command], Command]:
    """Add an option that overrides the setting `key`; if empty, the settings file decides."""
    return click.option(
        flag, key.replace(".", "__"), callback=_none_if_empty, help=text, **attributes
    )


def run_option(stage: str) -> Callable[[Command], Command]:
    """Add `--STAGE-run ID`: the run whose result to use."""
    return given(
        f"--{stage.replace('_', '-')}-run",
        f"The {stage} run whose result to take.",
        metavar="RUN_ID",
    )


def runs_given(options: dict[str, Any]) -> dict[str, str | None]:
    """Remove the runs of `run_option` from a command's options, and return them by stage."""
    named = [name for name in options if name.endswith(RUN)]
    return {name.removesuffix(RUN): options.pop(name) for name in named}


def version_option(text: str) -> Callable[[Command], Command]:
    """Add `--version N`: a version of the registered model by number; default is None."""
    return click.option("--version", default=None, callback=_number_if_given, help=text)


def given(flag: str, text: str, **attributes: Any) -> Callable[[Command], Command]:
    """Add an option that is None if left out or empty, like MLproject's defaults."""
    return click.option(flag, default=None, callback=_none_if_empty, help=text, **attributes)


def switch(flag: str, name: str, text: str) -> Callable[[Command], Command]:
    """Add a flag that may also be given as `--flag true`, as MLflow passes parameters."""
    return click.option(
        flag, name, is_flag=False, flag_value="true", default=False, type=bool, help=text
    )


def settings_from(
    config: Path | None, overrides: tuple[str, ...], options: dict[str, Any]
) -> Settings:
    """Load the settings file with overrides from `--set` and named options.

    A step with `member_option` takes the settings of one member, if there are any, or those of all
    together, if they are an ensemble.
    """
    settings = _loaded(config, overrides, options)
    if settings.members and settings.ensemble is None and MEMBER in options:
        known = ", ".join(settings.members)
        raise click.UsageError(f"{config or CONFIG} has members: give one of {known} as --member")
    return settings


def all_settings_from(
    config: Path, overrides: tuple[str, ...], options: dict[str, Any]
) -> tuple[Settings, dict[str, Settings]]:
    """Load the settings, and those of each member by name: none if there are none or one is given.

    What `--set` and named options say holds for every member.
    """
    settings = _loaded(config, overrides, options)
    each = {name: options | {MEMBER: name} for name in settings.members}
    return settings, {name: _loaded(config, overrides, own) for name, own in each.items()}


def _loaded(config: Path | None, overrides: tuple[str, ...], options: dict[str, Any]) -> Settings:
    from quantgod.settings import SettingsError, load_settings, without_passwords

    path, values = config or PROJECT / CONFIG, values_from(overrides, options)
    try:
        return load_settings(path, values, options.get(MEMBER))
    except SettingsError as error:
        raise click.UsageError(without_passwords(str(error))) from None


def settings_given(
    config: Path | None, overrides: tuple[str, ...], options: dict[str, Any]
) -> tuple[Settings, dict[str, Any] | None]:
    """Return the settings, and the values that override a version's own (None with a file).

    Without a file, the settings are those of the default file, which name the store.
    """
    changes = None if config else values_from(overrides, options)
    return settings_from(config, overrides, options), changes


def values_from(overrides: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Return the values of `--set` and named options, by dotted key."""
    from quantgod.settings import without_passwords

    values: dict[str, Any] = {}
    for override in (part for given in overrides for part in given.split(";") if part.strip()):
        key, equals, text = override.partition("=")
        if not equals:
            came = without_passwords(override)
            raise click.BadParameter(f"KEY=VALUE expected, got {came!r}", param_hint="--set")
        values[key.strip()] = _value_of(override, text)
    given = {
        key.replace("__", "."): value
        for key, value in options.items()
        if value is not None and key != MEMBER
    }
    return values | given


@contextmanager
def _suggesting_this_file() -> Iterator[None]:
    """Let suggested commands repeat `--config FILE` and `--member NAME`, if they were given."""
    from quantgod.settings import repeating

    given = click.get_current_context().meta
    with repeating(given.get(GIVEN), given.get(GIVEN_MEMBER)):
        yield


def _found(context: click.Context, option: click.Parameter, path: Path) -> Path | None:
    """Return the settings file's path from here, or else from the project's folder."""
    if not path.name:
        return None
    if path != Path(CONFIG):
        context.meta[GIVEN] = str(path)
    if path.is_file() or path.is_absolute():
        return path
    if path.is_dir():
        raise click.BadParameter(f"{path} is a folder, a settings file expected", context, option)
    if not (PROJECT / path).is_file():
        places = " or in ".join(dict.fromkeys(map(str, (Path.cwd(), PROJECT))))
        raise click.BadParameter(
            f"there is no {path} in {places}; `mlflow run` starts a step in the project's folder: "
            "name a file that lies elsewhere by its whole path",
            context,
            option,
        )
    return PROJECT / path


def _value_of(override: str, text: str) -> Any:
    import yaml

    from quantgod.settings import without_passwords

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # a date that is none
        problem = without_passwords(" ".join(f"{override}: {error}".split()))
        raise click.BadParameter(problem, param_hint="--set") from None


def _named_errors() -> tuple[type[Exception], ...]:
    """Return errors shown by their text only, including MLflow's once it is imported."""
    named: tuple[type[Exception], ...] = (ValueError, RuntimeError, OSError)
    imported = sys.modules.get("mlflow.exceptions")
    return named if imported is None else (*named, imported.MlflowException)


def _by_default(error: Exception) -> str:
    """Name the default settings file where what was not found might be found by another."""
    missing = {"quantgod.registry.registered": "NoSuchVersionError"}
    missing |= {"quantgod.tracking.stage": "MissingInput"}
    loaded = {sys.modules[room]: name for room, name in missing.items() if room in sys.modules}
    kinds = tuple(getattr(module, name) for module, name in loaded.items())
    if GIVEN in click.get_current_context().meta or not isinstance(error, kinds):
        return ""
    return f" (by the settings of {CONFIG}; --config FILE takes others)"


def _number_if_given(
    context: click.Context, option: click.Parameter, value: str | None
) -> int | None:
    if not value:
        return None
    if not value.isdecimal():
        raise click.BadParameter(f"a number was expected, got {value!r}", context, option)
    return int(value)


def _remembered(context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """Return a member's name, and keep it for suggested commands; None if empty."""
    if name:
        context.meta[GIVEN_MEMBER] = name
    return name or None


def _none_if_empty(_context: click.Context, _option: click.Parameter, value: Any) -> Any:
    return None if value in ("", ()) else value
