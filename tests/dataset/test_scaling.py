"""The scaler knows its training rows alone, and survives JSON to the last bit."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.contracts import FEATURES
from quantgod.dataset.labels import label
from quantgod.dataset.samples import covered_rows, samples
from quantgod.dataset.scaling import Scaler, fit_scaler
from quantgod.dataset.splits import split_test
from quantgod.settings import SplitSettings
from tests.dataset.broken_bars import BRIDGE, LABEL, broken_bars

SPLIT = SplitSettings(test_fraction=0.2, validation_fraction=0.1, folds=2, embargo_minutes=0)


def scaler_of(bars: pd.DataFrame) -> tuple[Scaler, np.ndarray]:
    table = label(bars, LABEL, BRIDGE)
    found = samples(table, 30, 2)
    rows = covered_rows(found.row[split_test(found, SPLIT).train], 30)
    return fit_scaler(table[list(FEATURES)].to_numpy()[rows]), rows


def test_it_centres_and_scales_by_the_population() -> None:
    matrix = np.random.default_rng(0).normal([1e-6, 5, -1e5], [1e-6, 1, 1e6], (400, 3))
    scaler = fit_scaler(matrix)
    for column in range(3):
        values = matrix[:, column].tolist()
        mean = sum(values) / 400
        std = (sum((value - mean) ** 2 for value in values) / 400) ** 0.5
        assert scaler.mean[column] == pytest.approx(mean, rel=1e-12)
        assert scaler.std[column] == pytest.approx(std, rel=1e-9)
    scaled = scaler.transform(matrix)
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-9) and np.allclose(scaled.std(axis=0), 1)


CONSTANTS = st.floats(-1e9, 1e9, allow_subnormal=False)


@given(CONSTANTS, st.integers(0, 8), st.integers(2, 60), st.floats(-1e12, 1e12))
def test_a_feature_that_never_moved_says_nothing_whatever_it_is_later(
    value: float, place: int, rows: int, later: float
) -> None:
    matrix = np.random.default_rng(rows).normal(size=(rows, 9))
    matrix[:, place] = value
    scaler = fit_scaler(matrix)
    assert np.flatnonzero(~scaler.moves).tolist() == [place]
    moved = matrix + np.where(np.arange(9) == place, later, 0.0)
    scaled = scaler.transform(moved)
    assert (scaled[:, place] == 0).all()
    assert np.isfinite(scaled).all()
    others = np.arange(9) != place
    expected = (matrix[:, others] - scaler.mean[others]) / scaler.std[others]
    assert np.array_equal(scaled[:, others], expected)


def test_windows_are_scaled_like_rows() -> None:
    windows = np.random.default_rng(0).normal(size=(4, 7, 9))
    scaler = fit_scaler(windows.reshape(-1, 9))
    assert np.array_equal(scaler.transform(windows)[2, 3], scaler.transform(windows[2, 3]))


@given(bars=broken_bars(), seed=st.integers(0, 9))
def test_nothing_after_the_training_side_reaches_the_scaler(bars: pd.DataFrame, seed: int) -> None:
    scaler, rows = scaler_of(bars)
    changed = bars.copy()
    # The test border is drawn by count of rows, so what is changed is values and never rows.
    noise = np.random.default_rng(seed).normal(size=(len(bars) - rows[-1] - 1, bars.shape[1]))
    changed.iloc[rows[-1] + 1 :] = np.abs(noise) + 1.0
    again, same_rows = scaler_of(changed)
    assert np.array_equal(rows, same_rows)
    assert scaler.mean.tobytes() == again.mean.tobytes()
    assert scaler.std.tobytes() == again.std.tobytes()


def test_json_gives_the_same_bits_back() -> None:
    scaler = fit_scaler(np.random.default_rng(0).normal(size=(99, 9)))
    back = Scaler.from_json(json.loads(json.dumps(scaler.to_json())))
    assert back.mean.tobytes() == scaler.mean.tobytes()
    assert back.std.tobytes() == scaler.std.tobytes()


WRONG = {
    "std missing": {"mean": [0.0]},
    "one vector each": {"mean": [0.0], "std": [1.0, 1.0]},
    "finite deviations of 0": {"mean": [0.0], "std": [-1.0]},
    "finite means": {"mean": [float("nan")], "std": [1.0]},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_no_scaler_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scaler.from_json(WRONG[message])


def test_it_is_not_fitted_on_nothing_or_on_nan() -> None:
    with pytest.raises(ValueError, match="got shape"):
        fit_scaler(np.empty((0, 9)))
    with pytest.raises(ValueError, match="not finite"):
        fit_scaler(np.array([[1.0, np.nan]]))
