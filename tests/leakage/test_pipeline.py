from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor import learner
from quantgod.contracts import MS_PER_MINUTE
from quantgod.leakage.borders import borders_of
from quantgod.leakage.pipeline import PipelineResult, in_small, make, newest
from quantgod.settings import Settings
from tests.leakage.small import MINUTES, PARAMS, STRIDE, bars, settings

HOW = in_small(settings())


def test_all_but_size_is_the_lineages_own() -> None:
    whole = settings()
    for name in set(Settings.model_fields) - {"model", "window", "audit", "train", "evaluate"}:
        assert getattr(HOW, name) == getattr(whole, name), name
    assert HOW.model.name == whole.model.name
    assert HOW.model.params == PARAMS
    assert HOW.window.length == whole.window.length
    changed = {"epochs": 1, "device": "cpu", "every": 1}
    assert HOW.train == whole.train.model_copy(update=changed)
    assert HOW.audit == whole.audit.model_copy(update={"epochs": 1, "stride": STRIDE})
    assert HOW.window.stride == HOW.evaluate.stride == STRIDE
    assert HOW.audit.conformal_level == whole.audit.conformal_level


def test_the_same_bars_give_the_same_bytes(made: PipelineResult) -> None:
    again = make(bars(), HOW)
    assert list(again.trace) == list(made.trace)
    for stage, evidence in made.trace.items():
        assert (again.trace[stage].values == evidence.values).all(), stage
        assert (again.trace[stage].known_at == evidence.known_at).all(), stage


def test_each_row_is_known_with_its_own_data(made: PipelineResult) -> None:
    index, borders = pd.DatetimeIndex(bars().index), borders_of(pd.DatetimeIndex(bars().index), HOW)
    first = int(index[0].timestamp()) * 1000
    known = {stage: evidence.known_at.tolist() for stage, evidence in made.trace.items()}
    assert known["features"] == [first + MS_PER_MINUTE * (row + 1) for row in range(MINUTES)]
    labelled = MINUTES - 60
    assert known["labels"] == [first + MS_PER_MINUTE * (row + 61) for row in range(labelled)]
    for stage, closes in borders.forecasts.items():
        assert known[stage] == list(closes), stage
        assert set(np.diff(closes)) == {STRIDE * MS_PER_MINUTE}
    for stage, moment in borders.fitted.items():
        assert known[stage] == [moment], stage
    assert set(known) == {"features", "labels", *borders.fitted, *borders.forecasts}


def test_no_work_folder_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold found finished would hide what made it."""
    reused = []
    real = learner.audit

    def heard(*given: object) -> object:
        result = real(*given)
        reused.extend(report.reused for report in result.folds)
        return result

    monkeypatch.setattr(learner, "audit", heard)
    for _ in range(2):
        make(bars(), HOW)
    assert reused == [False] * 4


def test_the_newest_bars_are_taken() -> None:
    taken = newest(bars(), settings(minutes=1_000))
    assert taken.equals(bars().iloc[-1_000:])
    assert newest(bars(), settings(minutes=10**6)).equals(bars())
