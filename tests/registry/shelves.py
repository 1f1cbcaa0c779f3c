"""A store with versions that are cheap: files that say nothing, but are digested like any."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from quantgod.contracts import Series
from quantgod.registry.ledger import Entry, Ledger
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.lineage import Lineage
from quantgod.registry.moving import Move, move
from quantgod.registry.registered import FILES_TAG, files_digest, known_version
from tests.stores import fresh_store

NAME = "quantgod"
SERIES = Series("BTCUSDT", "linear")
ALIAS = "Production"
MLFLOW_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID")
VERSIONS = 4
MADE_OF = Lineage(runs={"train": "f" * 32}, data={"labels": "a" * 64})
OLD = {"run.train": "f" * 32, "data.labels": "a" * 64}
"""The same lineage as earlier code wrote it: version 1 carries it so."""


@dataclass(frozen=True)
class Shelf:
    """A SQLite store with versions 1 to 4, of which none was ever deployed."""

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def database(self) -> Path:
        return self.folder / "mlflow.db"

    def files(self, number: int) -> Path:
        return self.folder / "versions" / str(number)

    def put(self, number: int, why: str = "a test", by: str = "a tester") -> Entry | None:
        """Promote a version without any check."""
        client = MlflowClient()
        found = known_version(client, NAME, number)
        return move(client, NAME, ALIAS, lambda _: Move("promotion", found, why), by)

    def point(self, number: int | None) -> None:
        """Move the alias behind the ledger's back."""
        if number is None:
            MlflowClient().delete_registered_model_alias(NAME, ALIAS)
        else:
            MlflowClient().set_registered_model_alias(NAME, ALIAS, str(number))

    def ledger(self) -> Ledger:
        return LedgerRun(MlflowClient(), NAME, ALIAS).read()

    def kinds(self) -> list[tuple[str, int | None]]:
        return [(entry.kind, entry.version) for entry in self.ledger().entries]


def make_shelf(folder: Path) -> Shelf:
    shelf = Shelf(folder)
    fresh_store(folder)
    with tracked(shelf.uri):
        client = MlflowClient()
        client.create_registered_model(NAME)
        for number in range(1, VERSIONS + 1):
            files = shelf.files(number)
            files.mkdir(parents=True)
            (files / "weights").write_text(f"of version {number}")
            tags = {FILES_TAG: files_digest(files)} | (OLD if number == 1 else MADE_OF.tags())
            client.create_model_version(NAME, source=str(files), tags=tags)
    return shelf


@contextmanager
def copied(template: Shelf, folder: Path) -> Iterator[Shelf]:
    """A copy of a store, with MLflow pointed at it; the versions' files are the template's."""
    shutil.copyfile(template.database, folder / "mlflow.db")
    shelf = Shelf(folder)
    with tracked(shelf.uri):
        yield shelf


@contextmanager
def tracked(uri: str) -> Iterator[None]:
    """Point MLflow at a store, and back again, its variables for child processes included."""
    with pytest.MonkeyPatch.context() as patch:
        for name in MLFLOW_VARIABLES:
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(uri)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        yield
    mlflow.set_tracking_uri(before)
