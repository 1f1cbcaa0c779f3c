"""Time the start of a stage: Python, its libraries, and a run in a store.

An empty stage runs in its own process and its own temporary store, whose creation is not counted.
Processor seconds are measured, so that other work on the machine matters little.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Final

import yaml

from quantgod.settings import Settings, settings_of, with_values
from quantgod.tracking.stage import stage
from quantgod.tracking.store import connect

LIBRARIES: Final = "quantgod.registry.scoring"
"""A module that imports what the heaviest stages import."""

EMPTY: Final = "simulate"
"""A stage that reads nothing."""

_OTHERS: Final = "MLFLOW_"


def time_start(settings: Settings) -> float:
    """Return the processor seconds of an empty stage.

    Raises:
        RuntimeError: if it fails, with the end of its output.
    """
    with tempfile.TemporaryDirectory(prefix="quantgod-") as folder:
        values = _elsewhere(settings, Path(folder)).model_dump(mode="json")
        config = Path(folder) / "settings.yaml"
        config.write_text(yaml.safe_dump(values), encoding="utf-8")
        # This process's run variables must not reach the child process.
        environment = {key: value for key, value in os.environ.items() if _OTHERS not in key}
        before = _children()
        done = subprocess.run(
            [sys.executable, "-m", __name__, str(config)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
            env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
        took = _children() - before
    if done.returncode:
        raise RuntimeError(f"an empty stage failed: {done.stderr[-2000:]}")
    return took - float(json.loads(done.stdout.splitlines()[-1]))


def main(config: Path) -> None:
    """Run an empty stage; print the processor seconds of creating its store."""
    settings = settings_of(yaml.safe_load(config.read_text(encoding="utf-8")), str(config))
    import_module(LIBRARIES)
    began = time.process_time()
    connect(settings.tracking)
    made = time.process_time() - began
    with stage(EMPTY, settings) as run:
        run.metrics.log({"nothing": 0.0})
        run.output()
    sys.stdout.write(f"{json.dumps(made)}\n")


def _elsewhere(settings: Settings, folder: Path) -> Settings:
    return with_values(
        settings,
        {
            "tracking.uri": f"sqlite:///{folder}/mlflow.db",
            "tracking.artifacts": str(folder / "mlruns"),
            "tracking.outbox": str(folder / "outbox"),
            "data.work": str(folder / "work"),
            "simulate.prices": None,
        },
    )


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(Path(sys.argv[1]))
