"""Describe all inputs of a training; a checkpoint with another identity is refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import pandas as pd
import torch
from torch import nn

from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.book_view import view_of_table
from quantgod.dataset.samples import Samples, seen_rows
from quantgod.dataset.views import Views
from quantgod.files import tree_digest, value_digest
from quantgod.settings import TrainSettings
from quantgod.training.checkpoints import Identity, array_digest, tensor_digest, weights_digest
from quantgod.training.objectives import Objective

NOT_OF_THE_RUN = {"device", "checkpoint_batches", "out_of_fold", "workers", "scheduler"}
"""Settings that may change between a kill and a resume."""

CODE: Final = ("dataset/*.py", "models/*.py", "training/**/*.py")
"""The source files that determine a network's weights."""


@cache
def code_digest() -> str:
    """Return the digest of the code that trains a network, and of torch's version."""
    package = Path(__file__).parents[1]
    sources = [path for pattern in CODE for path in package.glob(pattern)]
    return value_digest([tree_digest(package, sources), torch.__version__])


def books_digest(blocks: BookBlocks, table: pd.DataFrame) -> str:
    """Return what tells the books of a table's rows, and which of them are seen, from others."""
    scales = view_of_table(blocks, table).scales.numpy()
    return value_digest([list(blocks.book), array_digest(scales), array_digest(seen_rows(table))])


def fit_identity(
    model: nn.Module,
    views: Views,
    train: Samples,
    validation: Samples,
    settings: TrainSettings,
    objective: Objective,
) -> Identity:
    """Return the training's settings by name, and a digest of everything larger.

    `model` must be untrained: the digest of its initial weights stands for their seed.
    """
    return {
        **settings.model_dump(mode="json", exclude=NOT_OF_THE_RUN),
        "objective": repr(objective),
        "network": value_digest(repr(model)),
        "initial weights": weights_digest(model.state_dict()),
        "shapes": value_digest(views.shapes),
        **{name: tensor_digest(view.content) for name, view in views.parts.items()},
        "training samples": _samples_digest(train),
        "validation samples": _samples_digest(validation),
    }


def _samples_digest(samples: Samples) -> str:
    return value_digest([array_digest(samples.row), array_digest(samples.target)])
