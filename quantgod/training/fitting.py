"""Build a network for what it will see and be asked, and train it: the one way to do so."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import nn

from quantgod.contracts import Progress, silent
from quantgod.dataset.samples import Samples
from quantgod.dataset.views import Views
from quantgod.models import zoo
from quantgod.settings import ModelSettings, TrainSettings
from quantgod.training.loop import fit
from quantgod.training.objectives import Objective, objective_of
from quantgod.training.reports import Fit, OnEpoch, unheard


class FittedNetwork(NamedTuple):
    """A network with the weights of its best epoch, what it was asked, and how training went."""

    model: nn.Module
    objective: Objective
    fit: Fit


def fit_network(
    model: ModelSettings,
    settings: TrainSettings,
    views: Views,
    train: Samples,
    validation: Samples,
    *,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch = unheard,
    progress: Progress = silent,
) -> FittedNetwork:
    """Build the network with the heads that the objective reads, and `fit` it.

    Training, every fold and every trial of a search come here, so that they differ in their samples
    and settings alone.

    Raises:
        SettingsError: for parameters that the architecture does not have.
        ValueError, NonFiniteLossError, CheckpointError: as `fit`.
    """
    objective = objective_of(settings, train.horizons)
    network = zoo.build(
        model.name, model.params, shapes=views.shapes, heads=objective.heads, seed=settings.seed
    )
    done = fit(
        network, views, train, validation, settings, objective=objective,
        checkpoint=checkpoint, on_epoch=on_epoch, progress=progress,
    )  # fmt: skip
    return FittedNetwork(network, objective, done)
