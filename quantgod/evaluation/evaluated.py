"""What an evaluation leaves behind: the scored rows, what they come to, and what figures need."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.evaluation.comparison import Comparison
from quantgod.evaluation.evidence import EvaluationResult

SUMMARY: Final = ("macro_f1", "mcc", "accuracy", "log_loss", "brier", "ece")

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Weights = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The test part as it was read, once, in order of time.

    Attributes:
        rows: a row a scored minute, with the columns of `scored_rows.COLUMNS`.
        result: what gates read of it.
        samples_row: (n,) where the scored rows' windows end in the table.
        dev_row: (m,) the same of the dev rows (purged, at the audit's stride) that the baselines
            were fitted on.
        meta: (n, 14) meta-features of the scored rows.
        comparison: scores with intervals by model and score, and differences (the auditor's minus
            the other's); the same that `result` holds.
        decision_weights: by which each model's probabilities become a class; a model without takes
            its likeliest class.
    """

    rows: pd.DataFrame
    result: EvaluationResult
    samples_row: Integers
    dev_row: Integers
    meta: Floats
    comparison: Comparison
    decision_weights: dict[str, Weights]

    def metrics(self) -> dict[str, float]:
        """Every figure under a flat name that MLflow takes: `test_MODEL_SCORE`, `test_rows`, ..."""
        return self._scores() | self._others()

    def summary(self) -> dict[str, float]:
        """The same without the scores of single classes: what a version's tags say."""
        return self._scores(SUMMARY) | self._others()

    def _scores(self, chosen: Collection[str] | None = None) -> dict[str, float]:
        return {
            f"test_{model}_{score}": found.value
            for model, scores in self.result.models.items()
            for score, found in scores.items()
            if chosen is None or score in chosen
        }

    def _others(self) -> dict[str, float]:
        result, sets = self.result, self.result.coverage
        figures = {
            "test_rows": result.rows,
            "test_rows_effective": result.effective_rows,
            "test_coverage": sets.found.value,
            "test_coverage_promised": sets.promised,
            "test_singletons": sets.singletons,
            "test_drift_psi": max(found.psi for found in result.drift.values()),
            "test_drift_ks": max(found.ks for found in result.drift.values()),
        }
        if (times := result.inference) is not None:
            figures |= {"test_inference_p50_ms": times.p50, "test_inference_p99_ms": times.p99}
        return figures
