"""A training run made to be killed: in a process of its own, each step waits for the parent."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

import torch
from safetensors.torch import save_file

from quantgod.training.loop import fit
from quantgod.training.reports import Step
from tests.training.problems import network, problem, train_settings


def train(folder: Path, parent: Connection | None = None) -> None:
    """Train to the end, from the checkpoint if there is one; leave the weights in `folder`."""

    def on_step(step: Step) -> None:
        if parent is not None:
            parent.send(step)
            parent.recv()

    torch.set_num_threads(1)
    small = problem(4_000, 10, seed=3, signal=0.6)
    model = network(lstm_layers=2, lstm_dropout=0.2)
    fit(
        model,
        small.material.views,
        small.train,
        small.validation,
        train_settings(epochs=4, batch_size=16, checkpoint_batches=3),
        checkpoint=folder / "run.safetensors",
        on_step=on_step,
    )
    save_file(model.state_dict(), folder / "final.safetensors")
