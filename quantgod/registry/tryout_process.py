"""Test a version in a new process, as a server would load it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import mlflow

from quantgod.registry.registered import BrokenVersionError

TRYOUT_SECONDS: Final = 300
PROJECT: Final = Path(__file__).resolve().parents[2]


def try_version(name: str, number: int) -> None:
    """Let a new process load the version and predict the golden input, with pickle forbidden.

    Raises:
        BrokenVersionError: with the process's message, or if it took too long.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [sys.executable, "-m", "quantgod.registry.tryout", name, str(number), str(report)]
        try:
            ended = subprocess.run(
                command,
                env=_environment(),
                capture_output=True,
                text=True,
                timeout=TRYOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BrokenVersionError(
                f"{name} {number}: its trial was not over after {TRYOUT_SECONDS:g} s"
            ) from None
        if not report.is_file():
            raise BrokenVersionError(
                f"{name} {number}: the process that tried it ended with code {ended.returncode}: "
                f"{ended.stderr[-500:]}"
            )
        said = json.loads(report.read_text(encoding="utf-8"))
    if said["error"]:
        raise BrokenVersionError(f"{said['error']}: {said['message']}")


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(),
        "MLFLOW_REGISTRY_URI": mlflow.get_registry_uri(),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
