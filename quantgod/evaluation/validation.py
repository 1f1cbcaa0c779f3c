"""Score networks beside the baselines, and members beside each other, on rows of dev.

Early stopping and searches choose by the validation part, so its scores are a little better than
they are on the test part, which nothing here reads. Rows out of fold chose nothing.

One row per sample, in order of time. Columns:

- `time`: the window's last minute (its start, UTC).
- `label_end`, `target`: of the label.
- `MODEL_sell`, `MODEL_neutral`, `MODEL_buy`, `MODEL_class`: probabilities and decided class of
  `base`, the network with its class weights undone, and of each baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.auditor.auditor_input import forecast_in
from quantgod.auditor.out_of_fold import FoldParts
from quantgod.contracts import CLASSES, META_FEATURES, PRIMARY, Floats, Forecast, Integers
from quantgod.evaluation.common_minutes import VALIDATION, common
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.metrics import WORST_LOSS, scores_of, tally_decided
from quantgod.evaluation.scored_rows import BASELINES, columns_of, probabilities_of
from quantgod.forecasters.base_model import TrainedBase
from quantgod.forecasters.baselines import LEARNED, baselines
from quantgod.served.calibration import decide
from quantgod.settings import LabelSettings

BASE: Final = "base"
NO_PROBABILITY: Final = 1e-9
"""What is less comes of the arithmetic of a class that cannot be said."""


class ComparedMembers(NamedTuple):
    """Members and baselines on the minutes that all of them forecast.

    Attributes:
        rows: number of those minutes.
        effective_rows: number of independent labels that they are worth.
        models: scores with intervals; members in the given order, then baselines.
        members: their names.
        taught: the member whose training rows the baselines learned from.
        unsaid: classes that occur there and that a model gives no probability, by model.
    """

    rows: int
    effective_rows: float
    models: dict[str, dict[str, Interval]]
    members: tuple[str, ...]
    taught: str
    unsaid: dict[str, tuple[str, ...]]

    def notes(self) -> list[str]:
        """Return what is to be known of the scores beside them, a line for each such model."""
        return [
            f"{name} never says {' or '.join(classes)}: each such label costs its log-loss up to "
            f"{WORST_LOSS:.0f}, so compare it by macro-F1 and MCC"
            for name, classes in self.unsaid.items()
        ]


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
    rows = pd.DataFrame(
        {
            "time": pd.to_datetime(part.time_ms, unit="ms", utc=True),
            "label_end": pd.to_datetime(part.label_end_ms, unit="ms", utc=True),
            "target": part.target,
        }
    )
    others = baselines(table, trained.train, part, settings)
    return _beside(rows, _each({BASE: trained.forecast, **others}), weights)


def out_of_fold_rows(
    table: pd.DataFrame,
    walked: pd.DataFrame,
    parts: Sequence[FoldParts],
    weights: Sequence[float],
    settings: LabelSettings,
) -> pd.DataFrame:
    """Return out-of-fold rows with the forecasts of the base and the baselines beside them.

    The baselines learn, fold by fold, from the rows that the fold's network was fitted on.

    Args:
        table: the labelled table.
        walked: rows of `Learner.walk`.
        parts: of the same folds.
        weights: class weights of the network, by which those with learned probabilities decide.
        settings: those that made the labels.

    Returns:
        The columns of `walked`, then those of `MODEL` as in `validation_rows`.
    """
    base = forecast_in(walked[list(META_FEATURES)].to_numpy(np.float64), weights)
    each = [_each(baselines(table, part.fitted, part.forecast, settings)) for part in parts]
    others = {name: np.concatenate([fold[name] for fold in each]) for name in each[0]}
    return _beside(walked, {**_each({BASE: base}), **others}, weights)


def _each(forecasts: Mapping[str, Forecast]) -> dict[str, Floats]:
    """Return the probabilities of forecasts at the primary horizon."""
    return {name: of.probabilities[:, PRIMARY] for name, of in forecasts.items()}


def _beside(
    rows: pd.DataFrame, said: Mapping[str, Floats], weights: Sequence[float]
) -> pd.DataFrame:
    """Put probabilities and decided classes beside the rows."""
    columns: dict[str, Any] = {}
    for name, given in said.items():
        columns |= dict(zip(columns_of(name), given.T, strict=True))
        weighs = name == BASE or name in LEARNED
        columns[f"{name}_class"] = decide(given, weights if weighs else None)
    return rows.assign(**columns)


def row_scores(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the scores of `base` and of each baseline, as `classification_report` names them."""
    return {name: _scores(rows, name) for name in (BASE, *BASELINES)}


def compare_members(members: Mapping[str, pd.DataFrame], part: str = VALIDATION) -> ComparedMembers:
    """Score members on the minutes that all of them forecast, beside the baselines.

    The baselines are those of the member with most rows.

    Args:
        members: result of `validation_rows` or of `out_of_fold_rows`, by member.
        part: which of them.

    Raises:
        NoCommonRowError: if there is no such minute.
    """
    shared = common({name: _times(rows) for name, rows in members.items()}, part)
    met = {name: rows[_times(rows).isin(shared)] for name, rows in members.items()}
    taught = max(members, key=lambda name: len(members[name]))
    said = {name: _output(rows, BASE) for name, rows in met.items()}
    said |= {name: _output(met[taught], name) for name in BASELINES}
    one = met[taught]
    effective = effective_rows(_epoch_ms(one["time"]), _epoch_ms(one["label_end"]))
    found = compare(one["target"].to_numpy(), said, effective)
    each = {name: _unsaid(one["target"].to_numpy(), output) for name, output in said.items()}
    unsaid = {name: classes for name, classes in each.items() if classes}
    return ComparedMembers(len(one), effective, found.models, tuple(members), taught, unsaid)


def _unsaid(target: Integers, said: ModelOutput) -> tuple[str, ...]:
    """Return the classes that occur without ever being given a probability, as by `direction`."""
    most = said.probabilities.max(axis=0)
    return tuple(
        name
        for number, name in enumerate(CLASSES)
        if most[number] < NO_PROBABILITY and (target == number).any()
    )


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
