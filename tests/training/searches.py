"""Small searches, also in processes of their own that are made to be killed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from quantgod.dataset.labels import label
from quantgod.settings import Settings, load_settings
from quantgod.training.reports import Epoch, OnEpoch
from quantgod.training.tuning import Search, tune
from tests.synthetic import synthetic_bars
from tests.training.problems import LABELS, SMALL

CONF = Path(__file__).parents[2] / "conf" / "demo.yaml"
SPACE: dict[str, Any] = {
    "tcn_channels": [4, 8],
    "lstm_hidden": [8],
    "lstm_layers": [1],
    "learning_rate": {"low": 0.001, "high": 0.02, "log": True},
    "batch_size": [32],
    "window_length": [20, 30],
}


def settings(**optimize: Any) -> Settings:
    wanted = {"trials": 4, "epochs": 2, "stride": 40, "space": SPACE, **optimize}
    overrides = {
        "model.params": SMALL,
        "train.learning_rate": 0.01,
        "train.batch_size": 32,
        "train.device": "cpu",
        "window.length": 20,
        **{f"optimize.{name}": value for name, value in wanted.items()},
    }
    return load_settings(CONF, overrides)


@cache
def table() -> pd.DataFrame:
    return label(synthetic_bars(4_000, seed=3, signal=0.6), LABELS, 5)


class Watcher:
    """Remembers what it is told of every trial, and how each ended."""

    def __init__(self) -> None:
        self.params: dict[int, Mapping[str, Any]] = {}
        self.epochs: dict[int, list[Epoch]] = {}
        self.ends: dict[int, BaseException | None] = {}

    @contextmanager
    def __call__(self, number: int, params: Mapping[str, Any]) -> Iterator[OnEpoch]:
        self.params[number], self.epochs[number], self.ends[number] = params, [], None
        try:
            yield lambda epoch: self.hear(number, epoch)
        except BaseException as error:
            self.ends[number] = error
            raise

    def hear(self, number: int, epoch: Epoch) -> None:
        self.epochs[number].append(epoch)


def search(folder: Path, parent: Connection | None = None, **optimize: Any) -> Search:
    """Search; with a parent, tell it of every epoch and wait for its leave to go on."""
    torch.set_num_threads(1)

    class Obedient(Watcher):
        def hear(self, number: int, epoch: Epoch) -> None:
            if parent is not None:
                parent.send((number, epoch.epoch))
                parent.recv()

    return tune(table(), settings(**optimize), folder, on_trial=Obedient(), heartbeat_seconds=1)
