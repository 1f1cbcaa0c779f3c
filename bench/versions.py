"""Networks and ensembles that are asked as in a session: of random weights, registered as any are.

What an answer takes does not depend on what the weights are. The market is drawn; its books are as
deep as stored ones, and each close has the snapshots that networks of the book look at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient

from bench.live_minute import drawn
from quantgod.archive.snapshot_store import (
    DaySnapshots,
    SnapshotMetadata,
    snapshot_path,
    write_snapshots,
)
from quantgod.contracts import (
    ALL_FEATURES,
    BOOK_LEVELS,
    BookShape,
    Floats,
)
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.dataset.feature_table import SourceRows
from quantgod.dataset.scaling import fit_scaler
from quantgod.ensemble.ensemble import Ensemble
from quantgod.ensemble.fitting import new_combiner
from quantgod.forecasters.network import Network
from quantgod.live.engine.feature_rows import FeatureRows
from quantgod.live.engine.window import Window
from quantgod.market.book_bars import ClosedMinute
from quantgod.market.minute_bars import MinuteBar
from quantgod.models import zoo
from quantgod.models.heads import ONE_DIRECTION
from quantgod.registry.lineage import Lineage
from quantgod.registry.own_settings import SETTINGS_FILE, keep_settings
from quantgod.registry.package import GoldenRows, Package, build_package
from quantgod.registry.reference import reference_of
from quantgod.registry.versions import register
from quantgod.served.combiners.outcome import Outcome
from quantgod.served.features import sets
from quantgod.settings import Settings, load_settings, members_of
from tests.registry.conftest import CLASS_WEIGHTS, out_of_fold_rows, tiny_auditor
from tests.registry.shelves import ALIAS, NAME, SERIES

GOLDEN = 783
DOCUMENTS: Mapping[str, Any] = {
    "members": {
        "tcn_lstm": {},
        "mpd_transformer": {
            "window": {"length": 60}, "model": {"name": "mpd_transformer", "params": {}},
        },
        "tlob": {"window": {"length": 60}, "model": {"name": "tlob", "params": {}}},
    },
    "ensemble": {"strategy": "hedge"},
}  # fmt: skip
"""An ensemble of three networks of the documents' sizes: of bars, of features, and of the book."""


class Market:
    """A drawn market of so many minutes, all of which have the 112 features."""

    def __init__(self, minutes: int, shape: BookShape) -> None:
        self._shape = shape
        self.past, self.minutes = sets.REACH, minutes
        self.rows: SourceRows = drawn(self.past + minutes)

    @cached_property
    def table(self) -> pd.DataFrame:
        """All 121 features of the minutes after the past."""
        made = FeatureRows(5).past(self.rows.minutes, self.rows)[self.past :]
        nine = self.rows.features[self.past :]
        times = pd.to_datetime(self.rows.minutes[self.past :] * 60, unit="s", utc=True)
        index = pd.DatetimeIndex(times, name="datetime").as_unit("us")
        return pd.DataFrame(np.hstack([nine, made]), index, [*ALL_FEATURES])

    def books(self, at: int) -> Floats:
        """The snapshots before the close of a minute, (snapshots, 2, levels, 2)."""
        levels = self.rows.book[self.past + at].reshape(2, BOOK_LEVELS, 2)
        books = np.repeat(levels[None, :, : self._shape.levels], self._shape.snapshots, axis=0)
        books[..., 1] *= np.random.default_rng(at).uniform(0.5, 2.0, books.shape[:-1])
        return books

    def closed(self, at: int) -> ClosedMinute:
        """A minute as a session closes it."""
        row = self.rows.at(np.array([self.past + at]))
        bids, asks = row.book.reshape(2, BOOK_LEVELS, 2)
        bar = MinuteBar(
            int(row.minutes[0]), "", row.features[0], float(row.close[0]), row.seconds[0]
        )
        sides = ([(price, size) for price, size in side.tolist()] for side in (bids, asks))
        return ClosedMinute(bar, next(sides), next(sides), self.books(at))

    def window(self, bridge: int, known: int) -> Window:
        """A window that knows all minutes before `known`."""
        window, past = Window(bridge), np.arange(self.past + known)
        rows = self.rows.at(past)
        window.fill(MinuteRows(rows.minutes, rows.features), rows)
        return window

    def store_books(self, folder: Path, known: int) -> Path:
        """Write the snapshots of the minutes before `known`, as `snapshots` does."""
        minutes = self.rows.minutes[self.past : self.past + known]
        times = pd.DatetimeIndex(self.table.index[:known])
        for date in sorted(set(times.date)):
            at = np.flatnonzero(times.date == date)
            books = np.stack([self.books(one) for one in at.tolist()])
            day = DaySnapshots(minutes[at], books, np.ones(books.shape[:2], np.bool_))
            path = snapshot_path(folder, SERIES.symbol, date)
            kept = date.isoformat(), f"{date.day % 10}" * 64, self._shape.levels
            shape = self._shape.interval_ms, self._shape.snapshots
            metadata = SnapshotMetadata(SERIES.market, SERIES.symbol, *kept, *shape)
            write_snapshots(path, day, metadata, "snappy")
        return folder / SERIES.symbol


@dataclass(frozen=True)
class Subject:
    """A network, or an ensemble of all members of the settings.

    Attributes:
        config: file of the settings.
        changes: over it.
    """

    config: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """What a session that follows the alias takes over the settings of the file."""
        own = {"registry.name": NAME, "registry.alias": ALIAS, "live.unjudged": "warn"}
        return {"live.poll_seconds": 0.1, **self.changes, **own}

    @cached_property
    def settings(self) -> Settings:
        """Its settings in such a session."""
        return load_settings(Path(self.config), self.values)

    def packed(self, folder: Path, market: Market) -> Package:
        """Make its package of random weights."""
        settings, table = self.settings, market.table.iloc[:GOLDEN]
        made = {name: _network(own, table) for name, own in members_of(settings).items()}
        base: Network | Ensemble = _network(settings, table)
        if settings.ensemble is not None:
            label = settings.label
            outcome = Outcome(label.horizon_minutes, label.buy_above, label.sell_below)
            combiner = new_combiner(settings.ensemble, [*made], CLASS_WEIGHTS, outcome, 1)
            base = Ensemble(made, combiner)
        snapshots = None if base.book is None else market.store_books(folder / "books", GOLDEN)
        golden = GoldenRows(table, GOLDEN, settings.etl.max_bridge_minutes, snapshots)
        auditor = tiny_auditor()
        auditor.save(folder / "auditor")
        of_fold = out_of_fold_rows(pd.DatetimeIndex(table.index[100:]))
        reference = reference_of(table, base.scaler, auditor, of_fold, base.inputs.columns)
        parts = base, folder / "auditor", golden, reference, SERIES
        return build_package(folder / "package", *parts)


def register_versions(folder: Path, package: Package, count: int, own: Settings) -> None:
    """Register a package so many times in a store in `folder`; the first version gets the alias."""
    settings = keep_settings(folder / SETTINGS_FILE, own)
    uri = f"sqlite:///{folder}/mlflow.db"
    os.environ |= {"MLFLOW_TRACKING_URI": uri, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    mlflow.set_tracking_uri(uri)
    artifacts = str(folder / "artifacts")
    experiment = MlflowClient().create_experiment(NAME, artifact_location=artifacts)
    for _ in range(count):
        with mlflow.start_run(experiment_id=experiment) as run:
            mlflow.log_artifact(str(folder / SETTINGS_FILE))
            lineage = Lineage(runs={"register": run.info.run_id}, settings=settings)
            register(package, NAME, lineage.tags())
    point_at(1)


def point_at(number: int) -> None:
    """Move the alias."""
    MlflowClient().set_registered_model_alias(NAME, ALIAS, str(number))


def _network(own: Settings, table: pd.DataFrame) -> Network:
    name, params, shape = own.model.name, own.model.params, own.snapshots.shape
    inputs = zoo.inputs(name, own.window.length, (shape.snapshots, shape.levels))
    model = zoo.build(name, params, shapes=inputs.shapes, heads=ONE_DIRECTION, seed=5)
    scaler = fit_scaler(table[[*inputs.columns]].to_numpy())
    until = table.index[-1].isoformat()
    known = name, params, inputs.window, scaler, CLASS_WEIGHTS, until
    return Network(model.eval(), *known, book=inputs.book if inputs.has_book else None)
