"""Labels against sums of returns taken minute by minute."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from quantgod.contracts import FEATURES, Target
from quantgod.dataset.labels import (
    LABEL_COLUMNS,
    classes_of,
    further_horizons,
    label,
    label_columns,
    summary,
)
from quantgod.settings import LabelSettings
from tests.dataset.broken_bars import (
    BRIDGE,
    FURTHER,
    LABEL,
    SEVERAL,
    broken_bars,
    whole_bars,
    without,
)
from tests.synthetic import synthetic_bars

RECORDING = Path(__file__).parents[3] / "shared" / "data" / "BTCUSD_1m_2018.csv.gz"
SHARES_OF_2018 = (0.2116, 0.6832, 0.1052)  # as measured: SELL, NEUTRAL, BUY
MINUTE = pd.Timedelta(minutes=1)


def summed_returns(bars: pd.DataFrame) -> dict[pd.Timestamp, float]:
    """The label's return of every minute that has one, summed row by row."""
    minutes = [moment.timestamp() // 60 for moment in bars.index]
    returns = bars["log_ret_close"].tolist()
    found = {}
    for start, minute in enumerate(minutes):
        total = []
        for later in range(start + 1, len(minutes)):
            if minutes[later] - minutes[later - 1] > BRIDGE + 1:
                break
            total.append(returns[later])
            if minutes[later] >= minute + 60:
                if minutes[later] == minute + 60:
                    found[bars.index[start]] = math.fsum(total)
                break
    return found


def same_label(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    columns = ["forward_return", "target", "label_end"]
    return one[columns].equals(other[columns])


@settings(max_examples=20)
@given(bars=broken_bars(minutes=400))
def test_the_label_is_the_sum_of_the_next_hours_returns(bars: pd.DataFrame) -> None:
    table = label(bars, LABEL, BRIDGE)
    expected = summed_returns(bars)
    labelled = table[table["target"] >= 0]
    assert list(labelled.index) == list(expected)
    error = labelled["forward_return"] - pd.Series(expected, index=labelled.index, dtype=float)
    assert (error.abs() <= 1e-12).all()
    assert (labelled["label_end"] == labelled.index + 60 * MINUTE).all()
    rest = table[table["target"] < 0]
    assert rest["forward_return"].isna().all() and rest["label_end"].isna().all()


@settings(max_examples=20)
@given(bars=broken_bars(minutes=400))
def test_each_of_several_horizons_is_labelled_as_if_it_were_alone(bars: pd.DataFrame) -> None:
    table = label(bars, SEVERAL, BRIDGE)
    assert further_horizons(table) == (90, 10)
    pd.testing.assert_frame_equal(table[list(LABEL_COLUMNS)], label(bars, LABEL, BRIDGE))
    for one in FURTHER:
        alone = label(bars, LabelSettings(**one.model_dump()), BRIDGE)
        for name, further in zip(
            LABEL_COLUMNS[-3:], label_columns(one.horizon_minutes), strict=True
        ):
            pd.testing.assert_series_equal(table[further], alone[name], check_names=False)


def test_horizons_are_a_target_nearest_first_and_no_two_are_equally_far() -> None:
    target = SEVERAL.target
    assert [horizon.steps for horizon in target.horizons] == [10, 60, 90]
    assert (target.horizons[target.primary].steps, target.longest, target.step) == (
        60,
        90,
        "minute",
    )
    assert target != LABEL.target
    twice = {**LABEL.model_dump(), "further": [LABEL.model_dump(exclude={"further"})]}
    with pytest.raises(ValidationError, match=r"horizons that differ expected, got \[60, 60\]"):
        LabelSettings.model_validate(twice)
    with pytest.raises(ValueError, match="rising horizons and one of them expected"):
        Target("minute", target.horizons[::-1], 0)
    with pytest.raises(ValueError, match="rising horizons and one of them expected"):
        Target("minute", target.horizons, 3)


@pytest.mark.parametrize("spoil", ["target_10", "forward_return_90", "label_end_10"])
def test_a_table_of_other_columns_is_no_labelled_table(spoil: str) -> None:
    table = label(whole_bars().iloc[:300], SEVERAL, BRIDGE)
    for wrong in (table.drop(columns=spoil), table.rename(columns={spoil: f"{spoil}_more"})):
        with pytest.raises(ValueError, match="three columns for each further horizon"):
            further_horizons(wrong)


def test_the_cuts_themselves_are_neutral() -> None:
    above, below = LABEL.buy_above, LABEL.sell_below
    returns = np.array([above, np.nextafter(above, 1), below, np.nextafter(below, -1), 0.0, np.nan])
    assert classes_of(returns, LABEL).tolist() == [1, 2, 1, 0, 1, -1]


def test_a_short_hole_is_bridged_and_a_long_one_ends_the_run() -> None:
    bars = whole_bars().iloc[:300]
    short = label(without(bars, np.arange(150, 150 + BRIDGE)), LABEL, BRIDGE)
    long = label(without(bars, np.arange(150, 151 + BRIDGE)), LABEL, BRIDGE)
    assert short["run"].unique().tolist() == [0]
    assert long["run"].unique().tolist() == [0, 1]
    # Only the minutes whose sixtieth follower is missing lose their label to a bridged hole.
    lost = short.index[:235][short["target"].to_numpy()[:235] < 0]
    assert list(lost) == list(bars.index[90 : 90 + BRIDGE])
    assert (long.loc[bars.index[90] : bars.index[149], "target"] == -1).all()


def test_a_day_keeps_its_last_hour_when_the_next_day_follows() -> None:
    bars = whole_bars()
    table = label(bars, LABEL, BRIDGE)
    last_hour = table.between_time("23:00", "23:59")
    assert (last_hour.iloc[:60]["target"] >= 0).all()
    assert (table["target"] >= 0).sum() == len(bars) - 60


@settings(max_examples=20)
@given(bars=broken_bars(minutes=2600))
def test_labelling_joined_days_equals_day_by_day_plus_the_joins(bars: pd.DataFrame) -> None:
    whole = label(bars, LABEL, BRIDGE)
    midnights = pd.date_range(bars.index[0].normalize(), bars.index[-1], freq="D")
    for midnight in midnights:
        day = whole[midnight : midnight + 1439 * MINUTE]
        alone = label(bars.loc[day.index], LABEL, BRIDGE)
        inner = slice(None, midnight + 1379 * MINUTE)
        assert same_label(day.loc[inner], alone.loc[inner])
        assert (alone["target"].loc[midnight + 1380 * MINUTE :] == -1).all()
        around = bars.loc[midnight - 60 * MINUTE : midnight + 59 * MINUTE]
        join = label(around, LABEL, BRIDGE)[: midnight - MINUTE]
        assert same_label(whole.loc[join.index], join)


@given(bars=broken_bars(), cut=st.integers(70, 1500), seed=st.integers(0, 9))
def test_nothing_after_the_cut_reaches_a_label_that_ends_before_it(
    bars: pd.DataFrame, cut: int, seed: int
) -> None:
    changed = bars.copy()
    noise = np.random.default_rng(seed).normal(size=(len(bars) - cut, bars.shape[1]))
    changed.iloc[cut:] = np.abs(changed.iloc[cut:] + noise) + 1.0
    ended = bars.index[:cut] + 60 * MINUTE <= bars.index[cut - 1]
    before = label(bars, LABEL, BRIDGE).iloc[:cut][ended]
    after = label(changed, LABEL, BRIDGE).iloc[:cut][ended]
    assert before.equals(after)
    assert before["forward_return"].to_numpy().tobytes() == (
        after["forward_return"].to_numpy().tobytes()
    )


def test_a_year_of_minutes_is_labelled_within_a_second() -> None:
    day = synthetic_bars(1440)
    index = pd.date_range("2023-01-01", periods=365 * 1440, freq="min", tz="UTC")
    year = pd.DataFrame(np.tile(day.to_numpy(), (365, 1)), index=index, columns=day.columns)
    began = time.perf_counter()
    label(year, LABEL, BRIDGE)
    assert time.perf_counter() - began < 1


@pytest.mark.skipif(not RECORDING.exists(), reason="the real recordings are not on this machine")
def test_a_year_of_real_prices_is_labelled_as_its_returns_say() -> None:
    names = ["ts", "open", "close", "high", "low", "volume"]
    prices = pd.read_csv(RECORDING, names=names)
    index = pd.DatetimeIndex(pd.to_datetime(prices["ts"], unit="ms", utc=True), name="datetime")
    close = prices["close"].to_numpy(np.float64)
    bars = pd.DataFrame(0.0, index=index, columns=list(FEATURES)).assign(close=close)
    bars["log_ret_close"] = np.log(close / np.concatenate([close[:1], close[:-1]]))
    table = label(bars, LABEL, BRIDGE)
    around_its_long_holes = bars.iloc[113_000:115_000]
    expected = pd.Series(summed_returns(around_its_long_holes))
    found = table.loc[expected.index, "forward_return"]
    assert np.allclose(found, expected, rtol=0, atol=1e-12)
    figures = summary(table)
    assert figures["runs"] == 24
    shares = [figures[f"share_{name}"] for name in ("sell", "neutral", "buy")]
    assert sum(shares) == pytest.approx(1)
    assert shares == pytest.approx(SHARES_OF_2018, abs=5e-4)


def test_the_summary_counts_what_the_table_holds() -> None:
    table = label(without(whole_bars(), np.arange(600, 620)), LABEL, BRIDGE)
    figures = summary(table)
    labelled = table[table["target"] >= 0]
    assert figures["rows"] == len(table) and figures["labelled"] == len(labelled)
    assert figures["share_buy"] == pytest.approx((labelled["forward_return"] > 0.008).mean())
    assert figures["forward_return_std"] == pytest.approx(labelled["forward_return"].std(ddof=0))
    assert summary(table.iloc[-10:])["labelled"] == 0
    assert tuple(table.columns) == LABEL_COLUMNS


SPOILT = {
    "no close": (lambda bars: bars.drop(columns="close"), "need the columns close"),
    "no zone": (lambda bars: bars.tz_localize(None), "UTC datetime index"),
    "other zone": (lambda bars: bars.tz_convert("Asia/Tokyo"), "UTC datetime index"),
    "back in time": (lambda bars: bars.iloc[[0, 2, 1]], "must rise strictly"),
    "twice": (lambda bars: bars.iloc[[0, 1, 1]], "must rise strictly"),
    "half a minute": (lambda bars: bars.shift(freq="30s"), "whole minute"),
    "nan": (lambda bars: bars.assign(close=np.nan), "close of 2024-01-01 23:00:00"),
    "infinite": (lambda bars: bars.assign(mean_obi=np.inf), "mean_obi of"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_what_are_no_minute_bars_is_refused(fault: str) -> None:
    spoil, message = SPOILT[fault]
    with pytest.raises(ValueError, match=message):
        label(spoil(whole_bars().iloc[:100]), LABEL, BRIDGE)


def test_no_bars_are_an_empty_table() -> None:
    table = label(whole_bars().iloc[:0], LABEL, BRIDGE)
    assert tuple(table.columns) == LABEL_COLUMNS and not len(table)
