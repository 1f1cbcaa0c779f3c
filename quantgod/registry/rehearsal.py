"""Rehearse a market from end to end in one process: archives in, judged gates out.

All stages are the real ones, without MLflow's runs and the registry. The packed chain is scored and
timed, as it would be served.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.archive.etl import run_etl
from quantgod.archive.snapshots import run_snapshots
from quantgod.archive.store import load_bars
from quantgod.auditor.audit import AuditResult
from quantgod.auditor.ensemble_learner import EnsembleLearner
from quantgod.auditor.learner import Learner
from quantgod.auditor.reports import Hooks
from quantgod.backtest import Backtest, Books, backtest, books_of
from quantgod.contracts import Progress, silent
from quantgod.dataset.book_blocks import BookBlocks, open_all_blocks
from quantgod.dataset.feature_file import read_features, write_features
from quantgod.dataset.labels import label
from quantgod.dataset.learning_table import LearnedFrom, with_blocks, with_features
from quantgod.ensemble.ensemble import Ensemble
from quantgod.ensemble.fitting import OutOfFoldVotes
from quantgod.ensemble.spoilt import losses_with_a_spoilt_member
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.evaluation import Evaluation
from quantgod.evaluation.evidence import EnsembleResult, LeakAuditResult
from quantgod.evaluation.scored_rows import columns_of
from quantgod.forecasters.network import Network
from quantgod.gates import judge_gates
from quantgod.gates.power import LOSS_OF, SPOILT, Market, Rehearsal
from quantgod.leakage import RawDays, audit_leaks, newest_sources
from quantgod.registry.chain import Chain
from quantgod.registry.chain_subject import ChainSubject
from quantgod.registry.package import GoldenRows, build_package
from quantgod.registry.reference import reference_of
from quantgod.served.combiners.votes import Votes
from quantgod.settings import Settings, members_of, without_disabled
from quantgod.simulation.archives import write_archives
from quantgod.tracking.reads import beside_labels

BOOK_LEVELS: Final = 20
"""Book levels per side in the backtest, to limit memory with several markets in parallel."""

ROWS_FILE: Final = "rows.parquet"
NO_SEARCH: Final = 1
"""Number of tried models: there is no search."""


def rehearse(
    market: Market, settings: Settings, folder: Path, progress: Progress = silent
) -> Rehearsal:
    """Simulate a market, learn from it, and judge the model by the gates.

    Args:
        market: its seed and signal replace those of `settings`.
        settings: of the experiment, the same for every market.
        folder: an empty work folder.
        progress: called for each stage.

    Raises:
        ValueError: if a stage fails, for example for too few days.
    """
    began = time.perf_counter()
    own = without_disabled(market.settings(settings))
    stages = _Stages(own, folder, progress)
    bars = stages.bars()
    minutes = stages.minutes(bars)
    asked, learned = minutes.seen_by(own), stages.learned(minutes)
    evaluated = stages.evaluated(market.name, stages.chain(asked, learned), learned, asked)
    backtested = stages.backtested(evaluated)
    leaks = stages.leak_audit(bars, asked.blocks) if own.gates.leak_audit else None
    gates = judge_gates(evaluated.result, backtested.result, leaks, own.gates)
    return Rehearsal(
        kind=market.kind,
        seed=market.seed,
        cell=market.cell,
        gates=gates,
        figures=_figures(evaluated, backtested) | _of_members(evaluated, own),
        seconds=round(time.perf_counter() - began, 1),
    )


class _Learned(NamedTuple):
    """A network or an ensemble, and its audit."""

    base: Network | Ensemble
    audit: AuditResult


class _Minutes(NamedTuple):
    """Labelled minutes, and their features and blocks of the book where a network looks at them."""

    labelled: pd.DataFrame
    features: pd.DataFrame | None
    blocks: BookBlocks | None

    def seen_by(self, settings: Settings) -> LearnedFrom:
        """Return what these settings' network learns from, or what all members look at."""
        beside, table, blocks = beside_labels(settings), self.labelled, None
        if "features" in beside and self.features is not None:
            table = with_features(table, self.features)
        if "snapshots" in beside and self.blocks is not None:
            table, blocks = with_blocks(table, self.blocks), self.blocks
        return LearnedFrom(table, blocks)


class _Stages:
    """The stages of one market, each in its own subfolder."""

    def __init__(self, settings: Settings, folder: Path, progress: Progress) -> None:
        self._settings = settings
        self._symbol, self._market = settings.data.symbol, settings.data.market
        self._archives, self._bars = folder / "archives", folder / "bars"
        self._snapshots = folder / "snapshots" / self._symbol
        self._folder = folder
        self._progress = progress

    def bars(self) -> pd.DataFrame:
        settings, symbol = self._settings, self._symbol
        write_archives(self._archives, symbol, settings.simulate, progress=self._progress)
        run_etl(self._archives, self._bars, settings.etl, self._progress, symbol, self._market)
        return load_bars(self._bars, symbol)

    def minutes(self, bars: pd.DataFrame) -> _Minutes:
        settings, path = self._settings, self._folder / "features.parquet"
        bridge, beside = settings.etl.max_bridge_minutes, beside_labels(settings)
        labelled = label(bars, settings.label, bridge)
        features = blocks = None
        if "features" in beside:
            write_features(self._bars, settings.data.series, path, bridge, self._progress)
            features = read_features(path)
        if "snapshots" in beside:
            run_snapshots(
                self._archives, self._bars, self._snapshots.parent, self._symbol, self._market,
                settings.etl, settings.snapshots, self._progress,
            )  # fmt: skip
            blocks = open_all_blocks(self._snapshots.parent, self._symbol)
        return _Minutes(labelled, features, blocks)

    def learned(self, minutes: _Minutes) -> _Learned:
        learned = self._learn(minutes)
        learned.audit.rows.to_parquet(self._folder / ROWS_FILE)
        return learned

    def _learn(self, minutes: _Minutes) -> _Learned:
        settings, hooks = self._settings, Hooks(progress=self._progress)
        if settings.ensemble is None:
            one = Learner(minutes.seen_by(settings), settings, self._folder, hooks).learn()
            return _Learned(one.base.network, one.audit)
        learners = {
            name: Learner(minutes.seen_by(own), own, self._folder / name, hooks)
            for name, own in members_of(settings).items()
        }
        audited = EnsembleLearner(settings, learners).learn().audit
        return _Learned(audited.ensemble, audited.audit)

    def chain(self, made_of: LearnedFrom, learned: _Learned) -> Chain:
        settings, auditor, (base, audited) = self._settings, self._folder / "auditor", learned
        auditor.mkdir()
        audited.auditor.save(auditor)
        bridge = settings.etl.max_bridge_minutes
        snapshots = None if made_of.blocks is None else self._snapshots
        golden = GoldenRows(made_of.table, settings.registry.golden_rows, bridge, snapshots)
        reference = reference_of(
            made_of.table, base.scaler, audited.auditor, audited.rows, base.inputs.columns
        )
        package = self._folder / "package"
        series = settings.data.series
        build_package(package, base, auditor, golden, reference, series)
        return Chain(package)

    def evaluated(
        self, name: str, chain: Chain, learned: _Learned, made_of: LearnedFrom
    ) -> Evaluation:
        return evaluate(
            ChainSubject(name, chain), made_of.table, learned.audit.rows, self._settings,
            self._progress, made_of.blocks,
        )  # fmt: skip

    def backtested(self, evaluated: Evaluation) -> Backtest:
        settings = self._settings
        return backtest(
            evaluated.rows,
            self._books(evaluated.rows["time"].iloc[0]),
            settings.backtest,
            settings.label.horizon_minutes,
            NO_SEARCH,
            self._progress,
        )

    def leak_audit(self, bars: pd.DataFrame, blocks: BookBlocks | None) -> LeakAuditResult:
        settings, rules = self._settings, None if blocks is None else blocks.rules
        return audit_leaks(
            bars,
            settings,
            sources=newest_sources(self._bars, self._symbol, bars, settings),
            blocks=blocks,
            raw=RawDays(self._archives, self._market, self._symbol, settings.etl, rules),
            rows=self._folder / ROWS_FILE,
            progress=self._progress,
        )

    def _books(self, first: pd.Timestamp) -> Books:
        columns = [
            f"{side}_{level}_{what}"
            for side in ("bid", "ask")
            for level in range(BOOK_LEVELS)
            for what in "ps"
        ]
        bars = load_bars(self._bars, self._symbol, columns)
        return books_of(bars[bars.index >= first])


def _figures(evaluated: Evaluation, backtested: Backtest) -> dict[str, float]:
    auditor, money = evaluated.result.models["auditor"], backtested.result
    return {
        "macro_f1": auditor["macro_f1"].value,
        "log_loss": auditor["log_loss"].value,
        "accuracy": auditor["accuracy"].value,
        "ece": auditor["ece"].value,
        "coverage": evaluated.result.coverage.found.value,
        "effective_rows": evaluated.result.effective_rows,
        "trades": float(money.trades),
        "net_pnl": money.net_pnl.value,
    }


def _of_members(evaluated: Evaluation, settings: Settings) -> dict[str, float]:
    """Return log-losses of an ensemble, of each member and of equal weights, and of spoilt ones."""
    found, rows = evaluated.result.ensemble, evaluated.rows
    if found is None:
        return {}
    losses = {name: scores["log_loss"].value for name, scores in found.models.items()}
    spoilt = losses_with_a_spoilt_member(list(found.members), _votes(rows, found), settings)
    return {f"{LOSS_OF}{name}": loss for name, loss in losses.items()} | {
        f"{SPOILT}{name}": loss for name, loss in spoilt.items()
    }


def _votes(rows: pd.DataFrame, found: EnsembleResult) -> OutOfFoldVotes:
    """Return what members said of the scored rows of which each has said something."""
    said = np.stack([rows[columns_of(name)].to_numpy(np.float64) for name in found.members])
    whole = np.isfinite(said).all(axis=(0, 2))
    said, kept = said[:, whole], rows[whole]
    present = np.ones(said.shape[:2], np.bool_)
    votes = Votes(said, said.max(axis=-1), np.full(present.shape, np.nan), present)
    time_ms, end_ms = (
        pd.DatetimeIndex(kept[name]).as_unit("ms").asi8 for name in ("time", "label_end")
    )
    ones = np.ones(len(kept))
    target = kept["target"].to_numpy(np.int64)
    return OutOfFoldVotes(votes, time_ms, end_ms, target, ones, ones.astype(np.int64))
