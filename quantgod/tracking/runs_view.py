"""Define how MLflow's table of runs opens: parent runs first, key figures as columns.

A view of the table is a tag of the experiment, named in the address: MLflow's own way to share one.
Users can choose other columns there without changing the view.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from quantgod.tracking.stage import HEADLINE_TAG

VIEW: Final = "quantgod"
VIEW_TAG: Final = f"mlflow.sharedViewState.{VIEW}"
COLUMNS: Final = (
    "test_auditor_macro_f1", "test_auditor_log_loss", "net_pnl", "deflated_sharpe",
    "max_drawdown", "gates_failed",
)  # fmt: skip
_ATTRIBUTES: Final = {"attributes.`Run Name`": 260, "attributes.`Created`": 130}
"""Columns that are always shown, with widths in pixels."""


def runs_view() -> str:
    """Return the view in the tag's format."""
    widths = dict(_widths())
    state = {
        "searchFilter": "attributes.status = 'FINISHED'",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [name for name in widths if name not in _ATTRIBUTES],
        "columnOrder": list(widths),
        "columnWidths": widths,
    }
    return json.dumps(state)


def address(place: str, experiment_id: str) -> str:
    """Return the address of an experiment's runs; MLflow's default page shows traces."""
    asked = urlencode({"workflowType": "machine_learning", "viewStateShareKey": VIEW})
    return f"{place}/#/experiments/{experiment_id}/runs?{asked}"


def _widths() -> Iterator[tuple[str, int]]:
    yield from _ATTRIBUTES.items()
    for name in COLUMNS:
        yield f"metrics.`{name}`", 50 + 7 * len(name)
    yield f"tags.`{HEADLINE_TAG}`", 500
