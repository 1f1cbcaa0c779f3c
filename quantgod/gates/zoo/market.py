"""Make a simulated market whole, from archives to the views of any network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import torch

from quantgod.archive.etl import run_etl
from quantgod.archive.snapshots import run_snapshots
from quantgod.archive.store import load_bars
from quantgod.contracts import FEATURES, Booleans, Floats, Progress, silent
from quantgod.dataset.book_view import BookView, book_view, open_all_blocks
from quantgod.dataset.feature_file import read_features, write_features
from quantgod.dataset.labels import label
from quantgod.dataset.scaling import fit_scaler
from quantgod.dataset.splits import split_test, split_validation
from quantgod.dataset.views import View, Views
from quantgod.dataset.windows import (
    VOLATILITY_ROWS,
    Newest,
    Samples,
    Windows,
    covered_rows,
    samples,
)
from quantgod.models import zoo
from quantgod.served.rolling import deviation
from quantgod.settings import Settings
from quantgod.simulation.archives import write_archives


class ZooMarket(NamedTuple):
    """What networks learn from a market, and the rows that they are judged on.

    Attributes:
        table: labelled minutes.
        features: (rows, 112) of the same minutes; NaN where there is too little past.
        book: the blocks of the same minutes, scaled.
        train: samples to learn from.
        validation: samples for early stopping.
        test: samples to judge by; purged like the others.
    """

    table: pd.DataFrame
    features: Floats
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
    data, bridge = settings.data, settings.etl.max_bridge_minutes
    archives, bars, books = (folder / name for name in ("archives", "bars", "books"))
    write_archives(archives, data.symbol, settings.simulate, progress)
    run_etl(archives, bars, settings.etl, progress, data.symbol, data.market)
    run_snapshots(
        archives, bars, books, data.symbol, data.market, settings.etl, settings.snapshots, progress
    )
    write_features(bars, data.series, folder / "features.parquet", bridge, progress)
    table = label(load_bars(bars, data.symbol), settings.label, bridge)
    features = read_features(folder / "features.parquet").to_numpy(np.float64)
    returns = table["log_ret_close"].to_numpy(np.float64)
    blocks, index = open_all_blocks(books, data.symbol), pd.DatetimeIndex(table.index)
    book = book_view(blocks, index, deviation(returns, VOLATILITY_ROWS))
    taken = samples(table, settings.window.length, settings.window.stride)
    seen = _whole(features, settings.zoo.features_rows) & torch.isfinite(book.scales).all(1).numpy()
    taken = taken.take(seen[taken.row])
    dev = split_test(taken, settings.split)
    inner = split_validation(taken, dev.train, settings.split.validation_fraction, settings.split)
    parts = (taken.take(part) for part in (inner.train, inner.other, dev.other))
    return ZooMarket(table, features, book, *parts)


def views_of(network: str, market: ZooMarket, settings: Settings) -> Views:
    """Return what a network sees of a market, scaled by the training rows.

    Raises:
        SettingsError: for an unknown network.
    """
    views = zoo.architecture(network).views
    return Views({view: _MAKERS[view](market, settings) for view in views})


def _bars(market: ZooMarket, settings: Settings) -> View:
    values, rows = market.table[list(FEATURES)].to_numpy(np.float64), settings.window.length
    return Windows(_scaled(values, market.train, rows), rows)


def _features(market: ZooMarket, settings: Settings) -> View:
    rows = settings.zoo.features_rows
    return Windows(_scaled(market.features, market.train, rows), rows)


def _aux(market: ZooMarket, _settings: Settings) -> View:
    return Newest(_scaled(market.features, market.train, 1))


def _book(market: ZooMarket, _settings: Settings) -> View:
    return market.book


_MAKERS: Final[Mapping[str, Callable[[ZooMarket, Settings], View]]] = {
    "bars": _bars,
    "features": _features,
    "aux": _aux,
    "book": _book,
}


def _scaled(values: Floats, train: Samples, rows: int) -> torch.Tensor:
    scaler = fit_scaler(values[covered_rows(train.row, rows)])
    return torch.from_numpy(scaler.transform(values).astype(np.float32))


def _whole(values: Floats, rows: int) -> Booleans:
    """Return which rows end a window of so many rows that are all finite."""
    bad = np.concatenate([[0], np.cumsum(~np.isfinite(values).all(axis=1))])
    at = np.arange(1, len(bad))
    found: Booleans = (bad[at] == bad[np.maximum(at - rows, 0)]) & (at >= rows)
    return found
