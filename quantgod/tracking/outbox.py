"""Keep a run's data for the tracking server on disk until it is delivered.

A separate thread sends metrics in batches, so that a training loop never waits. Undelivered data
stays in the run's folder of the outbox; the next command delivers it.
"""

from __future__ import annotations

import fcntl
import json
import queue
import shutil
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException

from quantgod.files import write_json

BATCH = 1_000
"""Metrics per request (MLflow's limit)."""


class UntrackedWarning(UserWarning):
    """What a run has to tell did not reach the store."""


class Outbox:
    """One run's folder: `metrics.jsonl`, `artifacts/`, and `end.json` after its end."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self.run_id = run_id
        self.folder = folder / run_id
        self.artifacts = self.folder / "artifacts"
        self.artifacts.mkdir(parents=True, exist_ok=True)

    def keep_metrics(self, metrics: list[Metric]) -> None:
        """Append metrics that could not be sent."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as out:
            for metric in metrics:
                out.write(json.dumps([metric.key, metric.value, metric.timestamp, metric.step]))
                out.write("\n")

    def close(self, client: MlflowClient, status: str, tags: Mapping[str, str]) -> None:
        """Record how the run ended and deliver everything, or warn that it is still here."""
        try:
            with self.held():
                write_json(self.folder / "end.json", {"status": status, "tags": dict(tags)})
                self.deliver(client)
        except MlflowException as error:
            warnings.warn(
                f"The tracking server cannot be reached; what run {self.run_id} has to tell is "
                f"kept in {self.folder} and goes out with the next command ({error})",
                UntrackedWarning,
                stacklevel=2,
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock this run against delivery by other commands; the lock ends with the process.

        Raises:
            BlockingIOError: if another command is delivering it.
        """
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def deliver(self, client: MlflowClient) -> None:
        """Send everything and remove it. Sending twice is harmless.

        Raises:
            MlflowException: if the server cannot be reached or refuses; everything is kept.
        """
        self.deliver_metrics(client)
        if any(self.artifacts.iterdir()):
            client.log_artifacts(self.run_id, str(self.artifacts))
        ending = self.folder / "end.json"
        if ending.exists():
            end = json.loads(ending.read_text(encoding="utf-8"))
            tags = [RunTag(key, value) for key, value in end["tags"].items()]
            client.log_batch(self.run_id, tags=tags)
            client.set_terminated(self.run_id, end["status"])
            shutil.rmtree(self.folder)

    def deliver_metrics(self, client: MlflowClient) -> None:
        """Send the stored metrics."""
        kept = self.folder / "metrics.jsonl"
        if not kept.exists():
            return
        lines = kept.read_text(encoding="utf-8").splitlines()
        metrics = [Metric(*json.loads(line)) for line in lines]
        for batch in batches(metrics):
            client.log_batch(self.run_id, metrics=batch)
        kept.unlink()


def deliver_left_over(client: MlflowClient, folder: Path) -> list[str]:
    """Deliver data of earlier, ended runs; return the ids of the runs that are now complete."""
    delivered = []
    for ending in sorted(folder.glob("*/end.json")):
        outbox = Outbox(folder, ending.parent.name)
        try:
            with outbox.held():
                if not ending.exists():
                    shutil.rmtree(outbox.folder)  # its own command was faster
                    continue
                outbox.deliver(client)
        except MlflowException:
            continue  # the server is away, or is another one: kept for the next time
        except BlockingIOError:
            continue  # another command is delivering it
        delivered.append(outbox.run_id)
    return delivered


class MetricBuffer:
    """Sends metrics in the background; `log` only puts them into a queue."""

    def __init__(self, client: MlflowClient, outbox: Outbox, flush_seconds: float) -> None:
        self._client = client
        self._outbox = outbox
        self._flush_seconds = flush_seconds
        self._queue: queue.SimpleQueue[Metric] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metric-buffer", daemon=True)
        self._thread.start()

    def log(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log `values` at `step` with the present time."""
        now = time.time_ns() // 1_000_000
        for key, value in values.items():
            self._queue.put(Metric(key, float(value), now, step))

    def close(self) -> None:
        """Send the remaining metrics, or store them in the outbox, and stop the thread."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._flush_seconds):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        taken = []
        while not self._queue.empty():
            taken.append(self._queue.get())
        unsent = list(taken)
        try:
            for batch in batches(taken):
                self._client.log_batch(self._outbox.run_id, metrics=batch)
                unsent = unsent[len(batch) :]
            self._outbox.deliver_metrics(self._client)
        except MlflowException:
            self._outbox.keep_metrics(unsent)


def batches(items: list[Any]) -> Iterator[list[Any]]:
    """Yield pieces of a list that fit into one request."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
