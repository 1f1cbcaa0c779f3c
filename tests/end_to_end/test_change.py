"""From an ensemble in place to another version of the same members, by the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from quantgod.api.app import make_app
from quantgod.api.desk import Desk
from quantgod.api.guard.token import kept_hash, new_token
from quantgod.api.jobs import Jobs
from quantgod.api.listening import HOST
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.members import combiner_of
from quantgod.registry.registered import known_version
from quantgod.settings import load_settings
from tests.api.serving import Served, listening_at
from tests.stores import fresh_store

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "end_to_end" / "tiny.yaml"
NAME = "together"
MEMBERS = {
    "near": {"window": {"length": 60}},
    "linear": {
        "window": {"length": 30},
        "model": {"name": "linear", "params": {}},
        "leak_audit": {"params": {}},
    },
}
WEIGHT, STRATEGY = "/api/ensemble/models/weight", "/api/ensemble/strategy"
KEPT = ("simulate", "etl", "label", "features", "train", "members")
MADE = ("audit", "register", "evaluate", "backtest", "leak_audit", "gates")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An ensemble of two members in place, in a store of its own."""
    folder = tmp_path_factory.mktemp("change")
    places = ("archives", "bars", "labels", "features", "snapshots", "work")
    own = {
        "inherits": str(TINY),
        "data": {name: str(folder / name) for name in places},
        "members": MEMBERS,
        "ensemble": {"strategy": "hedge"},
        "evaluate": {"stride": 8},
        "registry": {"name": NAME},
        "manage": {"folder": str(folder / "manage")},
        "tracking": {
            "uri": fresh_store(folder),
            "artifacts": str(folder / "artifacts"),
            "outbox": str(folder / "outbox"),
        },
    }
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(own, sort_keys=False))
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(own["tracking"]["uri"])
    made = run("main", path)
    assert made.returncode == 0, made.stdout + made.stderr
    yield path
    mlflow.set_tracking_uri(before)


def command(step: str, config: Path, *given: str) -> list[str]:
    return [sys.executable, "-m", f"steps.{step}", "--config", str(config), *given]


def run(step: str, config: Path, *given: str) -> subprocess.CompletedProcess[str]:
    environment = {name: one for name, one in os.environ.items() if not name.startswith("MLFLOW")}
    return subprocess.run(
        command(step, config, *given), cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def runs(*stages: str) -> dict[str, list[Run]]:
    client = MlflowClient()
    experiments = [one.experiment_id for one in client.search_experiments()]
    return {
        stage: list(client.search_runs(experiments, f"tags.`quantgod.stage` = '{stage}'"))
        for stage in stages
    }


def in_place() -> int:
    return int(MlflowClient().get_model_version_by_alias(NAME, "Production").version)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_change_is_a_version_of_the_same_members_that_goes_through_the_gates(
    config: Path,
) -> None:
    kept = runs(*KEPT)
    before = runs(*MADE)
    changed = run("change", config, "--weight", "near=0.25", "--reason", "it lost money")
    assert changed.returncode == 0, changed.stdout + changed.stderr
    assert in_place() == 2
    for stage, found in runs(*KEPT).items():
        assert len(found) == len(kept[stage]), f"{stage}: nothing is made or trained again"
    for stage, found in runs(*MADE).items():
        assert len(found) == len(before[stage]) + 1, f"{stage}: judged as any other"
    entry = LedgerRun(MlflowClient(), NAME, "Production").read().entries[-2]
    assert (entry.kind, entry.version, entry.why) == (
        "promotion", 2, "weight of near 0.25: it lost money",
    )  # fmt: skip
    combiner = combiner_of(known_version(MlflowClient(), NAME, 2))
    assert combiner is not None
    assert dict(zip(combiner.members, combiner.weights, strict=True)) == {"near": 0.25, "linear": 1}
    again = run("change", config, "--weight", "near=0.25")
    assert again.returncode == 1 and "nothing would change" in again.stderr

    a_killed_change_goes_on(config)
    a_rollback_meanwhile_is_not_undone(config)
    gates_that_fail_leave_what_is_in_place(config)


def a_killed_change_goes_on(config: Path) -> None:
    """What is in place stays so, and the same command makes no stage twice."""
    audits = len(runs("audit")["audit"])
    environment = {name: one for name, one in os.environ.items() if not name.startswith("MLFLOW")}
    given = ("--disable", "linear")
    begun = subprocess.Popen(
        command("change", config, *given), cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + 300
    while len(runs("evaluate")["evaluate"]) < 3:
        assert time.monotonic() < end and begun.poll() is None
        time.sleep(0.2)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    assert in_place() == 2
    done = run("change", config, *given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert in_place() == 3 and "audit: unchanged since run" in done.stdout
    assert len(runs("audit")["audit"]) == audits + 1
    combiner = combiner_of(known_version(MlflowClient(), NAME, 3))
    assert combiner is not None and combiner.members == ("near",)
    (killed,) = (one for one in runs("change")["change"] if one.info.status == "KILLED")
    assert killed.data.tags["quantgod.stage"] == "change"


def a_rollback_meanwhile_is_not_undone(config: Path) -> None:
    with managed(config) as api:
        body = {"model_type": "linear", "weight": 0.5}
        begun = api.post(WEIGHT, body, If_Match=api.tag(), Prefer="respond-async")
        assert begun.status_code == 409 and "nothing would change" in begun.json()["reason"]
        body = {"strategy": "majority", "reason": "a try"}
        begun = api.post(STRATEGY, body, If_Match=api.tag(), Prefer="respond-async")
        assert begun.status_code == 202, begun.text
        told(api, lambda said: said["version"] == 4)
        back = api.post("/api/deployments/rollback", {"version": 2}, If_Match=api.tag())
        assert back.status_code == 200
        said = told(api, lambda said: not said["is_changing"])
    assert said["state"] == "failed" and said["said"].startswith("LedgerWentOnError: ")
    assert {one["state"] for one in said["stages"]} == {"finished"}, "all but its promotion"
    assert in_place() == 2


def gates_that_fail_leave_what_is_in_place(config: Path) -> None:
    """Of a version whose own bounds no change of it can meet."""
    values = yaml.safe_load(config.read_text())
    values["gates"] = {"inference_p99_ms": 0.001}
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    made = run("main", config)
    assert made.returncode == 0 and "not promoted" in made.stdout
    version = max(int(one.version) for one in MlflowClient().search_model_versions())
    given = ("--version", str(version), "--force", "--reason", "to change it")
    forced = run("promote", config, *given)
    assert forced.returncode == 0, forced.stderr
    with managed(config) as api:
        head = api.tag()
        answer = api.post(STRATEGY, {"strategy": "majority"}, If_Match=head)
        assert answer.status_code == 409, answer.text
        said = answer.json()
        assert (said["code"], said["failed"]) == ("gates_failed", ["inference_p99"])
        assert said["version"] == version + 1
        (gate,) = said["gates"]
        assert gate["bound"].startswith("<= ") and gate["figure"].endswith(" ms")
        assert api.tag() == head and in_place() == version
    again = run("change", config, "--strategy", "majority")
    assert again.returncode == 1
    assert f"version {version + 1} is not promoted: inference_p99" in again.stderr
    assert again.stdout.count("unchanged since run") == len(MADE)


@contextmanager
def managed(config: Path) -> Iterator[Served]:
    """Serve the settings of a file, as `steps.manage` does."""
    settings = load_settings(config)
    folder = settings.manage.folder
    token, desk = new_token(folder), Desk(settings, MlflowClient(), config, Jobs(folder))
    app = make_app(desk, kept_hash(folder))
    with listening_at(app, desk.ending) as port:
        yield Served(f"http://{HOST}:{port}", token, app, settings)


def told(api: Served, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """How the change stands, once it is so."""
    end = time.monotonic() + 600
    while not is_so(said := api.get("/api/ensemble/change").json()):
        assert time.monotonic() < end, said
        time.sleep(0.2)
    return dict(said)
