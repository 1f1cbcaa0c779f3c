"""Members are trained, walked, combined and audited as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor.ensemble_learner import EnsembleAudit, EnsembleLearner
from quantgod.auditor.learner import Learner
from quantgod.auditor.reports import Hooks
from quantgod.dataset.learning_table import LearnedFrom
from quantgod.settings import Settings, SettingsError, with_values
from tests.auditor.markets import market, settings

SMALL = {
    "model.params": {"tcn_channels": 4, "lstm_hidden": 4, "lstm_layers": 1, "dropout": 0.0,
                     "spatial_dropout": 0.0},
    "train.epochs": 2, "train.every": 1, "train.batch_size": 64, "train.learning_rate": 0.01,
    "train.device": "cpu", "train.threads": 1, "train.workers": 1,
    "audit.epochs": 2, "audit.stride": 10, "evaluate.stride": 5, "window.stride": 10,
    "split.folds": 3, "ensemble": {"strategy": "adaptive"},
}  # fmt: skip


@pytest.fixture(scope="module")
def given() -> Settings:
    return with_values(settings(), SMALL)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return market(4_000, 10, seed=3, signal=0.6).table


@pytest.fixture(scope="module")
def audited(
    given: Settings, table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> EnsembleAudit:
    return learner(given, table, tmp_path_factory.mktemp("work")).learn().audit


def learner(given: Settings, table: pd.DataFrame, work: Path) -> EnsembleLearner:
    """Two members of other windows and seeds."""
    own = {
        "near": with_values(given, {"window.length": 45, "train.seed": 1}),
        "far": with_values(given, {"window.length": 60, "train.seed": 2}),
    }
    each = {
        name: Learner(LearnedFrom(table, None), one, work / name, Hooks())
        for name, one in own.items()
    }
    return EnsembleLearner(given, each)


def test_what_is_learned_is_an_ensemble_of_all_members_and_their_auditor(
    audited: EnsembleAudit,
) -> None:
    ensemble, result = audited.ensemble, audited.audit
    assert list(ensemble.members) == ["near", "far"]
    assert ensemble.context == "far"
    assert ensemble.combiner.every == 10
    assert ensemble.combiner.online is not None
    assert ensemble.combiner.state is not None
    assert len(result.folds) == 6
    assert {"fit", "stopping", "calibration"} <= set(result.rows["part"])
    assert list(audited.walks) == list(audited.weights.columns) == ["near", "far"]
    assert audited.left_out < 0.05 * len(result.rows)


def test_the_served_weights_are_those_behind_the_last_outcome_that_had_matured(
    audited: EnsembleAudit,
) -> None:
    combiner = audited.ensemble.combiner
    judged = combiner.state["judged"]
    rows = audited.audit.rows
    last = rows["time"].iloc[-1]
    matured = int((rows["label_end"] <= last).sum())
    faded = sum(0.5 ** (age / 1440) for age in range(matured))
    np.testing.assert_allclose(judged, faded, rtol=0.02)


def test_settings_without_an_ensemble_are_refused(
    given: Settings, table: pd.DataFrame, tmp_path: Path
) -> None:
    none = EnsembleLearner(with_values(given, {"ensemble": None}), {})
    with pytest.raises(SettingsError, match="ensemble: a strategy"):
        _ = none._how
