"""Open runs inside a stage's run: one per trial of a search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlflow.entities import Param
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from quantgod.tracking.orphans import PROCESS_TAG, process_tag
from quantgod.tracking.outbox import MetricBuffer, Outbox
from quantgod.tracking.stage import StageRun
from quantgod.tracking.store import TRIALS, beside


@contextmanager
def child_run(
    parent: StageRun,
    name: str,
    params: Mapping[str, Any],
    killed_by: type[Exception] | tuple[type[Exception], ...] = (),
) -> Iterator[MetricBuffer]:
    """Open a child run of `parent` in the experiment of trials; yield its metric buffer.

    It ends FINISHED, or KILLED by an exception of `killed_by` (a pruned trial has not failed), or
    FAILED by any other exception, which is raised again.
    """
    client = parent.client
    tags = {
        MLFLOW_PARENT_RUN_ID: parent.run_id,
        MLFLOW_RUN_NAME: name,
        PROCESS_TAG: process_tag(),
    }
    experiment = beside(client, client.get_run(parent.run_id).info.experiment_id, TRIALS)
    run_id = client.create_run(experiment, tags=tags).info.run_id
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
    outbox = Outbox(parent.outbox.folder.parent, run_id)
    metrics = MetricBuffer(client, outbox, parent.settings.tracking.flush_seconds)
    status = "KILLED"
    try:
        yield metrics
        status = "FINISHED"
    except killed_by:
        raise
    except Exception:
        status = "FAILED"
        raise
    finally:
        metrics.close()
        outbox.close(client, status, {})
