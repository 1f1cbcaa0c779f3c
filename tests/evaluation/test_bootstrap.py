"""Intervals hold what they claim where neighbours are tied, and the naive ones do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from quantgod.dataset.labels import label
from quantgod.dataset.splits import uniqueness
from quantgod.dataset.windows import samples
from quantgod.evaluation.bootstrap import (
    block_rows,
    compare,
    effective_size,
    intervals,
    ratio_intervals,
    redraws,
)
from quantgod.evaluation.metrics import classification_report
from quantgod.settings import LabelSettings
from tests.evaluation.forecasts import calibrated_forecasts, random_forecasts
from tests.synthetic import synthetic_bars


def ar1(rng: np.random.Generator, rows: int, keep: float) -> np.ndarray:
    """A stationary series of mean zero whose neighbours are correlated by `keep`."""
    shocks = rng.normal(size=rows)
    shocks[0] /= np.sqrt(1 - keep**2)
    return lfilter([1], [1, -keep], shocks)


def coverage(block: int, keep: float, trials: int = 150) -> float:
    """How often a 90 % interval of the mean holds the true mean, which is 0."""
    rng = np.random.default_rng(5)
    held = 0
    for trial in range(trials):
        series = ar1(rng, 600, keep)
        found = intervals(
            lambda rows, x=series: {"mean": x[rows].mean()}, 600, block, 150, trial, 0.9
        )
        held += found["mean"].low <= 0 <= found["mean"].high
    return held / trials


def test_block_intervals_cover_where_naive_ones_do_not() -> None:
    naive, blocks = coverage(block=1, keep=0.8), coverage(block=30, keep=0.8)
    assert naive < 0.6  # its standard error is a third of the true one
    assert blocks > 0.8
    assert coverage(block=1, keep=0.0) == pytest.approx(0.9, abs=0.06)


def test_a_redraw_is_made_of_whole_blocks_from_anywhere() -> None:
    drawn = np.array(list(redraws(rows=20, block=6, rounds=400, seed=0)))
    assert drawn.shape == (400, 20) and drawn.min() == 0 and drawn.max() == 19
    for start in (0, 6, 12):
        assert (np.diff(drawn[:, start : start + 6]) == 1).all()
    assert set(drawn[:, 0]) == set(range(15))
    assert np.array_equal(list(redraws(20, 6, 400, 0)), drawn)
    assert not np.array_equal(list(redraws(20, 6, 400, 1)), drawn)


def test_an_interval_is_the_quantiles_of_the_redrawn_scores() -> None:
    series = np.random.default_rng(0).normal(size=80)
    found = intervals(lambda rows: {"mean": series[rows].mean()}, 80, 8, 200, seed=4)["mean"]
    means = sorted(series[rows].mean() for rows in redraws(80, 8, 200, seed=4))
    assert found.value == pytest.approx(series.mean())
    # Of 200 values the 2.5 % quantile lies between the fifth and the sixth.
    assert means[4] <= found.low <= means[5] and means[194] <= found.high <= means[195]


def test_the_report_is_compared_pair_by_pair() -> None:
    target, good = calibrated_forecasts(600)
    _, bad = random_forecasts(600, seed=9)
    weights = {"good": (2.0, 1.0, 2.0)}
    found = compare(target, {"good": good, "bad": bad, "same": good}, weights, 5, 100, seed=1)
    assert {name: interval.value for name, interval in found.models["good"].items()} == (
        classification_report(target, good, (2.0, 1.0, 2.0))
    )
    assert list(found.models) == ["good", "bad", "same"]
    assert list(found.differences) == ["bad", "same"]
    assert found.differences["bad"]["log_loss"].high < 0
    assert found.differences["bad"]["macro_f1"].low > 0
    gap = found.models["good"]["mcc"].value - found.models["bad"]["mcc"].value
    assert found.differences["bad"]["mcc"].value == pytest.approx(gap)
    # What is the same on every redraw differs by nothing on every redraw: the pairs are kept.
    same = compare(target, {"good": good, "same": good}, {}, 5, 100, seed=1).differences["same"]
    assert set(same.values()) == {(0.0, 0.0, 0.0)}


@given(seed=st.integers(0, 10_000), rows=st.integers(2, 60), block=st.integers(1, 60))
def test_added_up_rows_score_as_the_redrawn_rows_do(seed: int, rows: int, block: int) -> None:
    target, said = random_forecasts(rows, seed)
    other, weights = random_forecasts(rows, seed + 1)[1], (2.0, 1.0, 3.0)
    block = min(block, rows)
    found = compare(target, {"one": said, "other": other}, {"one": weights}, block, 25, seed)
    reports = [
        (
            classification_report(target[index], said[index], weights),
            classification_report(target[index], other[index]),
        )
        for index in redraws(rows, block, 25, seed)
    ]
    for name in reports[0][0]:
        one = [report[name] for report, _ in reports]
        gap = [report[name] - against[name] for report, against in reports]
        assert found.models["one"][name][1:] == pytest.approx(np.quantile(one, [0.025, 0.975]))
        assert found.differences["other"][name][1:] == pytest.approx(
            np.quantile(gap, [0.025, 0.975]), abs=1e-9
        )


def test_a_quotient_of_sums_is_redrawn_with_both_its_sides() -> None:
    rng = np.random.default_rng(3)
    chosen, hit = rng.random(200) < 0.3, rng.random(200) < 0.6
    ratios = {
        "hits": ((chosen & hit).astype(float), chosen.astype(float)),
        "sure": (chosen.astype(float), chosen.astype(float)),
        "one row": (np.eye(200)[7], np.eye(200)[7]),
    }
    found = ratio_intervals(ratios, 10, 300, seed=2)
    shares = [hit[index][chosen[index]].mean() for index in redraws(200, 10, 300, seed=2)]
    assert found["hits"] == pytest.approx(
        (hit[chosen].mean(), *np.quantile(shares, [0.025, 0.975]))
    )
    assert found["sure"] == found["one row"] == pytest.approx((1, 1, 1))


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    target, model = calibrated_forecasts(600)
    near = 0.95 * model + 0.05 / 3
    found = compare(target, {"model": model, "near": near}, {}, 5, 200, seed=1)
    low, high = found.differences["near"]["log_loss"][1:]
    alone = found.models["near"]["log_loss"]
    assert high - low < (alone.high - alone.low) / 3


def test_effective_size_of_an_ar1_series_is_what_theory_says() -> None:
    series = ar1(np.random.default_rng(2), 100_000, 0.8)
    assert effective_size(series) / 100_000 == pytest.approx((1 - 0.8) / (1 + 0.8), rel=0.1)
    free = np.random.default_rng(2).normal(size=50_000)
    assert effective_size(free) / 50_000 == pytest.approx(1, rel=0.05)
    assert effective_size(np.full(10, 0.1)) == 10 and effective_size(np.empty(0)) == 0


def test_effective_size_of_hourly_returns_agrees_with_the_uniqueness_of_their_labels() -> None:
    chosen = LabelSettings(horizon_minutes=60, buy_above=0.008, sell_below=-0.004)
    table = label(synthetic_bars(40_000, seed=1), chosen, 5)
    found = samples(table, 10, 1)
    returns = table["forward_return"].to_numpy()[found.row]
    assert effective_size(returns) == pytest.approx(uniqueness(found).sum(), rel=0.25)


def test_a_block_covers_three_horizons_and_leaves_four_to_draw_from() -> None:
    assert block_rows(60, 1, 50_000) == 180
    assert block_rows(60, 7, 50_000) == 27
    assert block_rows(60, 120, 50_000) == 3
    assert block_rows(60, 1, 100) == 25
    assert block_rows(60, 1, 1) == 1


def test_what_cannot_be_redrawn_is_refused() -> None:
    with pytest.raises(ValueError, match="block of 11 rows does not fit 10"):
        intervals(lambda rows: {"n": float(len(rows))}, 10, 11, 5, 0)
    with pytest.raises(ValueError, match="two rounds and a level"):
        intervals(lambda rows: {"n": float(len(rows))}, 10, 2, 1, 0)
    with pytest.raises(ValueError, match="at least one model"):
        compare(np.array([1]), {}, {}, 1, 10, 0)


def test_progress_is_told() -> None:
    heard: list[int] = []
    intervals(
        lambda rows: {"n": 1.0},
        10,
        2,
        250,
        0,
        progress=lambda done, _total, _note: heard.append(done),
    )
    assert heard == [0, 100, 200, 250]
