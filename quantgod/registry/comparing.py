"""Compare versions, and the members of ensembles, on the test rows that all were scored on.

What each said is read from the rows that its `evaluate` run has kept, so nothing is asked anew. A
test row of all of them is one that none has learned from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.archive.store import without_books
from quantgod.backtest import backtest, order_moments
from quantgod.backtest.books import Books
from quantgod.backtest.recorded import archive_books, minute_books
from quantgod.contracts import Floats, Integers, Progress, silent
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.evidence import BacktestResult
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.scored_rows import members_in, probabilities_of, read_scored
from quantgod.registry.evidence_runs import MissingEvidenceError, making
from quantgod.registry.lineage import lineage_of
from quantgod.registry.own_settings import own_settings
from quantgod.registry.registered import VersionError, known_version
from quantgod.served.calibration import decide
from quantgod.settings import Settings
from quantgod.tracking.chosen import trials_behind
from quantgod.tracking.keys import artifacts_of
from quantgod.tracking.stage import StageRun

COMPARE_FILE: Final = "compare.json"
TOGETHER: Final = "together"
"""What the members of an ensemble say together, before the auditor."""

_SHARED: Final = ["label_end", "target"]


class OtherRowsError(VersionError):
    """Versions were scored on other minutes, or by other labels of the same ones."""


class Scored(NamedTuple):
    """A version's scored test rows, its settings, and how many models were tried for it."""

    version: ModelVersion
    rows: pd.DataFrame
    settings: Settings
    trials: int


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's signals earn on the common rows; see `BacktestResult`."""

    trades: int
    net_pnl: Interval
    sharpe: Interval
    deflated_sharpe: float


class CompareResult(msgspec.Struct, frozen=True, kw_only=True):
    """Versions and members on the same test rows.

    Attributes:
        first: first of these rows, ISO 8601.
        last: last of them.
        rows: number of them.
        effective_rows: number of independent labels.
        trials: models tried for all versions together, by which Sharpe ratios are deflated.
        models: scores by model: `NAME/VERSION`, and of an ensemble `NAME/VERSION MEMBER`.
        differences: the first model's score minus the other's, paired.
        traded: by model; empty where there are no books.
    """

    first: str
    last: str
    rows: int
    effective_rows: float
    trials: int
    models: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]
    traded: dict[str, Traded]


class Side(NamedTuple):
    """What a model says of the common rows, and what it would act on."""

    output: ModelOutput
    action: Integers


def scored_versions(
    client: MlflowClient, name: str, numbers: Sequence[int], folder: Path
) -> dict[str, Scored]:
    """Return what versions said of their test rows, by `NAME/VERSION`, in the given order.

    Raises:
        NoSuchVersionError: if the registry does not know one.
        MissingEvidenceError: with the command that scores one that was not.
        NoOwnSettingsError: if the settings that one was made with are not known.
    """
    return {f"{name}/{number}": _scored(client, name, number, folder) for number in numbers}


def compare_versions(
    run: StageRun, each: Mapping[str, Scored], progress: Progress = silent
) -> CompareResult:
    """Score all models on the rows that all versions have, and trade them.

    Args:
        run: of the stage; its bars are traded on, by its settings.
        each: the versions, the one that others are compared with first.
        progress: called after models.

    Raises:
        OtherRowsError: if they share no row, or labels of the same minute differ.
    """
    taken = common_rows({name: one.rows for name, one in each.items()})
    rows = next(iter(taken.values()))
    sides = {
        name: side
        for version, one in each.items()
        for name, side in _sides(version, taken[version], one.settings)
    }
    target = rows["target"].to_numpy(np.int64)
    effective = effective_rows(*(_epoch_ms(rows[name]) for name in ("time", "label_end")))
    found = compare(target, {name: one.output for name, one in sides.items()}, effective)
    trials = sum(one.trials for one in each.values())
    traded = _traded(run, rows, {name: one.action for name, one in sides.items()}, trials, progress)
    return CompareResult(
        first=rows["time"].iloc[0].isoformat(),
        last=rows["time"].iloc[-1].isoformat(),
        rows=len(rows),
        effective_rows=effective,
        trials=trials,
        models=found.models,
        differences=found.differences,
        traded=traded,
    )


def common_rows(each: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the rows of the minutes that all have, where every member of an ensemble spoke.

    Raises:
        OtherRowsError: if there is none, or labels of the same minute differ.
    """
    whole = {name: rows[_all_spoke(rows)] for name, rows in each.items()}
    shared = reduce(pd.Index.intersection, (pd.Index(rows["time"]) for rows in whole.values()))
    if not len(shared):
        parts = [
            f"{name} from {rows['time'].min()} to {rows['time'].max()}"
            for name, rows in each.items()
        ]
        raise OtherRowsError(f"a test row of all versions expected, got {'; '.join(parts)}")
    taken = {
        name: rows[rows["time"].isin(shared)].reset_index(drop=True) for name, rows in whole.items()
    }
    (first, theirs), *others = taken.items()
    for name, rows in others:
        if differs := int((rows[_SHARED] != theirs[_SHARED]).any(axis=1).sum()):
            raise OtherRowsError(
                f"{first} and {name} have other labels of {differs} of {len(rows)} minutes: "
                "versions of one target, scored on the same labels, expected"
            )
    return taken


def _scored(client: MlflowClient, name: str, number: int, folder: Path) -> Scored:
    found = known_version(client, name, number)
    runs = lineage_of(found).runs
    if "evaluate" not in runs:
        how = making(found, "evaluate")
        raise MissingEvidenceError(f"{name} {number} was not scored: `{how}` scores it")
    place = folder / str(number)
    place.mkdir()
    rows = read_scored(artifacts_of(runs["evaluate"], "test", place))
    trials = trials_behind(client, runs.get("optimize"), runs.get("members"))
    return Scored(found, rows, own_settings(found), trials)


def _all_spoke(rows: pd.DataFrame) -> pd.Series:
    columns = [f"{name}_weight" for name in members_in(rows)]
    said = [probabilities_of(rows, name) for name in members_in(rows)]
    spoke = np.all([np.isfinite(one).all(axis=1) for one in said], axis=0) if columns else True
    return pd.Series(spoke, index=rows.index)


def _sides(version: str, rows: pd.DataFrame, settings: Settings) -> Iterator[tuple[str, Side]]:
    """Yield a version, and of an ensemble what its members say, together and one by one.

    What nobody has audited acts on each move that it decides.
    """
    said = probabilities_of(rows, "auditor")
    decided, action = (rows[name].to_numpy(np.int64) for name in ("auditor_class", "action"))
    yield version, Side(ModelOutput(said, decided), action)
    weights = settings.audit.decision_weights
    for member in members_in(rows):
        yield f"{version} {member}", _unaudited(probabilities_of(rows, member), weights)
    if members_in(rows):
        yield f"{version} {TOGETHER}", _unaudited(probabilities_of(rows, "base"), weights)


def _unaudited(said: Floats, weights: tuple[float, ...]) -> Side:
    decided = decide(said, weights)
    return Side(ModelOutput(said, decided), decided)


def _traded(
    run: StageRun,
    rows: pd.DataFrame,
    actions: Mapping[str, Integers],
    trials: int,
    progress: Progress,
) -> dict[str, Traded]:
    """Trade each model's actions on the same books; nothing where the bars have none."""
    settings, store = run.settings, run.inputs["bars"].parent
    data, own, horizon = settings.data, settings.backtest, settings.label.horizon_minutes
    if without_books(store, data.symbol):
        return {}
    signals = {name: rows[["time"]].assign(action=action) for name, action in actions.items()}
    books = minute_books(store, data.symbol, rows, horizon)
    moments = [order_moments(one, books, own, horizon) for one in signals.values()]
    met: Books | None = archive_books(
        data.archives, data.symbol, np.unique(np.concatenate(moments)), books, settings.etl,
        market=data.market,
    )  # fmt: skip
    found = {}
    for place, (name, one) in enumerate(signals.items()):
        progress(place, len(signals), name)
        found[name] = _in_short(backtest(one, books, own, horizon, trials, recorded=met).result)
    progress(len(signals), len(signals), "")
    return found


def _in_short(found: BacktestResult) -> Traded:
    return Traded(
        trades=found.trades,
        net_pnl=found.net_pnl,
        sharpe=found.sharpe,
        deflated_sharpe=found.deflated_sharpe,
    )


def _epoch_ms(times: pd.Series) -> Integers:
    milliseconds: Integers = pd.DatetimeIndex(times).as_unit("ms").asi8
    return milliseconds
