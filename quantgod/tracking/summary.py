"""Summarise the stages of a whole pipeline run: key figures and a description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlflow.entities import Run

from quantgod.tracking.stage import HEADLINE_TAG

KEY_FIGURES: Final[Mapping[str, tuple[str, ...]]] = {
    "evaluate": (
        "test_auditor_macro_f1",
        "test_auditor_log_loss",
        "test_auditor_mcc",
        "test_base_macro_f1",
        "test_logistic_regression_macro_f1",
        "test_rows_effective",
    ),
    "backtest": ("net_pnl", "sharpe", "deflated_sharpe", "max_drawdown", "trades"),
    "gates": ("gates_passed", "gates_failed", "gates_not_judged"),
}
"""Figures that compare whole runs, by stage."""


def key_figures(done: Mapping[str, Run]) -> dict[str, float]:
    """Return the key figures of finished stages, as metrics of the parent run."""
    return {
        name: done[stage].data.metrics[name]
        for stage, names in KEY_FIGURES.items()
        if stage in done
        for name in names
        if name in done[stage].data.metrics
    }


def description(done: Mapping[str, Run]) -> str:
    """Return a Markdown description of the stages' results."""
    lines = [
        f"- [{stage}](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}): "
        f"{run.data.tags.get(HEADLINE_TAG, '')}"
        for stage, run in done.items()
    ]
    return "\n".join(lines)
