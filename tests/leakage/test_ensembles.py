"""The leak audit of an ensemble: members of other windows, and weights that move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import MS_PER_MINUTE, Floats, Integers
from quantgod.ensemble import fitting
from quantgod.ensemble.fitting import OutOfFoldVotes
from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.leakage import audit_leaks
from quantgod.leakage.borders import COMBINER, TEST_ROWS, WEIGHTS, Borders, borders_of, networks_of
from quantgod.leakage.pipeline import PipelineResult, in_small, make
from quantgod.served.combiners.online import OnlineWeights
from quantgod.served.combiners.votes import Votes
from quantgod.settings import Settings, members_of, with_members, with_values
from tests.leakage.small import PARAMS, STRIDE, bars, leaking, settings

OF_ONE = {
    "scaler", "base model", "fold 1 scaler", "fold 1 model", "fold 2 scaler", "fold 2 model",
    "forecasts",
}  # fmt: skip
OF_ALL = {
    "features", "labels", "weights", "combiner", "fold 1 forecasts", "stopping forecasts",
    "calibration forecasts", "booster", "calibrator", "conformal threshold", "confidence",
    "chosen confidence", "baselines", "test forecasts",
}  # fmt: skip
STAGES = OF_ALL | {f"{stage} of {name}" for stage in OF_ONE for name in ("near", "far")}


def several(strategy: str = "adaptive", **ensemble: Any) -> Settings:
    """Two members, of which one looks back three samples further."""
    members = {
        "near": {"window": {"length": 30}},
        "far": {"window": {"length": 75}, "leak_audit": {"params": PARAMS | {"lstm_hidden": 3}}},
    }
    return with_values(settings(), {
        "members": members, "ensemble": {"strategy": strategy, "half_life": 30.0, **ensemble},
    })  # fmt: skip


def borders_in(how: Settings) -> Borders:
    return borders_of(pd.DatetimeIndex(bars().index), in_small(how))


def at(known_ms: int) -> pd.Timestamp:
    return pd.Timestamp(known_ms, unit="ms", tz="UTC")


@pytest.fixture(scope="module")
def picky() -> Settings:
    return several(quorum=2)


@contextmanager
def unsure() -> Iterator[None]:
    """Every third answer or so is missing, by what the first member says."""

    def barred(self: Votes, min_confidence: Any) -> Votes:
        digits = np.floor(self.probabilities[0, :, 0] * 1e6).astype(np.int64)
        return replace(self, present=self.present & (digits % 3 > 0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Votes, "barred", barred)
        yield


@pytest.fixture(scope="module")
def honest(picky: Settings) -> LeakAuditResult:
    with unsure():
        return audit_leaks(bars(), picky)


@pytest.fixture(scope="module")
def whole(picky: Settings) -> PipelineResult:
    with unsure():
        return make(bars(), in_small(picky))


@pytest.mark.long
def test_nothing_leaks_and_every_stage_is_seen_to_the_row(honest: LeakAuditResult) -> None:
    assert honest.problems == ()
    assert honest.passed
    assert set(honest.compared) == STAGES
    assert honest.nearest == dict.fromkeys(STAGES, 1)
    assert "small networks, epochs" in honest.scope


@pytest.mark.long
def test_minutes_without_an_answer_are_some_and_move_no_border(
    picky: Settings, whole: PipelineResult
) -> None:
    borders = borders_in(picky)
    parts = (*borders.out_of_fold, TEST_ROWS)
    said = [set(whole.trace[stage].known_at.tolist()) for stage in parts]
    asked = [set(borders.forecasts[stage]) for stage in parts]
    assert all(some and some <= every for some, every in zip(said, asked, strict=True))
    assert said[0] < asked[0]
    assert said[-1] < asked[-1]
    assert set(whole.rows["part"]) == {"fit", "stopping", "calibration", "purged"}
    assert np.isfinite(whole.rows[["prob_sell", "confidence"]].to_numpy()).all()


def test_each_value_is_known_with_its_own_data(picky: Settings, whole: PipelineResult) -> None:
    borders = borders_in(picky)
    known = {stage: made.known_at.tolist() for stage, made in whole.trace.items()}
    for stage, moment in borders.fitted.items():
        assert known[stage] == [moment], stage
    for stage in (WEIGHTS, "forecasts of near", "forecasts of far"):
        assert known[stage] == list(borders.forecasts[stage]), stage
    assert len(known["forecasts of near"]) > len(known["forecasts of far"])
    assert known[WEIGHTS] == known["forecasts of far"]


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["stacking", "weighted_voting"])
def test_fitted_weights_know_all_labels_and_given_ones_none(strategy: str) -> None:
    borders = borders_in(several(strategy))
    learned = strategy == "stacking"
    assert (COMBINER in borders.fitted) == (WEIGHTS in borders.forecasts) == learned
    cut = at(borders.fitted["calibrator"])
    result = audit_leaks(bars(), several(strategy), [cut - pd.Timedelta("1min"), cut])
    assert result.broken == ()
    assert set(result.compared) == STAGES - (set() if learned else {WEIGHTS, COMBINER})


@pytest.mark.long
def test_weights_that_know_an_outcome_too_early_are_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = OnlineWeights.mature

    def early(self: OnlineWeights, now_ms: int, outcome_of: Any) -> None:
        real(self, now_ms + STRIDE * MS_PER_MINUTE, outcome_of)

    monkeypatch.setattr(OnlineWeights, "mature", early)
    how = several("hedge")
    result = audit_leaks(bars(), how, [at(borders_in(how).forecasts[WEIGHTS][40])])
    assert WEIGHTS in leaking(result)


@pytest.mark.long
def test_weights_fitted_to_a_fold_itself_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a fit whose weights tell of each outcome: one that ends at 0 and 1 need not."""

    def fit(probabilities: Floats, target: Integers, sample_weight: Floats) -> Floats:
        came = probabilities[:, np.arange(len(target)), target].mean(axis=1)
        return np.asarray(came / came.sum())

    monkeypatch.setattr(fitting, "fit_stacking", fit)
    monkeypatch.setattr(OutOfFoldVotes, "before", lambda self, minute_ms: self)
    cut = at(borders_in(several("stacking")).folds[1])
    result = audit_leaks(bars(), several("stacking"), [cut])
    assert WEIGHTS in leaking(result)


def test_settings_in_small_have_each_members_own_network_and_one_stride() -> None:
    own = networks_of(in_small(several()))
    assert own["near"].model.params == PARAMS
    assert own["far"].model.params == PARAMS | {"lstm_hidden": 3}
    assert {one.audit.stride for one in own.values()} == {STRIDE}
    assert [one.window.length for one in own.values()] == [30, 75]


def test_members_with_the_choices_of_a_search_are_given_back() -> None:
    how = several()
    chosen = members_of(how)
    rate = chosen["far"].train.model_copy(update={"learning_rate": 0.5})
    chosen["far"] = chosen["far"].model_copy(update={"train": rate})
    assert members_of(with_members(how, chosen)) == chosen
