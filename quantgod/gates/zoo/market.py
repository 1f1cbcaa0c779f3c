"""Make a simulated market whole, from archives to the views of any network."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from quantgod.archive.etl import run_etl
from quantgod.archive.snapshots import run_snapshots
from quantgod.archive.store import load_bars
from quantgod.contracts import Progress, silent
from quantgod.dataset.book_blocks import open_all_blocks
from quantgod.dataset.book_view import BookView, view_of_table
from quantgod.dataset.feature_file import read_features, write_features
from quantgod.dataset.inputs import BARS, BOOK, Inputs
from quantgod.dataset.labels import label
from quantgod.dataset.learning_table import whole_rows, with_features
from quantgod.dataset.samples import Samples, samples
from quantgod.dataset.splits import split_test, split_validation
from quantgod.dataset.views import View, Views
from quantgod.models import zoo
from quantgod.settings import Settings
from quantgod.simulation.archives import write_archives
from quantgod.training.material import material


class ZooMarket(NamedTuple):
    """What networks learn from a market, and the rows that they are judged on.

    Attributes:
        table: labelled minutes with the nine features and the 112.
        book: the blocks of the same minutes, scaled.
        train: samples to learn from.
        validation: samples for early stopping.
        test: samples to judge by; purged like the others.
    """

    table: pd.DataFrame
    book: BookView
    train: Samples
    validation: Samples
    test: Samples


def make_market(settings: Settings, folder: Path, progress: Progress = silent) -> ZooMarket:
    """Simulate archives and make of them what networks learn from, by the stages of the pipeline.

    Every network gets the same rows: those with a whole window of each view.

    Args:
        settings: of this market.
        folder: an empty work folder; blocks are read from it as long as the market is used.
        progress: called by the stages.

    Raises:
        ValueError: if a stage fails, for example for too few days.
    """
    data, etl, file = settings.data, settings.etl, folder / "features.parquet"
    archives, bars, books = (folder / name for name in ("archives", "bars", "books"))
    series = data.symbol, data.market
    write_archives(archives, data.symbol, settings.simulate, progress)
    run_etl(archives, bars, etl, progress, *series)
    run_snapshots(archives, bars, books, *series, etl, settings.snapshots, progress)
    write_features(bars, data.series, file, etl.max_bridge_minutes, progress)
    labelled = label(load_bars(bars, data.symbol), settings.label, etl.max_bridge_minutes)
    table = whole_rows(with_features(labelled, read_features(file)))
    book = view_of_table(open_all_blocks(books, data.symbol), table)
    return ZooMarket(table, book, *_parts(table, book, settings))


def _parts(
    table: pd.DataFrame, book: BookView, settings: Settings
) -> tuple[Samples, Samples, Samples]:
    split, window = settings.split, settings.window
    taken = samples(table, max(window.length, settings.zoo.features_rows), window.stride)
    taken = taken.take(torch.isfinite(book.scales).all(1).numpy()[taken.row])
    dev = split_test(taken, split)
    inner = split_validation(taken, dev.train, split.validation_fraction, split)
    return taken.take(inner.train), taken.take(inner.other), taken.take(dev.other)


def views_of(network: str, market: ZooMarket, settings: Settings) -> Views:
    """Return what a network sees of a market, scaled by the training rows.

    Raises:
        SettingsError: for an unknown network.
        FeatureQualityError: for features that must not be learned from.
    """
    names = zoo.architecture(network).views
    parts: dict[str, View] = {BOOK: market.book} if BOOK in names else {}
    if of_table := tuple(name for name in names if name != BOOK):
        rows = settings.window.length if BARS in names else settings.zoo.features_rows
        parts |= material(market.table, market.train, Inputs(rows, of_table)).views.parts
    return Views(parts)
