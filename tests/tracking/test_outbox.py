from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from quantgod.settings import Settings
from quantgod.tracking.outbox import BATCH, MetricBuffer, Outbox, deliver_left_over
from quantgod.tracking.stage import stage


@contextmanager
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """A server that takes connections and never answers; says when it was first asked."""
    asked = threading.Event()
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return
                asked.set()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            connection.close()
    thread.join()


@pytest.mark.long
def test_a_server_that_hangs_does_not_hold_up_who_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    outbox = Outbox(tmp_path, "run")
    with silent_server() as (uri, asked):
        buffer = MetricBuffer(MlflowClient(uri), outbox, flush_seconds=0.01)
        buffer.log({"loss": 0.0}, 0)
        assert asked.wait(10)
        # The thread now waits for an answer; these must all return before it has given up.
        for step in range(1, 20_000):
            buffer.log({"loss": float(step)}, step)
        assert not (outbox.folder / "metrics.jsonl").exists()
        buffer.close()
    kept = (outbox.folder / "metrics.jsonl").read_text().splitlines()
    assert len(kept) == 20_000, "what was logged meanwhile is on disk, none lost and none twice"


def test_what_an_absent_server_missed_is_delivered_when_it_is_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 2 * BATCH + 5
    with (
        monkeypatch.context() as away,
        pytest.warns(UserWarning, match="kept in"),
        stage("simulate", settings) as run,
    ):
        run.json("numbers", {"one": 1})
        away.setattr(run.client, "log_batch", unreachable)
        away.setattr(run.client, "log_artifacts", unreachable)
        for step in range(steps):
            run.metrics.log({"loss": float(step)}, step)
    client = MlflowClient()
    assert not client.get_metric_history(run.run_id, "loss")
    assert deliver_left_over(client, settings.tracking.outbox) == [run.run_id]
    assert client.get_run(run.run_id).info.status == "FINISHED"
    history = client.get_metric_history(run.run_id, "loss")
    assert [metric.value for metric in history] == [float(step) for step in range(steps)]
    assert [item.path for item in client.list_artifacts(run.run_id)] == ["numbers.json"]
    assert not list(settings.tracking.outbox.iterdir())


def test_a_run_that_is_just_ending_is_left_to_its_own_command(settings: Settings) -> None:
    folder = settings.tracking.outbox
    others: list[list[str]] = []

    with stage("simulate", settings) as run:
        run.json("numbers", {"one": 1})
        deliver = run.outbox.deliver

        def met_by_another(client: MlflowClient) -> None:
            others.append(deliver_left_over(client, folder))
            deliver(client)

        run.outbox.deliver = met_by_another
    assert others == [[]]
    client = MlflowClient()
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert [item.path for item in client.list_artifacts(run.run_id)] == ["numbers.json"]
    assert not list(folder.iterdir())


def unreachable(*_: object, **__: object) -> None:
    raise mlflow.MlflowException("Connection refused")
