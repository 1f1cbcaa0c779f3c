"""A market of two days and a pipeline over it that is made in a quarter of a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.forecasters import baselines
from quantgod.leakage import audit_leaks
from quantgod.settings import Settings
from tests.auditor.markets import settings as full_settings
from tests.synthetic import synthetic_bars

MINUTES = 2_880
WINDOW = 30
STRIDE = 15
PARAMS = {
    "tcn_channels": 4, "lstm_hidden": 4, "lstm_layers": 1, "lstm_dropout": 0.0, "dropout": 0.0,
}  # fmt: skip


def settings(**leak_audit: Any) -> Settings:
    full = full_settings()
    own = {"minutes": MINUTES, "stride": STRIDE, "epochs": 1, "params": PARAMS, **leak_audit}
    boosted = full.audit.xgboost.model_copy(update={"rounds": 20, "min_child_weight": 0.5})
    return full.model_copy(
        update={
            "window": full.window.model_copy(update={"length": WINDOW}),
            "split": full.split.model_copy(update={"folds": 2}),
            "train": full.train.model_copy(update={"learning_rate": 0.01, "batch_size": 64}),
            "audit": full.audit.model_copy(update={"xgboost": boosted}),
            "leak_audit": full.leak_audit.model_copy(update=own),
        }
    )


@contextmanager
def few_trees() -> Iterator[None]:
    """The slowest part of a small pipeline is a baseline of 300 trees."""
    real = baselines.HistGradientBoostingClassifier
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            baselines,
            "HistGradientBoostingClassifier",
            lambda **given: real(**given | {"max_iter": 20}),
        )
        yield


@cache
def bars(seed: int = 0) -> pd.DataFrame:
    return synthetic_bars(MINUTES, seed=seed, signal=0.5)


def with_holes(frame: pd.DataFrame, seed: int, *, runs: int = 1) -> pd.DataFrame:
    """Single minutes left out here and there, and `runs - 1` longer breaks."""
    rng = np.random.default_rng(seed)
    kept = rng.random(len(frame)) > 0.002
    for begin in rng.integers(0, len(frame), runs - 1):
        kept[begin : begin + 20] = False
    return frame[kept]


def audited(how: Settings, *cuts: pd.Timestamp, **more: Any) -> LeakAuditResult:
    return audit_leaks(bars(), how, cuts, **more)


def leaking(result: LeakAuditResult) -> set[str]:
    """The stages that leak."""
    return {leak.partition(":")[0] for leak in result.leaks}
