"""Summarise the stages of a whole pipeline run: key figures and a description."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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


HEADERS: Final = ("stage", "seconds", "key figures")


def stage_rows(done: Mapping[str, Run], skipped: Collection[str]) -> list[tuple[str, str, str]]:
    """Return a row of `HEADERS` for each stage."""
    rows = []
    for name, run in done.items():
        seconds = (run.info.end_time - run.info.start_time) / 1000
        took = "skipped" if name in skipped else f"{seconds:.1f}"
        rows.append((name, took, run.data.tags.get(HEADLINE_TAG, "")))
    return rows


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
