"""One file per MLproject entry point: read settings, call quantgod, log to MLflow."""

import atexit
import gc
import os
import sys
from types import TracebackType

_OF_MLFLOW = {"MLFLOW_LOGGING_LEVEL": "WARNING", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""What MLflow reads when it is imported; the Makefile gives the same to its `mlflow` command."""

FULL_COLLECTIONS = 50
"""Middle collections of the garbage collector between two full ones, of which Python has 10."""


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Report a missing requirement in one line; show any other error as usual."""
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if name.partition(".")[0] in ("", "steps", "quantgod"):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(
        f"Error: {sys.executable} has no module {name}: steps run in the project's environment, so "
        "call `source .venv/bin/activate` first (`make demo` makes .venv where there is none)\n"
    )


sys.excepthook = _tell

for _name, _value in _OF_MLFLOW.items():
    os.environ.setdefault(_name, _value)

# Imports leave 700,000 objects for good. To walk through all of them while they grow, and once more
# at the end, is a third of what a short command computes.
gc.set_threshold(*gc.get_threshold()[:2], FULL_COLLECTIONS)
atexit.register(gc.freeze)
