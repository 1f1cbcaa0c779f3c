"""Test a version in its own process: `python -m quantgod.registry.tryout NAME NUMBER REPORT`.

It loads the version as a server would and predicts the golden input through MLflow's signature. The
result is written as JSON: `error` (a class name, empty if all is well) and `message`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from mlflow.pyfunc import PyFuncModel

from quantgod.files import write_json
from quantgod.registry.chain import compare_golden
from quantgod.registry.versions import load_chain


def main(name: str, number: str, report: str) -> None:
    """Test one version and write the report."""
    error, message = "", ""
    try:
        predict_golden(load_chain(name, int(number)))
    except Exception as refused:
        # Any exception is the version's failure, and must be reported to the promoting user.
        error, message = type(refused).__name__, str(refused)
    write_json(Path(report), {"error": error, "message": message})


def predict_golden(model: PyFuncModel) -> None:
    """Predict the golden input as a caller would, and compare.

    Raises:
        PackageError: if the output is not the registered one.
    """
    chain = model.unwrap_python_model().chain  # type: ignore[no-untyped-call]
    folder: Path = chain.folder
    compare = getattr(chain, "compare", compare_golden)  # that of forecasts allows for prices
    body = json.loads((folder / "golden_input.json").read_text(encoding="utf-8"))
    said = json.loads((folder / "golden_output.json").read_text(encoding="utf-8"))
    rows = pd.DataFrame(**body["dataframe_split"])
    compare(pd.DataFrame(model.predict(rows)), pd.DataFrame(said["predictions"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
