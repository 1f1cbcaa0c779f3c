"""What an evaluation leaves behind: the scored rows, what they come to, and what figures need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from quantgod.contracts import Floats, Integers
from quantgod.evaluation.comparison import Comparison
from quantgod.evaluation.evidence import EvaluationResult
from quantgod.evaluation.metrics import KEY_SCORES

JUDGED: Final = ("auditor", "base")
"""The models that are judged, beside baselines; differences are the first one's score minus the
other's."""

Weights = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
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
        """By what runs are compared, under flat names that MLflow takes: `test_MODEL_SCORE`, ...

        The record has all else; of baselines, macro-F1 alone is told here.
        """
        baselines = self.result.models.keys() - JUDGED
        scores = [(model, score) for model in JUDGED for score in KEY_SCORES]
        scores += [(model, KEY_SCORES[0]) for model in sorted(baselines)]
        return {f"test_{model}_{score}": self._score(model, score) for model, score in scores} | (
            self._others()
        )

    def summary(self) -> dict[str, float]:
        """The auditor's among them: what is written on the version."""
        return {f"test_auditor_{score}": self._score("auditor", score) for score in KEY_SCORES}

    def _score(self, model: str, score: str) -> float:
        return self.result.models[model][score].value

    def _others(self) -> dict[str, float]:
        result = self.result
        figures = {
            "test_rows": result.rows,
            "test_rows_effective": result.effective_rows,
            "test_coverage": result.coverage.found.value,
            "test_drift_psi": max(found.psi for found in result.drift.values()),
            "test_drift_ks": max(found.ks for found in result.drift.values()),
        }
        if result.inference is not None:
            figures["test_inference_p99_ms"] = result.inference.p99
        return figures
