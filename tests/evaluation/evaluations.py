"""A whole evaluation in a second: a market whose imbalance leads, and a model that looks at it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from quantgod.auditor.auditor_input import TILTED, AuditorInput, forecast_in
from quantgod.contracts import FEATURES, META_FEATURES, PRIMARY, Progress, silent
from quantgod.dataset.book_blocks import RowBlocks
from quantgod.dataset.labels import label
from quantgod.dataset.samples import samples
from quantgod.dataset.splits import split_test
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.evaluation import Evaluation
from quantgod.evaluation.subject import Answers, RawMaterial
from quantgod.served.calibration import decide
from quantgod.served.conformal import actions
from quantgod.settings import Settings
from tests.auditor.markets import settings as full_settings
from tests.synthetic import synthetic_bars

WINDOW = 30
IMBALANCE = FEATURES.index("mean_obi")
LAST_MINUTE = [META_FEATURES.index(name) for name in ("body", "volatility", "mean_obi")]


class ImbalanceSubject:
    """Forecasts by the mean imbalance of its window; its auditor trusts it `trust` times as much.

    It counts the windows that it is asked for.
    """

    name = "quantgod/7"
    window = WINDOW
    columns = FEATURES
    block = None
    base_weights = (2.0, 1.0, 2.0)
    decision_weights = (2.0, 1.0, 2.0)
    promise = (0.9, 0.2)

    def __init__(self, trust: float = 1.5) -> None:
        self.trust = trust
        self.asked = 0

    def ask(
        self, material: RawMaterial, rows: np.ndarray, progress: Progress = silent
    ) -> AuditorInput:
        self.asked += len(rows)
        meta = self.meta(material.matrix, rows)
        return AuditorInput(forecast_in(meta, self.base_weights), meta)

    def meta(self, matrix: np.ndarray, rows: np.ndarray, length: int = WINDOW) -> np.ndarray:
        meta = np.zeros((len(rows), len(META_FEATURES)))
        running = np.concatenate([[0.0], np.cumsum(matrix[:, IMBALANCE])])
        imbalance = (running[rows + 1] - running[rows + 1 - length]) / length
        tilted = probabilities(3 * imbalance) * self.base_weights
        meta[:, TILTED] = tilted / tilted.sum(axis=1, keepdims=True)
        meta[:, LAST_MINUTE] = matrix[np.ix_(rows, [0, 4, IMBALANCE])]
        return meta

    def audited(self, meta: np.ndarray) -> np.ndarray:
        base = forecast_in(meta, self.base_weights).probabilities[:, PRIMARY]
        sharper = np.maximum(base, 1e-9) ** self.trust
        return sharper / sharper.sum(axis=1, keepdims=True)

    def confidence(self, seen: AuditorInput) -> np.ndarray:
        return seen.said.probabilities.max(axis=1)

    def answers(self, audited: np.ndarray, consent: np.ndarray | None = None) -> Answers:
        decided, holds = decide(audited, self.decision_weights), audited >= self.promise[1]
        return Answers(decided, holds, actions(decided, holds, 1))

    def answer_times(
        self, table: pd.DataFrame, rows: np.ndarray, book: RowBlocks | None = None
    ) -> np.ndarray:
        return np.full(len(rows), 20.0)


class Case(NamedTuple):
    """What `evaluate` was given, and what it left behind."""

    subject: ImbalanceSubject
    table: pd.DataFrame
    out_of_fold: pd.DataFrame
    settings: Settings
    evaluated: Evaluation


def probabilities(score: np.ndarray) -> np.ndarray:
    logits = np.stack([-score, np.full(len(score), 0.8), score - 0.7], axis=1)
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def small_settings() -> Settings:
    given = full_settings()
    small = {"importance_rows": 150, "importance_repeats": 2}
    return given.model_copy(update={"evaluate": given.evaluate.model_copy(update=small)})


@cache
def case(minutes: int = 8_000, signal: float = 0.8, trust: float = 1.5) -> Case:
    settings, subject = small_settings(), ImbalanceSubject(trust)
    table = label(synthetic_bars(minutes, signal=signal, seed=3), settings.label, 5)
    out_of_fold = out_of_fold_rows(table, subject, settings)
    evaluated = evaluate(subject, table, out_of_fold, settings)
    return Case(subject, table, out_of_fold, settings, evaluated)


def out_of_fold_rows(
    table: pd.DataFrame, subject: ImbalanceSubject, settings: Settings
) -> pd.DataFrame:
    """As an honest audit of dev would leave it: two folds, the last one cut in three parts."""
    taken = samples(table, WINDOW, settings.audit.stride)
    dev = taken.take(split_test(taken, settings.split).train)
    time = pd.to_datetime(dev.time_ms, unit="ms", utc=True)
    place = np.arange(len(dev)) / len(dev)
    meta = subject.ask(RawMaterial(table[list(FEATURES)].to_numpy()), dev.row).meta
    frame = pd.DataFrame(meta, columns=list(META_FEATURES)).assign(
        target=dev.target,
        time=time,
        label_end=pd.to_datetime(dev.label_end_ms, unit="ms", utc=True),
        fold=1 + (place >= 0.5),
        weight=1.0,
        part=np.select([place < 0.6, place < 0.8], ["fit", "stopping"], "calibration"),
    )
    first = frame.groupby("fold")["time"].transform("min")
    return frame.assign(trained_until=first - pd.Timedelta(minutes=10))
