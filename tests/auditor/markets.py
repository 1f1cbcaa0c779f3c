"""Small markets, and recipes whose folds train in a fraction of a second."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from quantgod.auditor.out_of_fold import FoldMaterial, Recipe, out_of_fold
from quantgod.auditor.reports import Hooks
from quantgod.contracts import META_FEATURES
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.labels import label
from quantgod.dataset.learning_table import LearnedFrom
from quantgod.dataset.samples import Samples, samples
from quantgod.dataset.splits import Split, split_test
from quantgod.settings import ModelSettings, Settings, load_settings
from tests.synthetic import synthetic_bars

WINDOW = 60
CONFIG = Path(__file__).parents[2] / "conf" / "full.yaml"


@dataclass(frozen=True)
class Market:
    table: pd.DataFrame
    samples: Samples
    split: Split

    def material(self, how: Recipe, blocks: BookBlocks | None = None) -> FoldMaterial:
        """What folds of its dev are made of."""
        return FoldMaterial(LearnedFrom(self.table, blocks), self.samples, self.split, how)


def settings() -> Settings:
    return load_settings(CONFIG)


def market(minutes: int, stride: int, *, seed: int = 0, signal: float = 0.0) -> Market:
    given = settings()
    table = label(
        synthetic_bars(minutes, seed=seed, signal=signal), given.label, given.etl.max_bridge_minutes
    )
    found = samples(table, WINDOW, stride)
    return Market(table, found, split_test(found, given.split))


def recipe(**audit: Any) -> Recipe:
    given = settings()
    params = {"tcn_channels": 4, "lstm_hidden": 8, "lstm_layers": 1, "dropout": 0.0}
    training = {"learning_rate": 0.01, "batch_size": 64, "every": 1, "device": "cpu"}
    audited = {"epochs": 3, "stopping_fraction": 0.2, **audit}
    return Recipe(
        model=ModelSettings(name="tcn_lstm", params={**params, "spatial_dropout": 0.0}),
        train=given.train.model_copy(update=training),
        audit=given.audit.model_copy(update=audited),
        split=given.split.model_copy(update={"folds": 3}),
        window=WINDOW,
    )


def killed_in_the_second_fold(work: Path) -> None:
    """Start an audit and end it by SIGKILL while the second fold trains."""
    torch.set_num_threads(1)
    small = market(3_000, 10, signal=0.7)

    def on_epoch(fold: int, epoch: object) -> None:
        if fold == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    out_of_fold(small.material(recipe()), work, Hooks(on_epoch=on_epoch))


def oof_frame(rows: int = 900, *, seed: int = 0, informed: bool = True) -> pd.DataFrame:
    """An out-of-fold frame as three honest folds would leave it, one row every ten minutes."""
    rng = np.random.default_rng(seed)
    target = rng.choice(3, rows, p=[0.2, 0.6, 0.2])
    meta = rng.normal(size=(rows, len(META_FEATURES)))
    if informed:
        meta[:, 0] -= 1.5 * (target - 1)
    time = pd.date_range("2024-01-01", periods=rows, freq="10min", tz="UTC")
    frame = pd.DataFrame(meta, columns=list(META_FEATURES)).assign(
        target=target,
        time=time,
        label_end=time + pd.Timedelta(minutes=60),
        fold=1 + np.arange(rows) * 3 // rows,
        weight=1 / 6,
    )
    first = frame.groupby("fold")["time"].transform("min")
    return frame.assign(trained_until=first - pd.Timedelta(minutes=10))
