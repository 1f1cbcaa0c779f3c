"""What must not be learned from is refused by name, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import FEATURES
from quantgod.dataset.inputs import Inputs
from quantgod.dataset.labels import label
from quantgod.dataset.quality import FeatureQualityError, check_quality
from quantgod.dataset.samples import Samples, covered_rows, samples
from quantgod.training.material import material
from tests.dataset.broken_bars import BRIDGE, SEVERAL, whole_bars

WINDOW = 20
TABLE = label(whole_bars().iloc[:900], SEVERAL, BRIDGE)
TAKEN = samples(TABLE, WINDOW, 1)
TRAIN = TAKEN.take(TAKEN.row < 600)


def checked(features: pd.DataFrame, train: Samples = TRAIN) -> None:
    check_quality(features, covered_rows(train.row, WINDOW), train)


def features(**changed: object) -> pd.DataFrame:
    return TABLE[list(FEATURES)].assign(**changed)


def test_sound_features_pass() -> None:
    checked(features())
    assert material(TABLE, TRAIN, Inputs(WINDOW)).views.shapes == {"bars": (WINDOW, 9)}


@pytest.mark.parametrize("horizon", [60, 90, 10])
@pytest.mark.parametrize("sign", [1.0, -3.0])
def test_a_feature_that_is_the_return_to_come_is_named(horizon: int, sign: float) -> None:
    column = "forward_return" if horizon == 60 else f"forward_return_{horizon}"
    noise = np.random.default_rng(0).normal(0, 1e-4, len(TABLE))
    knows = sign * TABLE[column].fillna(0.0) + noise
    told = f"volatility has a correlation of .* with the return of the {horizon} minutes to come"
    with pytest.raises(FeatureQualityError, match=told) as refusal:
        checked(features(volatility=knows))
    assert "body" not in str(refusal.value)
    with pytest.raises(FeatureQualityError, match=told):
        material(TABLE.assign(volatility=knows), TRAIN, Inputs(WINDOW))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_missing_is_named_where_a_training_window_sees_it(value: float) -> None:
    seen = covered_rows(TRAIN.row, WINDOW)
    for row, is_seen in ((seen[0], True), (seen[-1], True), (seen[-1] + 1, False)):
        column = TABLE["mean_obi"].to_numpy().copy()
        column[row] = value
        if is_seen:
            with pytest.raises(FeatureQualityError, match=r"mean_obi is not finite in 0\.\d\d% of"):
                checked(features(mean_obi=column))
        else:
            checked(features(mean_obi=column))


@pytest.mark.parametrize("of", ["object", "str", "int64", "bool"])
def test_a_feature_of_another_type_is_named(of: str) -> None:
    with pytest.raises(FeatureQualityError, match=r"expected, got body \("):
        checked(features(body=TABLE["body"].astype(of)))


def test_samples_out_of_order_or_twice_are_refused() -> None:
    for times in (TRAIN.time_ms[::-1].copy(), np.repeat(TRAIN.time_ms[:1], len(TRAIN))):
        with pytest.raises(FeatureQualityError, match="in order of time"):
            checked(features(), replace(TRAIN, time_ms=times))


def test_a_feature_that_never_moves_and_few_samples_are_no_leak() -> None:
    checked(features(body=0.0))
    few = TRAIN.take(np.arange(29))
    checked(features(body=TABLE["forward_return"].fillna(0.0)), few)
    with pytest.raises(FeatureQualityError, match="body has a correlation of 1"):
        checked(features(body=TABLE["forward_return"].fillna(0.0)), TRAIN.take(np.arange(30)))
