"""What the audit finds by itself that stages may know is, to the minute, what they do know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantgod.auditor.audit import CALIBRATION, STOPPING, parts_of
from quantgod.contracts import META_FEATURES, MS_PER_MINUTE, Integers
from quantgod.dataset.labels import label
from quantgod.dataset.samples import SEEN, Samples, samples
from quantgod.dataset.splits import folds, split_dev, split_test, split_validation
from quantgod.leakage.borders import (
    CALIBRATION_ROWS,
    STOPPING_ROWS,
    TEST_ROWS,
    borders_of,
)
from quantgod.leakage.pipeline import in_small
from quantgod.settings import LabelSettings, Settings
from tests.leakage import small

BARS = small.bars()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {
            "window": st.integers(1, 90),
            "stride": st.sampled_from([1, 7, 15, 30, 60, 61]),
            "horizon": st.sampled_from([5, 60, 90]),
            "further": st.sampled_from([(), (20,), (10, 120)]),
            "folds": st.integers(2, 4),
            "embargo": st.sampled_from([0, 30, 61]),
            "test": st.floats(0.05, 0.3),
            "validation": st.floats(0.1, 0.3),
            "calibration": st.floats(0.3, 0.6),
            "unseen": st.sampled_from([None, 0.0, 0.003, 0.01]),
        }
    ),
    st.integers(0, 99),
    st.integers(1, 3),
)
def test_they_are_those_of_the_pipeline(drawn: dict[str, Any], seed: int, runs: int) -> None:
    how = settings_of(drawn)
    frame = small.with_holes(BARS, seed, runs=runs)
    table = label(frame, how.label, how.etl.max_bridge_minutes)
    of_bars, seen = samples(table, how.window.length, how.window.stride), None
    if (share := drawn["unseen"]) is not None:
        seen = np.random.default_rng(seed).random(len(frame)) >= share
        table[SEEN] = seen
    taken = samples(table, how.window.length, how.window.stride)
    try:
        test = split_test(taken, how.split)
        walks = folds(taken, test.train, how.split)
        inner = [
            split_validation(taken, walk.train, how.audit.stopping_fraction, how.split)
            for walk in walks
        ]
        validation = split_dev(taken, how.split)
        parts = parts_of(
            last_rows(taken, walks[-1].other), how.audit.calibration_fraction, drawn["embargo"]
        )
        older = np.concatenate([walk.other for walk in walks[:-1]])
        reach_of = taken.label_end_ms[older] + drawn["embargo"] * MS_PER_MINUTE
        fitted = older[reach_of < taken.time_ms[walks[-1].other[0]]]
        if not len(fitted):
            raise ValueError("as `parts_of` says of the whole frame")
    except ValueError:
        return  # too few rows for these parts: the pipeline refuses it first
    found = borders_of(pd.DatetimeIndex(frame.index), how, seen)
    last, part = walks[-1].other, parts.to_numpy()[1:]
    begin = int((part == CALIBRATION).argmax())

    def inputs(positions: Integers) -> int:
        return int(taken.time_ms[positions].max()) + MS_PER_MINUTE

    def labels(positions: Integers) -> int:
        return int(taken.label_end_ms[positions].max()) + MS_PER_MINUTE

    def reach(positions: Integers) -> int:
        return int(taken.reach_ms[positions].max()) + MS_PER_MINUTE

    assert found.validation == of_bars.time_ms[split_dev(of_bars, how.split).other[0]]
    assert found.folds == tuple(taken.time_ms[walk.other[0]] for walk in walks)
    assert found.calibration == taken.time_ms[last[begin]]
    of_dev = ("calibrator", "conformal threshold", "chosen confidence", "baselines")
    assert found.fitted == {
        "confidence": labels(fitted),
        "scaler": inputs(validation.train),
        "booster": labels(last[part == STOPPING]),
        **{f"fold {fold} scaler": inputs(split.train) for fold, split in enumerate(inner, 1)},
        **{f"fold {fold} model": reach(split.other) for fold, split in enumerate(inner, 1)},
        "base model": reach(validation.other),
        **dict.fromkeys(of_dev, labels(test.train)),
    }
    assert labels(validation.other) == labels(test.train) == labels(last[part == CALIBRATION])
    asked = {f"fold {fold} forecasts": walk.other for fold, walk in enumerate(walks[:-1], 1)}
    asked |= {STOPPING_ROWS: last[:begin], CALIBRATION_ROWS: last[begin:], TEST_ROWS: test.other}
    assert {stage: list(closes) for stage, closes in found.forecasts.items()} == {
        stage: (taken.time_ms[positions] + MS_PER_MINUTE).tolist()
        for stage, positions in asked.items()
    }


def settings_of(drawn: dict[str, Any]) -> Settings:
    how = in_small(small.settings(stride=drawn["stride"]))
    cuts = {"buy_above": 0.01, "sell_below": -0.01}
    split = {
        "folds": drawn["folds"],
        "embargo_minutes": drawn["embargo"],
        "test_fraction": drawn["test"],
        "validation_fraction": drawn["validation"],
    }
    further = {"further": [dict(cuts, horizon_minutes=one) for one in drawn["further"]]}
    changed = {
        "window": how.window.model_copy(update={"length": drawn["window"]}),
        "label": LabelSettings(
            **how.label.model_dump() | {"horizon_minutes": drawn["horizon"]} | further
        ),
        "split": how.split.model_copy(update=split),
        "audit": how.audit.model_copy(update={"calibration_fraction": drawn["calibration"]}),
    }
    return how.model_copy(update=changed)


def last_rows(taken: Samples, positions: np.ndarray) -> pd.DataFrame:
    """Out-of-fold rows of two folds, of which the last has these samples."""
    last = pd.DataFrame(
        {
            "time": pd.to_datetime(taken.time_ms[positions], unit="ms", utc=True),
            "label_end": pd.to_datetime(taken.label_end_ms[positions], unit="ms", utc=True),
            "fold": 2,
        }
    )
    before = last.iloc[:1].assign(fold=1)
    for name in ("time", "label_end"):
        before[name] -= pd.Timedelta(days=9)
    return pd.concat([before, last], ignore_index=True).assign(**dict.fromkeys(META_FEATURES, 0.0))


def test_too_few_minutes_are_refused() -> None:
    how = in_small(small.settings())
    for minutes in (0, 50, 200):
        with pytest.raises(ValueError, match="too few for a leak audit of 2 folds"):
            borders_of(pd.DatetimeIndex(BARS.index[:minutes]), how)
