"""Score networks on the validation part, beside the baselines, and compare members there.

Early stopping and searches choose by this part, so its scores are a little better than they are on
the test part, which nothing here reads.

One row per validation sample, in order of time. Columns:

- `time`: the window's last minute (its start, UTC).
- `label_end`, `target`: of the label.
- `MODEL_sell`, `MODEL_neutral`, `MODEL_buy`, `MODEL_class`: probabilities and decided class of
  `base`, the network with its class weights undone, and of each baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any, Final, NamedTuple

import pandas as pd

from quantgod.contracts import PRIMARY
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.metrics import scores_of, tally_decided
from quantgod.evaluation.scored_rows import BASELINES, columns_of, probabilities_of
from quantgod.forecasters.base_model import TrainedBase
from quantgod.forecasters.baselines import LEARNED, baselines
from quantgod.served.calibration import decide
from quantgod.settings import LabelSettings

BASE: Final = "base"


class NoCommonRowError(ValueError):
    """Members have no validation minute in common."""


class ComparedMembers(NamedTuple):
    """Members and baselines on the minutes that all of them forecast.

    Attributes:
        rows: number of those minutes.
        effective_rows: number of independent labels that they are worth.
        models: scores with intervals; members in the given order, then baselines.
        members: their names.
        taught: the member whose training rows the baselines learned from.
    """

    rows: int
    effective_rows: float
    models: dict[str, dict[str, Interval]]
    members: tuple[str, ...]
    taught: str


def validation_rows(
    table: pd.DataFrame, trained: TrainedBase, settings: LabelSettings
) -> pd.DataFrame:
    """Return what a network and the baselines say of the network's validation part.

    All of them learned from the same rows. Those with learned probabilities decide by probability
    times the network's class weight, as `evaluate` has them do.

    Args:
        table: the labelled table that it was trained on.
        trained: the network.
        settings: those that made the labels.
    """
    part, weights = trained.validation, trained.network.class_weights
    said = {BASE: trained.forecast, **baselines(table, trained.train, part, settings)}
    columns: dict[str, Any] = {
        "time": pd.to_datetime(part.time_ms, unit="ms", utc=True),
        "label_end": pd.to_datetime(part.label_end_ms, unit="ms", utc=True),
        "target": part.target,
    }
    for name, forecast in said.items():
        given = forecast.probabilities[:, PRIMARY]
        columns |= dict(zip(columns_of(name), given.T, strict=True))
        weighs = name == BASE or name in LEARNED
        columns[f"{name}_class"] = decide(given, weights if weighs else None)
    return pd.DataFrame(columns)


def validation_scores(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the scores of `base` and of each baseline, as `classification_report` names them."""
    return {name: _scores(rows, name) for name in (BASE, *BASELINES)}


def compare_members(members: Mapping[str, pd.DataFrame]) -> ComparedMembers:
    """Score members on the minutes that all of them forecast, beside the baselines.

    The baselines are those of the member with most rows.

    Args:
        members: result of `validation_rows` by member.

    Raises:
        NoCommonRowError: if there is no such minute.
    """
    common = reduce(pd.Index.intersection, (_times(rows) for rows in members.values()))
    if not len(common):
        raise NoCommonRowError(
            f"{', '.join(members)} forecast no validation minute in common: a sample is taken "
            "every `window.stride` minutes, so give them strides that divide each other"
        )
    met = {name: rows[_times(rows).isin(common)] for name, rows in members.items()}
    taught = max(members, key=lambda name: len(members[name]))
    said = {name: _output(rows, BASE) for name, rows in met.items()}
    said |= {name: _output(met[taught], name) for name in BASELINES}
    one = met[taught]
    effective = effective_rows(_epoch_ms(one["time"]), _epoch_ms(one["label_end"]))
    found = compare(one["target"].to_numpy(), said, effective)
    return ComparedMembers(len(one), effective, found.models, tuple(members), taught)


def _scores(rows: pd.DataFrame, model: str) -> dict[str, float]:
    said = _output(rows, model)
    sums = tally_decided(rows["target"].to_numpy(), *said).sum(axis=0)
    return {name: float(score) for name, score in scores_of(sums).items()}


def _output(rows: pd.DataFrame, model: str) -> ModelOutput:
    return ModelOutput(probabilities_of(rows, model), rows[f"{model}_class"].to_numpy())


def _times(rows: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(rows["time"])


def _epoch_ms(times: pd.Series) -> Any:
    return pd.DatetimeIndex(times).as_unit("ms").asi8
