"""What a training loop pays for its metrics while the tracking server hangs, over a step of it.

A step of the demo's network, the smallest that is trained here, is what a call to `log` is beside
in every loop: whatever the server does, a step must not notice. The server takes connections and
never answers, the worst that there is.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

import torch
from mlflow import MlflowClient

from bench.goal import Figure, Log, said
from quantgod.contracts import FEATURES
from quantgod.dataset.inputs import Inputs
from quantgod.models import zoo
from quantgod.settings import load_settings
from quantgod.tracking.outbox import MetricBuffer, Outbox

STEPS = 2_000
MOST_PERCENT_OF_A_STEP = 1.0
METRICS = {"loss": 1.0, "gradient_norm": 1.0, "learning_rate": 1e-3}


def measure(log: Log) -> list[Figure]:
    """Seconds of a call to `log` over seconds of one step of the demo's network."""
    torch.set_num_threads(1)
    log("logging to a server that never answers")
    logging = _logging_seconds()
    log("training the demo's network")
    step = _step_seconds()
    return [
        Figure("logging three metrics, server hanging", logging * 1e6, "us"),
        Figure("a training step of the demo", step * 1e3, "ms"),
        Figure(
            "logging to a server that hangs, over a training step",
            100 * logging / step,
            "%",
            at_most=MOST_PERCENT_OF_A_STEP,
            here=said(logging * 1e6, "us"),
        ),
    ]


def _logging_seconds() -> float:
    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as hung:
        client = MlflowClient(f"http://127.0.0.1:{hung.getsockname()[1]}")
        buffer = MetricBuffer(client, Outbox(Path(folder), "run"), flush_seconds=0.01)
        begun = time.perf_counter()
        for step in range(STEPS):
            buffer.log(METRICS, step)
        seconds = (time.perf_counter() - begun) / STEPS
        buffer.close()
        return seconds


def _step_seconds() -> float:
    settings = load_settings(Path("conf/demo.yaml"))
    model = zoo.build(
        settings.model.name,
        settings.model.params,
        shapes=Inputs(settings.window.length).shapes,
    )
    optimizer = torch.optim.AdamW(model.parameters())
    batch = torch.randn(settings.train.batch_size, settings.window.length, len(FEATURES))
    times = []
    for _ in range(4):
        begun = time.perf_counter()
        optimizer.zero_grad()
        torch.autograd.backward(model(bars=batch)["logits"].sum())
        optimizer.step()
        times.append(time.perf_counter() - begun)
    return min(times)
