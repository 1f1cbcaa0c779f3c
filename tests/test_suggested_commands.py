"""A command that a message suggests can be called as it is: it names the settings file in force."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import steps.evaluate
import steps.gates
import steps.train
from quantgod.settings import OF_A_MEMBER, command, repeating
from tests.stores import fresh_store

ROOT = Path(__file__).parents[1]


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file of one's own, with a store in which nothing is registered."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    places = (f"{name}: {tmp_path / name}" for name in ("archives", "bars", "labels", "work"))
    path = tmp_path / "my own.yaml"
    path.write_text(
        f"inherits: {ROOT}/conf/full.yaml\n"
        f"data: {{{', '.join(places)}}}\n"
        f"tracking: {{uri: '{fresh_store(tmp_path)}', artifacts: {tmp_path}/artifacts, "
        f"outbox: {tmp_path}/outbox}}\n"
    )
    return path


@pytest.mark.parametrize(
    ("main", "suggested"),
    [
        (steps.evaluate.main, "main"),
        (steps.gates.main, "main"),
        (steps.train.main, "download"),
    ],
)
def test_a_suggested_command_repeats_the_settings_file_that_was_given(
    main: click.Command, suggested: str, own_file: Path
) -> None:
    done = CliRunner(env={"COLUMNS": "1000"}).invoke(main, ["--config", str(own_file)])
    assert done.exit_code == 1
    assert f"`python -m steps.{suggested} --config '{own_file}'`" in done.output
    assert command(suggested) == f"python -m steps.{suggested}", "it holds for that command alone"


def test_a_file_is_quoted_and_none_is_repeated_where_none_was_given() -> None:
    with repeating("it's mine.yaml"):
        assert command("label") == """python -m steps.label --config 'it'"'"'s mine.yaml'"""
        with repeating(None):
            assert command("label", "--horizon 15") == "python -m steps.label --horizon 15"
        assert "mine" in command("label")


def test_a_member_is_repeated_for_the_steps_that_can_be_told_one() -> None:
    files = [path.stem for path in (ROOT / "steps").glob("*.py")]
    steps_of = {name: getattr(import_module(f"steps.{name}"), "main", None) for name in files}
    told = {
        name
        for name, main in steps_of.items()
        if main is not None and any(option.name == "member" for option in main.params)
    }
    assert told == OF_A_MEMBER | {"disable"}, "it is always told one"
    with repeating("mine.yaml", "fast"):
        assert command("gates") == "python -m steps.gates --config mine.yaml --member fast"
        assert command("live") == "python -m steps.live --config mine.yaml"


@pytest.mark.parametrize("main", [steps.evaluate.main, steps.gates.main])
def test_a_suggested_command_repeats_the_member_that_was_given(
    main: click.Command, own_file: Path
) -> None:
    own_file.write_text(own_file.read_text() + "members: {fast: {}}\n")
    given = ["--config", str(own_file), "--member", "fast"]
    done = CliRunner(env={"COLUMNS": "1000"}).invoke(main, given)
    assert "quantgod-fast: no version is registered" in done.output
    assert f"`python -m steps.main --config '{own_file}' --member fast`" in done.output


@pytest.mark.parametrize("room", ["quantgod", "steps"])
def test_every_command_that_a_message_suggests_is_made_in_one_place(room: str) -> None:
    made_elsewhere = [
        f"{path}: {text}"
        for path in (ROOT / room).rglob("*.py")
        if "-m" in path.read_text()  # the others need not be parsed
        for text in texts_of(path)
        if "python -m" in text
    ]
    assert [text for text in made_elsewhere if "settings/commands.py" not in text] == []


def texts_of(path: Path) -> list[str]:
    """The strings of a source file that are no docstrings."""
    tree = ast.parse(path.read_text())
    alone = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [node.value for node in strings if isinstance(node.value, str) and node not in alone]
