"""The trades of the proof are what their rules make, one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantgod.backtest.performance import ratios
from quantgod.backtest.trading_power import Trader, gains, prove
from quantgod.evaluation.interval_power import DesignOutcome


def slow(minutes: int, seed: int) -> tuple[list[float], list[int]]:
    """Minute gains with mean waits of 40 minutes, and when each trade began."""
    rng, series, begun = np.random.default_rng(seed), [0.0] * minutes, []
    moment = int(rng.geometric(1 / 40))
    while moment + 60 <= minutes:
        begun.append(moment)
        for place, step in enumerate(rng.standard_t(4, 60)):
            series[moment + place] = step / math.sqrt(120) + 0.3 / 60 - 0.1 * (place == 0)
        moment += 60 + int(rng.geometric(1 / 40))
    return series, begun


@pytest.mark.parametrize("seed", range(5))
def test_trades_last_an_hour_and_begin_after_a_wait(seed: int) -> None:
    series, begun = slow(500, seed)
    found, trades = gains(Trader(500, 40), seed)
    assert found == pytest.approx(series) and trades == len(begun) > 1
    end = begun[-1] + 60  # a trade that ends with the last minute is one
    assert gains(Trader(end, 40), seed)[1] == trades
    assert gains(Trader(end - 1, 40), seed)[1] == trades - 1


def test_a_proof_is_of_the_mean_of_many_true_cases() -> None:
    trader = Trader(900, 40)
    drawn = [np.array(slow(900, 10**9 + seed)[0]) for seed in range(30)]
    total = np.mean([series.sum() for series in drawn])
    mean, squares = np.mean(drawn), np.mean(np.square(drawn))
    true = {"net": total, "sharpe": mean / math.sqrt(squares - mean**2) * math.sqrt(525_600)}
    made = [slow(900, seed) for seed in range(12)]
    met = [ratios(np.array(series), 60, len(begun)) for series, begun in made]
    trades = np.mean([len(begun) for _, begun in made])
    for found, (name, value) in zip(prove(trader, 12, 30), true.items(), strict=True):
        intervals = [getattr(one, name) for one in met]
        one = DesignOutcome.of("trades in 900 min", name, trades, intervals, value)
        assert (found.design, found.score, found.cases) == (one.design, name, 12)
        assert found.effective_rows == pytest.approx(trades)
        assert (found.judged, found.held) == (one.judged, pytest.approx(one.held))
        assert found.needed == pytest.approx(one.needed)
