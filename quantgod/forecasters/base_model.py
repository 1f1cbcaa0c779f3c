"""Train the base model on a labelled table: split, scale, build, fit, and predict validation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from quantgod.contracts import Forecast, Progress, silent
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.samples import Samples
from quantgod.forecasters.network import Network
from quantgod.models import zoo
from quantgod.settings import Settings, SettingsError
from quantgod.training.fitting import fit_network
from quantgod.training.material import material, train_and_validation
from quantgod.training.reports import Fit, OnEpoch, unheard


@dataclass(frozen=True, eq=False)
class TrainedBase:
    """A trained base model and its forecasts of the validation part.

    Attributes:
        network: with the weights of the best epoch.
        fit: how the training went.
        train: the samples it learned from.
        validation: the samples that early stopping used.
        forecast: of the validation part.
    """

    network: Network
    fit: Fit
    train: Samples
    validation: Samples
    forecast: Forecast


def train_base(
    table: pd.DataFrame,
    settings: Settings,
    *,
    blocks: BookBlocks | None = None,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch = unheard,
    progress: Progress = silent,
) -> TrainedBase:
    """Train on the older part of dev and stop early on its newer part; the test part is not used.

    Args:
        table: what `label` returns.
        settings: window, split, model and train are read.
        blocks: of the book, for a network that looks at it; each seen row has a whole one.
        checkpoint: as in `fit`.
        on_epoch: called after each epoch.
        progress: called after batches.

    Raises:
        SettingsError: if the objective has no classes.
        ValueError: if a part would be empty.
    """
    if settings.train.objective == "returns":
        raise SettingsError(
            "train.objective: returns has no classes, which this stage forecasts; it is for "
            "candles: one of classes, direction, multi_task, trend expected"
        )
    window = settings.window.length
    train, validation = train_and_validation(table, window, settings.window.stride, settings.split)
    shape = None if blocks is None else blocks.book
    inputs = zoo.inputs(settings.model.name, window, shape)
    views, scaler, _ = material(table, train, inputs, blocks)
    chosen = settings.train
    model, objective, done = fit_network(
        settings.model, chosen, views, train, validation,
        checkpoint=checkpoint, on_epoch=on_epoch, progress=progress,
    )  # fmt: skip
    seen = max(train.reach_ms.max(), validation.reach_ms.max())
    until = pd.Timestamp(int(seen), unit="ms", tz="UTC").isoformat()
    network = Network(
        model, settings.model.name, settings.model.params, window, scaler,
        objective.class_weights, until, objective.heads, inputs.book if inputs.has_book else None,
        settings.label.target,
    )  # fmt: skip
    said = network.forecast(
        table, validation.row, blocks, batch_size=chosen.batch_size, device=chosen.device
    )
    model.cpu()
    return TrainedBase(network, done, train, validation, said)
