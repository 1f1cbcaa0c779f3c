"""TA-Lib as the judge: each indicator over the very window in which it starts anew."""

from __future__ import annotations

import numpy as np
import pytest
import talib

from quantgod.served.features import indicator
from quantgod.served.rolling import MEMORY
from tests.served.features.markets import columns, ticks

ROWS = 520
MARKETS = {"smooth": columns(ROWS, seed=4), "on a grid, with bars that repeat": ticks(ROWS, seed=4)}


def wanted(market, end):
    every = [market[name] for name in indicator.NEEDS]
    whole_close = market["close"]
    returns = np.diff(np.log(whole_close))
    sigma = returns[end - 61 : end - 1].std(ddof=1)

    def sets(rows=MEMORY):
        """The rows that end before `end`: high, low, close, activity."""
        return tuple(series[end - rows : end] for series in every)

    high, low, close, activity = sets()
    price = close[-1]
    atr = {period: talib.ATR(high, low, close, period)[-1] for period in (14, 20, 60)}
    ema = {period: talib.EMA(close, period)[-1] for period in (9, 20, 50)}
    rsi = {period: talib.RSI(close, period)[-1] for period in (7, 14, 28)}
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    macd, _, histogram = talib.MACD(close, 12, 26, 9)
    slow_k, slow_d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    usual = activity[-20:].mean()
    walked = talib.TRANGE(high, low, close)[-14:].sum()
    yes = {
        **{f"ema_gap_{p}": (price - e) / (price * sigma * p**0.5) for p, e in ema.items()},
        "ema_cross": (ema[9] - ema[50]) / atr[14],
        "macd": macd[-1] / atr[14],
        "macd_hist": histogram[-1] / atr[14],
        "adx_14": talib.ADX(*sets(480)[:3], 14)[-1] / 100,
        "di_14": _di(high, low, close),
        "aroon_25": talib.AROONOSC(high, low, 25)[-1] / 100,
        "slope_20": talib.LINEARREG_SLOPE(close, 20)[-1] / atr[14],
        "kama_gap": (price - talib.KAMA(close, 10)[-1]) / atr[14],
        "dema_gap": (price - talib.DEMA(close, 20)[-1]) / atr[14],
        "trix_15": talib.TRIX(close, 15)[-1] / (100 * sigma),
        **{f"rsi_{period}": (found - 50) / 50 for period, found in rsi.items()},
        "stoch_k": (slow_k[-1] - 50) / 50,
        "stoch_d": (slow_d[-1] - 50) / 50,
        "stochrsi": (talib.STOCHRSI(sets(480)[2], 14, 14, 1, 0)[0][-1] - 50) / 50,
        "cci_20": talib.CCI(high, low, close, 20)[-1] / 200,
        "cmo_14": talib.CMO(close, 14)[-1] / 100,
        "ultosc": (talib.ULTOSC(high, low, close, 7, 14, 28)[-1] - 50) / 50,
        "tsf_gap": (price - talib.TSF(close, 14)[-1]) / atr[14],
        "rsi_move": (rsi[14] - talib.RSI(whole_close[end - 5 - MEMORY : end - 5], 14)[-1]) / 50,
        "bb_pos": (price - middle[-1]) / (upper[-1] - lower[-1]),
        "bb_width": np.log((upper - lower)[-1] / (upper - lower)[-60:].mean()),
        "atr_ratio": np.log(atr[14] / atr[60]),
        "keltner": (price - ema[20]) / (2 * atr[20]),
        "donchian": np.log((high[-20:].max() - low[-20:].min()) / atr[20]),
        "squeeze": np.log((upper - lower)[-1] / (4 * atr[20])),
        "chop_14": (100 * np.log(walked / (high[-14:].max() - low[-14:].min())) / np.log(14) - 50)
        / 50,
        "mfi_act": (talib.MFI(high, low, close, activity, 14)[-1] - 50) / 50,
        "cmf_act": np.diff(talib.AD(high, low, close, activity))[-20:].sum() / (20 * usual),
        "obv_act": talib.LINEARREG_SLOPE(talib.OBV(close, activity), 20)[-1] / usual,
        "vwap_gap": (price - np.average(close[-60:], weights=activity[-60:]))
        / (price * sigma * 60**0.5),
        "adosc_act": talib.ADOSC(high, low, close, activity, 3, 10)[-1] / usual,
        "force_act": talib.EMA(returns[end - 1 - MEMORY : end - 1] * activity, 13)[-1]
        / (sigma * usual),
    }
    assert yes.keys() == set(indicator.NAMES)
    return yes


def _di(high, low, close):
    plus, minus = talib.PLUS_DI(high, low, close, 14)[-1], talib.MINUS_DI(high, low, close, 14)[-1]
    return (plus - minus) / (plus + minus)


@pytest.fixture(scope="module", params=MARKETS)
def market(request):
    """A market, and what the indicators say of it."""
    given = MARKETS[request.param]
    return given, dict(zip(indicator.NAMES, indicator.compute(given).T, strict=True))


@pytest.mark.parametrize("end", [480, 481, 497, ROWS])
def test_every_indicator_agrees_with_talib(market, end):
    given, found = market
    expected = wanted(given, end)
    off = {name: abs(found[name][end - 1] - value) for name, value in expected.items()}
    assert {name: value for name, value in off.items() if not value < 1e-6} == {}


def named(market):
    """What the indicators say of a market's last minute."""
    return dict(zip(indicator.NAMES, indicator.compute(market)[-1], strict=True))


@pytest.mark.parametrize("factor", [0.97, 1.03])
@pytest.mark.parametrize("age", [12, 13, 14, 18, 19, 20, 24, 25, 26])
def test_an_extreme_is_seen_for_as_long_as_its_window_is(age, factor):
    market = {name: np.array(values) for name, values in MARKETS["smooth"].items()}
    for name in ("high", "low", "close"):
        market[name][-1 - age] *= factor
    found, expected = named(market), wanted(market, ROWS)
    for name in ("aroon_25", "stoch_k", "stoch_d", "donchian", "chop_14", "cci_20", "slope_20"):
        assert found[name] == pytest.approx(expected[name], abs=1e-6), name


@pytest.mark.parametrize("still", [27, 28, 29])
def test_an_oscillator_of_28_rows_is_neutral_once_all_of_them_stand_still(still):
    market = {name: np.array(values) for name, values in MARKETS["smooth"].items()}
    close = market["close"][-1 - still] = market["high"][-1 - still] - 0.001
    for name in ("high", "low", "close"):
        market[name][-still:] = close
    high, low, before = (
        market[n][-1 - still - p] for n, p in (("high", 0), ("low", 0), ("close", 1))
    )
    bottom = min(low, before)
    share = (close - bottom) / (max(high, before) - bottom)
    moved = 100 * share / 7 if still == 27 else 50
    assert named(market)["ultosc"] == pytest.approx((moved - 50) / 50)


def test_the_strength_of_a_trend_is_wilders_average_of_its_balance():
    found = indicator._trend_strength(*(MARKETS["smooth"][n] for n in ("high", "low", "close")))
    balance = np.abs(found["di_14"][-MEMORY:]).tolist()
    expected = sum(balance[:14]) / 14
    for value in balance[14:]:
        expected += (value - expected) / 14
    assert found["adx_14"][-1] == pytest.approx(expected, abs=1e-12)
