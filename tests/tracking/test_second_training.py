"""A second training reuses what nothing has changed, and ends in a verdict on what has.

The store, keys, runs, versions, checks of evidence and gates are real; what stages would make is a
text that follows from what they read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import msgspec
import pytest
import yaml
from mlflow import MlflowClient
from msgspec.structs import replace

from quantgod.evaluation.evidence import write_evidence
from quantgod.files import value_digest
from quantgod.gates import judge_gates
from quantgod.registry.evidence_runs import (
    RECORDS,
    check_data,
    check_evidence,
    check_makers,
    evidence_runs,
    read_records,
)
from quantgod.registry.gate_tags import record_gates, report_on
from quantgod.registry.lineage import EvaluationSummary, lineage_of_run, set_tags
from quantgod.registry.own_settings import SETTINGS_FILE, Judging, judging, keep_settings
from quantgod.registry.registered import FILES_TAG, asked_version, known_version
from quantgod.settings import Settings, load_settings
from quantgod.tracking import pipeline
from quantgod.tracking.keys import NO_CHAMPION, output_of
from quantgod.tracking.stage import StageRun, stage
from quantgod.tracking.store import connect
from tests.gates.records import Evidence

TRAINED = {"train", "audit", "register", "evaluate", "backtest", "leak_audit", "gates"}
JUDGED = {"register", "evaluate", "backtest", "gates"}
EVERY = {"simulate", "etl", "label", "optimize"} | TRAINED
STAGES = [name for name in pipeline.stages(load_settings(Path("conf/demo.yaml"))) if name in EVERY]


@dataclass
class World:
    """A project's data folders and store, and a stage's work in the place of its process."""

    folder: Path
    places: dict[str, Any]

    def config(self, name: str, **sections: Any) -> Path:
        """A settings file that inherits the demo's, with these sections over it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parent = {"inherits": str(Path("conf/demo.yaml").resolve())}
        path.write_text(yaml.safe_dump(parent | self.places | sections))
        return path

    def main(self, config: Path, member: str | None = None, **changed: Any) -> set[str]:
        """What `steps.main` does until a version is judged; gives the stages that ran anew."""
        overrides = {key.replace("__", "."): value for key, value in changed.items()}
        settings = load_settings(config, overrides, member)
        if changed or member:
            config = self.folder / f"{settings.digest()[:8]}.yaml"
            config.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
        done: dict[str, str] = {}
        anew = set()
        for name in STAGES:
            run, was_there = pipeline.run_stage(name, settings, config, done, fresh=False)
            done[name] = run.info.run_id
            anew |= set() if was_there else {name}
        verdict = output_of(done["gates"], "version", "failed")
        made = output_of(done["register"], "name", "version")
        assert (verdict["version"], verdict["failed"]) == (made["version"], "")
        assert verdict["name"] == settings.registry.name
        return anew

    def process(self, _uri: str, entry_point: str, parameters: Mapping[str, str], **_: str) -> Any:
        """`mlflow.projects.run`, but for the process: the parameters are logged as it does."""
        runs = {key.removesuffix("_run"): run for key, run in parameters.items() if key != "config"}
        settings = load_settings(Path(parameters["config"]))
        by = judged_by(entry_point, settings, runs)
        with stage(entry_point, by, runs) as run:
            mlflow.log_params(dict(parameters))
            WORK.get(entry_point, StageRun.output)(run)
        return SimpleNamespace(run_id=run.run_id)


def judged_by(name: str, settings: Settings, runs: Mapping[str, str]) -> Settings:
    """As the steps that judge a version find what they go by."""
    maker = {"evaluate": "register", "backtest": "evaluate", "gates": "register"}.get(name)
    if maker is None:
        return settings
    version = asked_version(MlflowClient(), settings.registry.name, None, runs[maker])
    by = judging(version, name, settings, None)
    assert by.otherwise == (), "a pipeline judges a version by the version's own settings"
    return by.settings


def write(path: Path, *parts: object) -> None:
    """As `etl` does: what stands as it should be is not touched."""
    text = value_digest([str(part) for part in parts])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def content(folder: Path) -> list[str]:
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.*"))
    return [path.read_text() for path in files if path.is_file()]


def simulate(run: StageRun) -> None:
    data = run.settings.data
    day = f"2024-01-01_{data.symbol}_ob200.data.zip"
    write(data.own_archives / day, run.settings.simulate, data.series)
    run.output(data.own_archives)


def etl(run: StageRun) -> None:
    bars = run.settings.data.own_bars
    bridge = run.settings.etl.max_bridge_minutes
    write(bars / "2024-01-01.parquet", content(run.inputs["archives"]), bridge)
    run.output(bars)


def label(run: StageRun) -> None:
    labels = run.settings.data.own_labels
    write(labels, content(run.inputs["bars"]), run.settings.label)
    run.output(labels)


def register(run: StageRun) -> None:
    check_makers(run.client, run.upstream, run.settings)
    kept = keep_settings(run.outbox.artifacts / SETTINGS_FILE, run.settings)
    tags = lineage_of_run(run, kept).tags() | {FILES_TAG: "f" * 64}
    name = run.settings.registry.name
    if name not in {model.name for model in run.client.search_registered_models()}:
        run.client.create_registered_model(name)
    made = run.client.create_model_version(name, source=str(run.settings.data.work), tags=tags)
    run.output(name=name, version=str(made.version))


def evaluate(run: StageRun) -> None:
    made = output_of(run.upstream["register"], "name", "version")
    record = replace(Evidence().evaluation, subject=f"{made['name']}/{made['version']}")
    write_evidence(run.outbox.artifacts / RECORDS["evaluate"], record)
    version = known_version(run.client, made["name"], int(made["version"]))
    set_tags(run.client, version, EvaluationSummary(run.run_id).tags(), instead="no tag")
    run.output(name=made["name"], version=made["version"])


def found(record: msgspec.Struct) -> Callable[[StageRun], None]:
    def work(run: StageRun) -> None:
        write_evidence(run.outbox.artifacts / RECORDS[run.name], record)
        run.output()

    return work


def gates(run: StageRun) -> None:
    """As the step does, but for its figures."""
    made = output_of(run.upstream["register"], "name", "version")
    version = known_version(run.client, made["name"], int(made["version"]))
    runs = evidence_runs(run.client, version, run.upstream, run.settings)
    check_evidence(run.client, version, runs, run.settings)
    check_data(version, run.inputs)
    with run.scratch() as folder:
        judged = judge_gates(*read_records(version, runs, folder), run.settings.gates)
    report = report_on(version, judged, None, run.run_id, Judging(run.settings))
    record_gates(run.client, report)
    run.output(**made, alias="Production", champion=NO_CHAMPION, failed=", ".join(report.failed))


WORK: dict[str, Callable[[StageRun], None]] = {
    "simulate": simulate,
    "etl": etl,
    "label": label,
    "register": register,
    "evaluate": evaluate,
    "backtest": found(Evidence().backtest),
    "leak_audit": found(Evidence().leak_audit),
    "gates": gates,
}


@contextmanager
def finished(folder: Path, settings: Settings) -> Iterator[World]:
    """A world in which everything was made once."""
    sections = ("data", "tracking")
    places = settings.model_dump(mode="json", include=set(sections))
    places |= {"live": {"journal": str(folder / "live")}, "gates": {"champion": False}}
    world = World(folder, places)
    connect(settings.tracking)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow.projects, "run", world.process)
        assert world.main(world.config("first.yaml")) == EVERY
        yield world


@pytest.mark.long
def test_a_second_training_reuses_what_is_unchanged_and_ends_in_a_verdict(
    settings: Settings, tmp_path: Path
) -> None:
    with finished(tmp_path, settings) as world:
        first = world.config("first.yaml")
        assert world.main(first, train__epochs=3) == TRAINED, "by --set"
        inherits = world.config("own/deep.yaml", registry={"name": "other"})
        assert world.main(inherits) == JUDGED, "by a file of one's own, under another name"
        moved = world.config("moved/first.yaml")
        where = {"data__work": str(tmp_path / "elsewhere"), "etl__workers": 1}
        assert world.main(moved, **where, registry__alias="Staging") == {"gates"}
        assert world.main(first, data__symbol="ETHUSDT", registry__name="eth") == EVERY
        assert world.main(first) == set(), "nothing stands in the way of what was made first"
        a_member_goes_all_the_way_and_is_what_a_file_that_says_the_same_makes(world)


def a_member_goes_all_the_way_and_is_what_a_file_that_says_the_same_makes(world: World) -> None:
    before = names()
    members = {"fast": {"train": {"epochs": 4}}, "plain": {"train": {"out_of_fold": False}}}
    config = world.config("members.yaml", members=members)
    assert world.main(config, member="fast") == TRAINED
    assert world.main(config, member="plain") == JUDGED, "its own name, and all else unchanged"
    assert names() - before == {"quantgod-demo-fast", "quantgod-demo-plain"}
    train = {"epochs": 4, "out_of_fold": True}
    written = {"train": train, "registry": {"name": "quantgod-demo-fast"}}
    assert world.main(world.config("written.yaml", **written)) == set()


def names() -> set[str]:
    return {model.name for model in MlflowClient().search_registered_models()}
