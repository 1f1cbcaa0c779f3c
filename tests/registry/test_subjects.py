from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from quantgod.registry.subjects import EvaluationRequest, subject_of
from quantgod.settings import load_settings
from quantgod.tracking.keys import NoOutputError
from tests.registry.shelves import NAME, Shelf


def test_a_run_that_is_of_no_audit_is_told(shelf: Shelf, tmp_path: Path) -> None:
    client = MlflowClient()
    run = client.create_run("0").info.run_id
    settings = load_settings(Path("conf/demo.yaml")).train
    with pytest.raises(NoOutputError, match=f"run {run} is of no audit"):
        subject_of(EvaluationRequest(NAME, None, {"audit": run}), client, settings, tmp_path)
