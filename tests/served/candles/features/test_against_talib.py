"""TA-Lib as the judge: each indicator over the very window in which it starts anew."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import talib

from quantgod.served.candles.features import averages, momentum, volatility, volume
from quantgod.served.rolling import MEMORY
from tests.served.candles.features.markets import PRICES, smooth, ticks

ROWS = 420
MARKETS = {"smooth": smooth(ROWS, seed=4), "ticks": ticks(ROWS, seed=4)}
ENDS = (MEMORY + 13, MEMORY + 14, 301, ROWS - 40, ROWS)


class Past:
    """The rows of a market before `end`, and what many figures need of them."""

    def __init__(self, market, end):
        self._market = {name: values[:end] for name, values in market.items()}
        self.price = self._market["close"][-1]
        self.returns = np.diff(np.log(self._market["close"]))
        self.sigma = max(self.returns[-30:].std(ddof=1), 1e-5)
        self.atr = {n: talib.ATR(*self.last(MEMORY)[1:4], n)[-1] for n in (14, 20, 60)}

    def last(self, rows, ago=0):
        """Open, high, low, close and volume of so many rows, of which the newest is `ago` old."""
        stop = len(self._market["close"]) - ago
        return [self._market[name][stop - rows : stop] for name in (*PRICES, "volume")]

    def close(self, rows=MEMORY, ago=0):
        return self.last(rows, ago)[3]


def averages_of(past):
    close = past.close()
    unit = {n: past.sigma * n**0.5 for n in (1, 5, *averages.PERIODS)}
    simple = {n: talib.SMA(close, n)[-1] for n in averages.PERIODS}
    smoothed = {n: talib.EMA(close, n)[-1] for n in averages.PERIODS}
    macd, signal, histogram = (line[-1] for line in talib.MACD(close, 12, 26, 9))
    order = [simple[n] for n in averages.PERIODS]
    rows = {f"sma_gap_{n}": np.log(past.price / each) / unit[n] for n, each in simple.items()}
    rows |= {f"ema_gap_{n}": np.log(past.price / each) / unit[n] for n, each in smoothed.items()}
    for a, b in averages.SIMPLE_CROSSES:
        rows[f"sma_cross_{a}_{b}"] = np.log(simple[a] / simple[b]) / unit[b]
    for a, b in averages.CROSSES:
        rows[f"ema_cross_{a}_{b}"] = np.log(smoothed[a] / smoothed[b]) / unit[b]
    for n in averages.SLOPES:
        rows[f"sma_slope_{n}"] = (
            np.log(simple[n] / talib.SMA(past.close(n, ago=5), n)[-1]) / unit[5]
        )
    return rows | {
        "macd": macd / past.atr[14],
        "macd_signal": signal / past.atr[14],
        "macd_hist": histogram / past.atr[14],
        "stacked": np.mean([np.sign(a - b) for a, b in pairwise(order)]),
        "kama_gap": (past.price - talib.KAMA(close, 10)[-1]) / (past.price * past.sigma),
        "dema_gap": (past.price - talib.DEMA(close, 20)[-1]) / (past.price * past.sigma),
        "tema_gap": (past.price - talib.TEMA(close, 20)[-1]) / (past.price * past.sigma),
    }


def momentum_of(past):
    _, high, low, close, _ = past.last(MEMORY)
    slow, slower = (line[-1] for line in talib.STOCH(high, low, close, 14, 3, 0, 3, 0))
    strong = [talib.RSI(past.close(ago=age), 14)[-1] for age in range(14)]
    return {
        **{f"rsi_{n}": talib.RSI(close, n)[-1] / 50 - 1 for n in momentum.STRENGTHS},
        "rsi_move": (strong[0] - strong[5]) / 50,
        "stochrsi": 2 * (strong[0] - min(strong)) / (max(strong) - min(strong)) - 1,
        "stoch_k": slow / 50 - 1,
        "stoch_d": slower / 50 - 1,
        "willr_14": talib.WILLR(high, low, close, 14)[-1] / 50 + 1,
        **{
            f"roc_{n}": talib.ROC(close, n)[-1] / (100 * past.sigma * n**0.5)
            for n in momentum.RATES
        },
        "cci_20": talib.CCI(high, low, close, 20)[-1] / 200,
        "adx_14": _strength(past),
        "di_14": _direction(past, 0),
        "aroon_25": talib.AROONOSC(high, low, 25)[-1] / 100,
        "ultosc": talib.ULTOSC(high, low, close, 7, 14, 28)[-1] / 50 - 1,
        "trix_15": talib.TRIX(close, 15)[-1] / (100 * past.sigma),
    }


def _direction(past, ago):
    """The balance of the directional indicators, which look back half of all rows."""
    _, high, low, close, _ = past.last(momentum.HALF, ago)
    plus, minus = (one(high, low, close, 14)[-1] for one in (talib.PLUS_DI, talib.MINUS_DI))
    return (plus - minus) / (plus + minus)


def _strength(past):
    """Wilder's average of that balance: TA-Lib's ATR of ranges that are as wide."""
    wide = np.abs([_direction(past, ago) for ago in range(momentum.HALF)][::-1])
    none = np.zeros(momentum.HALF + 1)
    return talib.ATR(np.concatenate([[0], wide]), none, none, 14)[-1]


def volatility_of(past):
    opening, high, low, close, _ = past.last(MEMORY)
    spread = {n: past.returns[-n:].std(ddof=1) for n in (5, 20, 30, 60, 120, 200)}
    bands = {n: talib.BBANDS(close, n, 2.0, 2.0) for n in (20, 50)}
    upper, _, lower = bands[20]
    width = (upper - lower) / close
    square = past.returns[-MEMORY + 1] ** 2
    for value in past.returns[-MEMORY + 2 :]:
        square += 0.06 * (value**2 - square)
    ranked = [past.returns[-20 - age :][:20].std(ddof=1) for age in range(200)]
    walked = talib.TRANGE(high, low, close)[-14:].sum()
    tall = high[-14:].max() - low[-14:].min()
    recent, size = past.returns[-30:], np.abs(past.returns)
    bipower = np.pi / 2 * 30 / 29 * (size[-29:] * size[-30:-1]).sum()
    return {
        **{f"vol_{a}_{b}": np.log(spread[a] / spread[b]) for a, b in volatility.RATIOS},
        "vol_level": 10 * spread[30],
        "vol_rank": np.mean([np.sign(ranked[0] - each) for each in ranked]),
        "ewma_vol": np.log(square**0.5 / spread[60]),
        **_by_ranges(*(np.log(each[-21:]) for each in (opening, high, low, close)), spread[20]),
        "atr_ratio": np.log(past.atr[14] / past.atr[60]),
        "natr": np.log(talib.NATR(high, low, close, 14)[-1] / 100 / spread[30]),
        **{
            f"bb_pos_{n}": (past.price - middle[-1]) / (top[-1] - bottom[-1])
            for n, (top, middle, bottom) in bands.items()
        },
        "bb_width": np.log(width[-1] / width[-60:].mean()),
        "keltner": (past.price - talib.EMA(close, 20)[-1]) / (2 * past.atr[20]),
        "donchian": np.log((high[-20:].max() - low[-20:].min()) / past.atr[20]),
        "squeeze": np.log((upper - lower)[-1] / (4 * past.atr[20])),
        "chop_14": 2 * np.log(walked / tall) / np.log(14) - 1,
        "vol_of_vol": size[-20:].std(ddof=1) / size[-20:].mean(),
        "downside_30": -(recent * np.abs(recent)).sum() / np.square(recent).sum(),
        "jump_30": 1 - bipower / np.square(recent).sum(),
        "vol_ac_60": _autocorrelation(size[-60:], 1),
        "leverage_60": np.corrcoef(past.returns[-61:-1], size[-60:])[0, 1],
    }


def _by_ranges(opening, high, low, close, usual):
    """Volatility by the ranges of 20 candles after a first one; all are logarithms of prices."""
    overnight = opening[1:] - close[:-1]
    opening, high, low, close = (each[1:] for each in (opening, high, low, close))
    klass = (high - low) ** 2 / 2 - (2 * np.log(2) - 1) * (close - opening) ** 2
    rogers = (high - close) * (high - opening) + (low - close) * (low - opening)
    k = 0.34 / (1.34 + 21 / 19)
    yang = overnight.var(ddof=1) + k * (close - opening).var(ddof=1) + (1 - k) * rogers.mean()
    squares = {
        "parkinson_20": ((high - low) ** 2).mean() / (4 * np.log(2)),
        "garman_20": klass.mean(),
        "rogers_20": rogers.mean(),
        "yang_20": yang,
    }
    return {name: np.log(square**0.5 / usual) for name, square in squares.items()}


def _autocorrelation(values, lag):
    away = values - values.mean()
    return (away[lag:] * away[:-lag]).sum() / (away**2).sum()


def volume_of(past):
    _, high, low, close, traded = past.last(60)
    usual, earlier = traded[-20:].mean(), traded[-21:-1]
    unit = close[-1] * past.sigma
    trend = np.concatenate([[0], np.cumsum(past.returns[-59:] * traded[1:])])
    return {
        "volume_rel": np.clip(np.log(max(traded[-1], 1e-9) / usual), -np.log(1e3), np.log(1e3)),
        "volume_5_20": np.log(traded[-5:].mean() / usual),
        "volume_20_60": np.log(usual / traded.mean()),
        "volume_z": (traded[-1] - earlier.mean()) / earlier.std(ddof=1),
        "volume_breakout": float(traded[-1] > 2 * earlier.mean()),
        "obv": talib.LINEARREG_SLOPE(talib.OBV(close, traded), 20)[-1] / usual,
        "vpt": talib.LINEARREG_SLOPE(trend, 20)[-1] / (usual * past.sigma),
        "mfi_14": talib.MFI(high, low, close, traded, 14)[-1] / 50 - 1,
        "cmf_20": np.diff(talib.AD(high, low, close, traded))[-20:].sum() / (20 * usual),
        "vwap_gap": (close[-1] - np.average(close[-20:], weights=traded[-20:])) / unit,
    }


FAMILIES = {
    averages: averages_of, momentum: momentum_of, volatility: volatility_of, volume: volume_of,
}  # fmt: skip


@pytest.mark.parametrize("form", MARKETS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.split(".")[-1])
def test_every_figure_is_that_of_talib_or_of_its_formula(family, form):
    found = family.compute(MARKETS[form])
    for end in ENDS:
        expected = FAMILIES[family](Past(MARKETS[form], end))
        assert expected.keys() == set(family.NAMES)
        said = dict(zip(family.NAMES, found[end - 1], strict=True))
        off = {name: (said[name], value) for name, value in expected.items()
               if not abs(said[name] - value) < 1e-6}  # fmt: skip
        assert off == {}, end


def test_an_rsi_that_only_fades_has_no_place_in_its_range():
    market = {name: np.array(values) for name, values in MARKETS["smooth"].items()}
    for name in PRICES:
        market[name][-20:] = market["close"][-21]
    place = momentum.NAMES.index("stochrsi")
    found = momentum.compute(market)[-20:, place]
    assert (found[:12] != 0).all()
    assert (found[12:] == 0).all()


def test_averages_begin_as_those_of_talib_do():
    """Of prices that fell so far that the oldest weigh as much as the newest in every average."""
    close = smooth(MEMORY, seed=7)["close"] * 1.085 ** np.arange(MEMORY)[::-1]
    double, triple = averages._multiple()
    assert double @ close == pytest.approx(talib.DEMA(close, 20)[-1], rel=1e-9)
    assert triple @ close == pytest.approx(talib.TEMA(close, 20)[-1], rel=1e-9)
