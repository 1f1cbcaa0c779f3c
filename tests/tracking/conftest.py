"""A tracking store of its own for every test, real and small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from quantgod.settings import Settings, load_settings
from tests.stores import fresh_store

PLACES = ("archives", "bars", "labels", "features", "snapshots", "work")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The demo's settings with store, artifacts, outbox and data under `tmp_path`."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = mlflow.get_tracking_uri()
    folders = {
        "tracking.uri": fresh_store(tmp_path),
        "tracking.artifacts": str(tmp_path / "artifacts"),
        "tracking.outbox": str(tmp_path / "outbox"),
        "tracking.flush_seconds": 0.05,
        **{f"data.{name}": str(tmp_path / name) for name in PLACES},
    }
    yield load_settings(Path("conf/demo.yaml"), folders)
    mlflow.set_tracking_uri(before)
