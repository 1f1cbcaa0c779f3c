"""A version with a lineage of runs, and what was found of it, in a cheap store."""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Param
from mlflow.entities.model_registry import ModelVersion
from msgspec.structs import replace

from quantgod.evaluation.evidence import BACKTEST_FILE, EVALUATION_FILE, LEAK_AUDIT_FILE
from quantgod.evaluation.scored_rows import ROWS_FILE
from quantgod.registry.lineage import EvaluationSummary, set_tags
from quantgod.registry.lineage import Lineage as Made
from quantgod.registry.own_settings import SETTINGS_FILE, keep_settings
from quantgod.registry.registered import FILES_TAG, files_digest, known_version
from quantgod.settings import Settings, load_settings
from quantgod.tracking.keys import OUTPUT_FILE
from quantgod.tracking.stage import STAGE_TAG, logged_params
from tests.gates.records import Evidence
from tests.registry.shelves import NAME, Shelf

BARS_DIGEST = "b" * 64
HOUR_MS = 3_600_000


@dataclass
class Lineage:
    """Runs of every stage, the version that they made, and its evidence.

    Attributes:
        shelf: the store.
        labels: the file of the labelled table.
        digest: of that file.
        runs: ids by stage.
        number: of the version.
        settings: that its runs are given.
    """

    shelf: Shelf
    labels: Path
    digest: str
    evidence: Evidence = field(default_factory=Evidence)
    rows: pd.DataFrame | None = None
    runs: dict[str, str] = field(default_factory=dict)
    number: int = 0
    settings: Settings = field(default_factory=lambda: load_settings(Path("conf/demo.yaml")))

    def __post_init__(self) -> None:
        self.client = MlflowClient()
        place = str(self.shelf.folder / "artifacts")
        name = f"lineage {len(self.client.search_experiments())}"
        self.experiment = self.client.create_experiment(name, artifact_location=place)
        # Each run begins when the one before has ended, and all of them lie in the past.
        self.clock = itertools.count(int(time.time() * 1000) - HOUR_MS, 1_000)

    def run(
        self,
        stage: str,
        upstream: Mapping[str, str] | None = None,
        inputs: Mapping[str, str] | None = None,
        kept: Mapping[str, str] | None = None,
        status: str = "FINISHED",
        start: int | None = None,
    ) -> str:
        """A run of a stage, with its tags and what it has kept by file name."""
        tags = {
            STAGE_TAG: stage,
            **{f"quantgod.upstream.{name}": run for name, run in (upstream or {}).items()},
            **{f"quantgod.input.{name}": digest for name, digest in (inputs or {}).items()},
        }
        begun = next(self.clock) if start is None else start
        run_id = self.client.create_run(self.experiment, begun, tags).info.run_id
        params = logged_params(stage, self.settings).items()
        self.client.log_batch(run_id, params=[Param(*pair) for pair in params])
        for name, text in (kept or {}).items():
            self.client.log_text(run_id, text, name)
        if status != "RUNNING":
            self.client.set_terminated(run_id, status, next(self.clock))
        return str(run_id)

    def whole(self, makers: Sequence[str] = ("optimize", "train", "audit")) -> Lineage:
        """Make all of it; of an ensemble the `members` are trained in one run."""
        output = json.dumps({"path": str(self.labels), "digest": self.digest})
        self.runs["label"] = self.run(
            "label", inputs={"bars": BARS_DIGEST}, kept={OUTPUT_FILE: output}
        )
        for stage in makers:
            self.runs[stage] = self.run(stage, inputs={"labels": self.digest})
        path = self.shelf.folder / SETTINGS_FILE
        self.kept_digest = keep_settings(path, self.settings)
        self.runs["register"] = self.run("register", kept={SETTINGS_FILE: path.read_text()})
        self.number = self.version()
        self.runs["evaluate"] = self.evaluated()
        self.runs["backtest"] = self.backtested()
        self.runs["leak_audit"] = self.leak_audited()
        return self

    def in_copy(self, shelf: Shelf) -> Lineage:
        """The same in a copy of its store; what its runs have kept stays where it is."""
        other = copy.copy(self)
        other.shelf, other.runs, other.client = shelf, dict(self.runs), MlflowClient()
        return other

    def version(self, **tags: str) -> int:
        source = self.shelf.files(1)
        own = {
            FILES_TAG: files_digest(source),
            **self.made_of().tags(),
        }
        made = self.client.create_model_version(NAME, source=str(source), tags=own | tags)
        return int(made.version)

    def made_of(self) -> Made:
        data = {"bars": BARS_DIGEST, "labels": self.digest}
        return Made(self.runs, data, settings=self.kept_digest)

    def remade(self, **runs: str) -> None:
        """Let the version stand on other runs."""
        made = Made({**self.runs, **runs}, self.made_of().data, settings=self.kept_digest)
        set_tags(self.client, self.judged(), made.tags(), instead="no tag")

    def judged(self) -> ModelVersion:
        return known_version(self.client, NAME, self.number)

    def evaluated(self, number: int | None = None, **changes: str) -> str:
        """An evaluate run, named in the version's tag as the step does."""
        output = {"name": NAME, "version": str(number or self.number), **changes}
        record = replace(self.evidence.evaluation, subject=f"{NAME}/{output['version']}")
        kept = {EVALUATION_FILE: _text(record), OUTPUT_FILE: json.dumps(output)}
        run_id = self.run("evaluate", inputs={"labels": self.digest}, kept=kept)
        if self.rows is not None:
            path = self.shelf.folder / ROWS_FILE
            self.rows.to_parquet(path)
            self.client.log_artifact(run_id, str(path), "test")
        set_tags(self.client, self.judged(), EvaluationSummary(run_id).tags(), instead="no tag")
        return run_id

    def backtested(
        self, evaluate: str | None = None, bars: str = BARS_DIGEST, **given: str | None
    ) -> str:
        own = self._known("evaluate", "optimize", "members")
        given = {"evaluate": evaluate, **given}
        return self.run(
            "backtest",
            own | {name: run for name, run in given.items() if run},
            {"bars": bars},
            {BACKTEST_FILE: _text(self.evidence.backtest), OUTPUT_FILE: "{}"},
        )

    def leak_audited(self, audit: str | None = None, status: str = "FINISHED") -> str:
        return self.run(
            "leak_audit",
            self._known("optimize", "train", "members") | {"audit": audit or self.runs["audit"]},
            {"bars": BARS_DIGEST},
            {LEAK_AUDIT_FILE: _text(self.evidence.leak_audit), OUTPUT_FILE: "{}"},
            status,
        )

    def _known(self, *stages: str) -> dict[str, str]:
        return {stage: self.runs[stage] for stage in stages if stage in self.runs}


def _text(record: object) -> str:
    return msgspec.json.encode(record).decode()
