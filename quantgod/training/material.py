"""Prepare what a network learns from: the table's features, scaled by the training rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.book_view import BookView, view_of_table
from quantgod.dataset.enough import enough_rows
from quantgod.dataset.inputs import BOOK, Inputs
from quantgod.dataset.quality import check_books, check_quality
from quantgod.dataset.samples import Samples, covered_rows, samples
from quantgod.dataset.scaling import Scaler, fit_scaler
from quantgod.dataset.splits import split_dev
from quantgod.dataset.views import Views
from quantgod.settings import SplitSettings


class Material(NamedTuple):
    """Views of what a network sees, scaled, and the scaler, fitted on the training windows only.

    Attributes:
        views: by name.
        scaler: of the table's columns.
        book: the view of the book, if it is one of them.
    """

    views: Views
    scaler: Scaler
    book: BookView | None = None


def material(
    table: pd.DataFrame, train: Samples, inputs: Inputs, blocks: BookBlocks | None = None
) -> Material:
    """Fit the scaler on the rows of the training windows, and scale the whole table with it.

    The features are checked first: what is learned from must be whole, and must not know the label.

    Args:
        table: with the columns of `inputs`.
        train: the training side of a split.
        inputs: of the network.
        blocks: of the book, for a network that looks at it.

    Raises:
        FeatureQualityError: naming the features, or minutes, that must not be learned from.
        ValueError: if the network looks at the book and there are no blocks, or of another shape.
    """
    rows, named = covered_rows(train.row, inputs.window), table.loc[:, list(inputs.columns)]
    check_quality(named, rows, train)
    features = named.to_numpy(np.float64)
    scaler = fit_scaler(features[rows])
    views = views_of(table, scaler, inputs, blocks)
    book = views.parts.get(BOOK)
    if isinstance(book, BookView):
        check_books(book, train)
        return Material(views, scaler, book)
    return Material(views, scaler)


def views_of(
    table: pd.DataFrame, scaler: Scaler, inputs: Inputs, blocks: BookBlocks | None = None
) -> Views:
    """Return what a network sees of a table's rows, scaled.

    Raises:
        ValueError: if the network looks at the book and there are no blocks, or of another shape.
    """
    features = table.loc[:, list(inputs.columns)].to_numpy(np.float64)
    # Scaled in float64, seen in float32, as in `MetaFeatures`.
    matrix = scaler.transform(features).astype(np.float32)
    book = view_of_table(blocks, table) if inputs.has_book and blocks is not None else None
    return inputs.over(torch.from_numpy(matrix), book)


def train_and_validation(
    table: pd.DataFrame, window: int, stride: int, settings: SplitSettings
) -> tuple[Samples, Samples]:
    """Return the train and validation parts of dev, purged; the test part is in neither.

    Raises:
        TooFewRowsError: if a part would be empty.
    """
    taken = samples(table, window, stride)
    with enough_rows(table, window, stride, settings):
        split = split_dev(taken, settings)
    return taken.take(split.train), taken.take(split.other)
