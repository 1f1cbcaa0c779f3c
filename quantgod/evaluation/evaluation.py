"""The result of an evaluation: the scored rows, their scores, and data for figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from quantgod.contracts import Floats, Integers
from quantgod.evaluation.comparison import Comparison
from quantgod.evaluation.evidence import EvaluationResult
from quantgod.evaluation.metrics import KEY_SCORES

JUDGED: Final = ("auditor", "base")
"""The judged models, besides baselines; differences are the first one's score minus the other's."""

Weights = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scored test part, in order of time.

    Attributes:
        rows: one row per scored minute, with the columns of `scored_rows.COLUMNS`.
        result: the record for gates.
        samples_row: (n,) positions in the table where the windows of the scored rows end.
        dev_row: (m,) the same for the dev rows (purged, at the audit's stride) that the baselines
            were fitted on.
        meta: (n, 14) meta-features of the scored rows.
        comparison: scores with intervals by model, and differences (the auditor's minus the
            other's), as in `result`.
        decision_weights: weights that turn each model's probabilities into a class; without any the
            likeliest class is taken.
    """

    rows: pd.DataFrame
    result: EvaluationResult
    samples_row: Integers
    dev_row: Integers
    meta: Floats
    comparison: Comparison
    decision_weights: dict[str, Weights]

    def metrics(self) -> dict[str, float]:
        """Return the figures by which runs are compared, under names like `test_MODEL_SCORE`.

        Of the baselines only macro-F1 is included; the record has everything else.
        """
        baselines = self.result.models.keys() - JUDGED
        scores = [(model, score) for model in JUDGED for score in KEY_SCORES]
        scores += [(model, KEY_SCORES[0]) for model in sorted(baselines)]
        return {f"test_{model}_{score}": self._score(model, score) for model, score in scores} | (
            self._others()
        )

    def summary(self) -> dict[str, float]:
        """Return the auditor's figures, which are written on the version."""
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
        for name, score in result.confidence.get("confidence", {}).items():
            figures[f"test_confidence_{name}"] = score.value
        if result.inference is not None:
            figures["test_inference_p99_ms"] = result.inference.p99
        return figures
