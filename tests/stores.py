"""SQLite stores of MLflow's: as it would make them, but made once, and quicker to write to."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.store.db import utils
from sqlalchemy import Engine, event


def fresh_store(folder: Path) -> str:
    """Put an empty store into `folder`; gives its URI."""
    database = folder / "mlflow.db"
    database.write_bytes(_empty())
    return f"sqlite:///{database}"


def never_wait_for_the_disk() -> None:
    """Have SQLite leave to the kernel when this process's commits reach the disk.

    Tests end processes, not machines: what the kernel was given is there for whoever reads next.
    """

    @event.listens_for(Engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous = OFF")


def remember_the_newest_schema() -> None:
    """Have MLflow read its hundred migrations once a process, and not for each store."""
    utils._get_latest_schema_revision = functools.cache(utils._get_latest_schema_revision)


@functools.cache
def _empty() -> bytes:
    """Its hundred migrations take seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlflow.db"
        MlflowClient(f"sqlite:///{path}").search_experiments()
        return path.read_bytes()
