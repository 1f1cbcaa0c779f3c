"""What a person at the terminal is told when a command cannot do what was asked."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import steps.console
import steps.deployments
import steps.download
import steps.leak_audit
import steps.promote
from quantgod.gates import judge_gates
from quantgod.settings import load_settings
from quantgod.tracking.outbox import UntrackedWarning
from quantgod.training.space import PARAMETERS
from steps.console import progress_bar, remark, say, show_table
from steps.options import step
from tests.gates.records import Evidence, leak_audit
from tests.later import later

ROOT = Path(__file__).parents[1]
LONGEST = 42
"""Lines of a step's function, its imports and parameters among them."""


def test_an_override_that_is_not_yaml_is_refused_in_a_line() -> None:
    result = CliRunner().invoke(steps.promote.main, ["--set", "train.class_weights=[1"])
    assert result.exit_code == 2
    assert "train.class_weights=[1" in result.output
    assert isinstance(result.exception, SystemExit), "no traceback"


@pytest.mark.parametrize("override", ["optimize.trials={url}", "optimize.trials=[{url}", "{url}"])
def test_no_refusal_shows_a_password(override: str) -> None:
    given = override.format(url="postgresql://h/db?user=me&password=pa55")
    result = CliRunner().invoke(steps.deployments.main, ["--set", given])
    assert result.exit_code in (1, 2)
    assert "postgresql" in result.output
    assert "pa55" not in result.output


@pytest.mark.parametrize("name", ["main", "optimize", "train", "train of members"])
def test_a_network_with_another_s_parameters_is_refused_before_data_are_made(
    name: str, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    parent = f"inherits: {ROOT / 'conf' / 'demo.yaml'}\n"
    other = "{model: {name: linear}}"
    own.write_text(parent + (f"members: {{a: {other}}}" if "members" in name else other[1:-1]))
    step = importlib.import_module(f"steps.{name.partition(' ')[0]}")
    places = ";".join(f"data.{key}={tmp_path}/{key}" for key in ("archives", "bars", "work"))
    given = ["--config", str(own), "--set", f"{places};tracking.outbox={tmp_path}/outbox"]
    done = CliRunner().invoke(step.main, given)
    assert done.exit_code == 1
    read = {"main": PARAMETERS, "optimize": PARAMETERS[:2]}.get(name, PARAMETERS[:1])
    assert [place for place in PARAMETERS if f"{place}: " in done.output] == list(read)
    assert ("member a: " in done.output) is ("members" in name)
    assert [path.name for path in tmp_path.iterdir()] == ["own.yaml"]


@pytest.mark.parametrize(
    "name",
    [
        "main", "etl", "snapshots", "train", "train of members", "audit", "power", "zoo_power",
        "forecast_power",
    ],
)  # fmt: skip
def test_a_scheduler_that_is_away_is_told_before_anything_is_read(
    name: str, tmp_path: Path
) -> None:
    own, away = tmp_path / "own.yaml", "127.0.0.1:9"
    members = "members: {a: {train: {seed: 1}}}\n" if "members" in name else ""
    own.write_text(f"inherits: {ROOT / 'conf' / 'demo.yaml'}\n{members}")
    step = importlib.import_module(f"steps.{name.partition(' ')[0]}")
    sections = {"audit": "train", "power": "power", "forecast_power": "forecast_power"}
    section = sections.get(name, "train" if "train" in name else "etl")
    given = f"{section}.scheduler={away};tracking.uri=nonsense://"
    result = CliRunner().invoke(step.main, ["--config", str(own), "--set", given])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "no traceback"
    assert f"no Dask scheduler answers at {away}" in " ".join(result.output.split())


@pytest.mark.parametrize("what", ["a folder", "in a file", "garbage"])
def test_a_store_that_is_none_is_told_at_once(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow would try to open it for a hundred seconds, and end in SQLAlchemy's traceback."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "file").write_text("no database")
    store = {"a folder": "", "in a file": "file/mlflow.db", "garbage": "file"}[what]
    given = f"tracking.uri=sqlite:///{tmp_path / store}"
    done = CliRunner().invoke(steps.deployments.main, ["--set", given])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done.output
    assert "Error: ValueError: tracking.uri: " in done.output
    told = "is no SQLite database" if what == "garbage" else "a file of SQLite was expected at"
    assert told in done.output


def test_a_version_is_a_number() -> None:
    result = CliRunner().invoke(steps.promote.main, ["--version", "newest"])
    assert result.exit_code == 2
    assert "a number was expected, got 'newest'" in result.output


def test_force_asks_for_a_reason() -> None:
    result = CliRunner().invoke(steps.promote.main, ["--force"])
    assert result.exit_code == 2
    assert "a forced promotion needs one" in result.output


def test_cuts_that_are_named_take_the_place_of_drawn_ones() -> None:
    wrong = CliRunner().invoke(steps.leak_audit.main, ["--cut", "2024-01-05", "--cut", "at noon"])
    assert wrong.exit_code == 1
    assert "a time such as 2024-01-05T12:30Z was expected, got 'at noon'" in wrong.output


def test_nothing_real_is_downloaded_into_a_simulated_market() -> None:
    refused = CliRunner().invoke(steps.download.main, [])
    assert refused.exit_code == 2
    assert "conf/demo.yaml simulates its archives" in refused.output


def test_a_settings_file_is_found_from_anywhere_or_named_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(steps.download.main, [])
    assert "simulates its archives" in found.output, "the default lies in the project's folder"
    missing = CliRunner().invoke(steps.download.main, ["--config", "mine.yaml"])
    assert missing.exit_code == 2
    said = " ".join(missing.output.split())
    assert f"there is no mine.yaml in {tmp_path}" in said and str(ROOT) in said
    Path("conf").mkdir()
    folder = CliRunner().invoke(steps.download.main, ["--config", "conf"])
    assert "conf is a folder, a settings file expected" in " ".join(folder.output.split())
    Path("mine.yaml").write_text(f"inherits: {ROOT}/conf/demo.yaml\ndata: {{symbol: ETHUSDT}}\n")
    own = CliRunner().invoke(steps.download.main, ["--config", "mine.yaml"])
    assert "mine.yaml simulates its archives" in own.output


def test_a_command_to_copy_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("curl " + "long " * 40)
    assert capsys.readouterr().out.count("\n") == 1


def test_a_warning_of_ours_is_a_sentence_and_another_s_says_where_it_comes_from() -> None:
    @step()
    def warned() -> None:
        for kind in (UntrackedWarning, UserWarning):
            click.echo(
                warnings.formatwarning(kind("it is kept"), kind, "/a/file.py", 3, ""), nl=False
            )

    usual = warnings.formatwarning
    said = CliRunner().invoke(warned, []).output
    assert said == "Warning: it is kept\n/a/file.py:3: UserWarning: it is kept\n"
    assert warnings.formatwarning is usual


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_sentence_breaks_no_word_and_is_one_line_where_nobody_reads_it(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    said = "failed " + ", ".join(["beats_logistic_regression_macro_f1"] * 9)
    remark(said)
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(line.strip() for line in lines) == said
    assert (len(lines) > 1) == is_terminal


@pytest.mark.parametrize("every", [True, False])
def test_a_log_is_told_of_long_work_while_it_lasts(
    every: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once where every step is asked for, and then less and less often what it is at."""
    monkeypatch.setattr(steps.console, "QUIET_SECONDS", 0.2)
    told, until = "", time.monotonic() + 60
    with progress_bar("networks", every=every) as progress:
        progress(0, 2, "the network")
        assert (capsys.readouterr().err == "networks: 0/2 the network\n") is every
        while told.count("\n") < 3 and time.monotonic() < until:
            time.sleep(0.05)
            told += capsys.readouterr().err
        progress(2, 2, "")
    lines = told.splitlines()
    assert [line.partition(" (")[0] for line in lines] == ["networks: 0/2 the network"] * 3
    assert lines[2].endswith(" s)") and lines[2] > lines[0], "0.2, 0.6 and 1.4 seconds after"
    assert capsys.readouterr().err == "networks: 2/2 \n"
    assert not [one for one in threading.enumerate() if one.name == "reminder"]


def test_make_serves_the_model_that_it_is_told_to() -> None:
    command = ["make", "-n", "serve", "MODEL=other@Candidate"]
    assert "--model other@Candidate" in run(command).stdout


def test_make_names_the_run_that_settings_may_end_before_its_stage_names_it() -> None:
    assert "mlflow run . -e main --run-name main " in run(["make", "-n", "demo"]).stdout


def test_a_table_folds_long_names_and_loses_no_letter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show_table("gates", ["gate", "figure"], [["beats_majority_log_loss", "0.123456789" * 6]])
    said = capsys.readouterr().out
    cells = [line.split("│")[1].strip() for line in said.splitlines() if line.startswith("│")]
    assert "".join(cells) == "beats_majority_log_loss"
    assert "…" not in said


def test_no_name_is_broken_in_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    asked = load_settings(ROOT / "conf" / "full.yaml").gates
    evaluated, traded, audited, champion = Evidence()
    gates = judge_gates(evaluated, traded, audited, asked, champion)
    rows = [(gate.name, gate.figure, gate.bound, gate.verdict) for gate in gates]
    show_table("gates", ["gate", "figure", "bound", "verdict"], rows)
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines())
    told = [line.split("│")[1:-1] for line in said.splitlines() if line.startswith("│")]
    for column, cells in enumerate(zip(*told, strict=True)):
        words = {word for cell in cells for word in cell.split()}
        assert words == {word for row in rows for word in row[column].split()}


def test_a_leak_audit_prints_how_short_a_look_ahead_each_stage_would_have_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    near = {"features": 1, "labels": 12}
    scope = "made again: all of this and more than a line of it; not made again: " + "that " * 20
    found = leak_audit(compared={**near, "booster": 0}, nearest=near, scope=scope.strip())
    steps.leak_audit._show(found)
    lines = capsys.readouterr().out.splitlines()
    for stage, said in (("features", "1 row"), ("labels", "12 rows"), ("booster", "none")):
        (line,) = (line for line in lines if stage in line)
        assert line.rstrip("│ ").endswith(f" {said}")
    assert lines[-1] == scope.strip()


WITHOUT_REQUIREMENTS = [sys.executable, "-S", "-W", "ignore"]
"""A Python that finds no installed package, as a system's own is likely to be."""


@pytest.mark.parametrize("arguments", [["--help"], ["--config", "conf/full.yaml"]])
def test_a_step_outside_of_the_environment_says_in_a_line_what_to_do(arguments: list[str]) -> None:
    done = run([*WITHOUT_REQUIREMENTS, "-m", "steps.train", *arguments])
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {sys.executable} has no module ")
    assert "source .venv/bin/activate" in line and "make demo" in line


@pytest.mark.parametrize(("missing", "lines"), [("pydantic", 1), ("quantgod.settings", None)])
def test_a_requirement_that_is_missing_later_is_told_too_and_our_own_faults_are_not_hidden(
    missing: str, lines: int | None
) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; import steps.train as t; t.main(['--set='])"
    )
    done = run([sys.executable, "-c", code])
    assert done.returncode == 1 and f"{missing}" in done.stderr
    assert ("Traceback" in done.stderr) == (lines is None)
    assert lines is None or len(done.stderr.splitlines()) == lines


@pytest.mark.parametrize("path", sorted((ROOT / "steps").glob("*.py")), ids=lambda path: path.stem)
def test_a_step_reads_settings_calls_and_logs_and_holds_no_logic(path: Path) -> None:
    lines = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


@pytest.mark.parametrize("name", ["live", *later("collect")])
@pytest.mark.parametrize("log", ["json", *later("text")])
def test_a_session_says_at_once_that_it_is_starting(name: str, log: str) -> None:
    """Before what takes seconds: MLflow, which is not there in this test, and all that needs it."""
    code = (
        f"import sys; sys.modules['mlflow'] = None; import steps.{name} as session\n"
        f"session.main(['--exchange', 'simulated', '--log', '{log}'])"
    )
    told = run([sys.executable, "-c", code]).stderr.splitlines()
    assert f"{name} on simulated: loading libraries" in told[0]
    assert "starting" in told[0] and (log == "text" or json.loads(told[0])["code"] == "starting")
    assert "has no module mlflow" in told[-1]


def test_a_command_quiets_mlflow_and_spares_what_it_imports_full_collections() -> None:
    """However it is started, unless its user wants it otherwise."""
    program = """
import atexit, gc, logging, os
full = []
gc.callbacks.append(lambda _when, told: full.append(1) if told["generation"] == 2 else None)
atexit.register(lambda: print(len(full), gc.get_freeze_count() > 100_000))
import steps
import mlflow
level = logging.getLogger("mlflow").getEffectiveLevel()
print(logging.getLevelName(level), os.environ["MLFLOW_DISABLE_TELEMETRY"])
"""
    for own, told in (({}, "WARNING true"), ({"MLFLOW_LOGGING_LEVEL": "INFO"}, "INFO true")):
        said = run([sys.executable, "-c", program], own)
        assert said.stdout == f"{told}\n0 True\n", said.stderr


def run(
    command: list[str], of_mlflow: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, if `of_mlflow` is given with no other variables of MLflow's."""
    given = {**os.environ}
    if of_mlflow is not None:
        given = {name: value for name, value in given.items() if "MLFLOW" not in name} | of_mlflow
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
