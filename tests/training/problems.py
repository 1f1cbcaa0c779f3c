"""Small learning problems on fake bars: cut, scaled, and quick to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from quantgod.dataset.inputs import Inputs
from quantgod.dataset.labels import label
from quantgod.dataset.samples import Samples, samples
from quantgod.dataset.splits import split_test, split_validation
from quantgod.models import zoo
from quantgod.settings import LabelSettings, SplitSettings, TrainSettings
from quantgod.training.material import Material, material
from tests.synthetic import synthetic_bars

WINDOW = 60
LABELS = LabelSettings(horizon_minutes=60, buy_above=0.008, sell_below=-0.004)
SPLIT = SplitSettings(test_fraction=0.2, validation_fraction=0.2, folds=5, embargo_minutes=0)
SMALL = {
    "tcn_channels": 8,
    "lstm_hidden": 8,
    "lstm_layers": 1,
    "lstm_dropout": 0.0,
    "dropout": 0.2,
    "spatial_dropout": 0.1,
}


@dataclass(frozen=True)
class Problem:
    table: pd.DataFrame
    material: Material
    train: Samples
    validation: Samples
    test: Samples


def problem(minutes: int, stride: int, *, seed: int = 0, signal: float = 0.0) -> Problem:
    table = label(synthetic_bars(minutes, seed=seed, signal=signal), LABELS, 5)
    everything = samples(table, WINDOW, stride)
    dev = split_test(everything, SPLIT)
    split = split_validation(everything, dev.train, SPLIT.validation_fraction, SPLIT)
    train = everything.take(split.train)
    return Problem(
        table,
        material(table, train, Inputs(WINDOW)),
        train,
        everything.take(split.other),
        everything.take(dev.other),
    )


def network(seed: int = 0, **params: Any) -> nn.Module:
    return zoo.build("tcn_lstm", {**SMALL, **params}, shapes=Inputs(WINDOW).shapes, seed=seed)


def train_settings(**changes: Any) -> TrainSettings:
    usual = {
        "epochs": 3,
        "batch_size": 64,
        "learning_rate": 0.005,
        "weight_decay": 0.01,
        "gradient_norm": 1.0,
        "class_weights": (2.0, 1.0, 2.0),
        "patience": 3,
        "seed": 17,
        "device": "cpu",
    }
    return TrainSettings.model_validate({**usual, **changes})


def persistence(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """The class of the hour that has just ended: what is known of labels at a window's end."""
    return table["target"].to_numpy(np.int64)[rows - LABELS.horizon_minutes]
