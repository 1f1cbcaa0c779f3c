"""Books, fees and fills worked out by hand, to the cent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantgod.backtest import Backtest, Books, backtest
from tests.backtest.markets import (
    BUY,
    MINUTE_MS,
    NEUTRAL,
    SELL,
    START,
    START_MS,
    books,
    rows,
    settings,
)


def minute(number: float) -> pd.Timestamp:
    """That many minutes after the first book's minute began."""
    return START + pd.Timedelta(minutes=number)


def trades_of(found: Backtest) -> list[dict[str, object]]:
    return found.trades.to_dict("records")


def test_a_trade_walks_the_book_and_pays_to_the_cent() -> None:
    levels = np.array(
        [  # bids, asks: price and size
            [[[99.0, 5.0], [98.0, 9.0]], [[100.0, 4.0], [101.0, 9.0]]],
            [[[99.0, 5.0], [98.0, 9.0]], [[101.0, 4.0], [102.0, 9.0]]],
            [[[109.0, 3.0], [107.0, 9.0]], [[111.0, 4.0], [112.0, 9.0]]],
        ]
    )
    walked = Books(START_MS + MINUTE_MS * np.arange(1, 4), levels)
    given = settings(notional=1000.0, taker_fee=0.001)
    found = backtest(rows({0: BUY}), walked, given, horizon_minutes=2, trials=1)
    [trade] = trades_of(found)
    # 1000 / 100 = 10 wanted: 4 at 100 and 6 at 101 cost 1006; 3 at 109 and 7 at 107 give 1076.
    assert trade["quantity"] == 10
    assert trade["entry_price"] == pytest.approx(100.6)
    assert trade["exit_price"] == pytest.approx(107.6)
    assert trade["gross"] == pytest.approx(10 * (110 - 99.5))
    assert trade["slippage"] == pytest.approx(10 * (100.6 - 99.5) + 10 * (110 - 107.6))
    assert trade["fees"] == pytest.approx(1.006 + 1.076)
    assert trade["net"] == pytest.approx(70 - 2.082)
    assert trade["turnover"] == pytest.approx(1006 + 1076)
    assert found.result.net_pnl.value == pytest.approx(67.918)
    assert found.equity["equity"].iloc[1] == pytest.approx(10_000 - 1.006 + 10 * (100 - 100.6))
    assert found.equity["balance"].tolist() == pytest.approx([9998.994, 9998.994, 10_067.918])
    assert found.equity["position"].tolist() == [10, 10, 0]
    assert found.result.exposure == pytest.approx(2 / 3)


def test_a_short_sells_at_the_bid_and_buys_back_at_the_ask() -> None:
    given = settings(taker_fee=0.01)
    mids = np.array([100.0, 100.0, 80.0])
    found = backtest(rows({0: SELL}), books(mids, half_spread=1.0), given, 2, 1)
    [trade] = trades_of(found)
    quantity = 1000 / 99
    assert trade["quantity"] == pytest.approx(quantity)
    assert trade["net"] == pytest.approx(quantity * (99 - 81) - 0.01 * quantity * (99 + 81))
    assert trade["gross"] == pytest.approx(quantity * 20)
    assert found.equity["position"].tolist() == pytest.approx([-quantity, -quantity, 0])
    assert found.result.exposure == pytest.approx(2 / 3)


def test_what_the_book_has_not_is_dropped_at_the_entry_and_sold_low_at_the_exit() -> None:
    levels = np.array(
        [
            [[[99.0, 5.0], [98.0, 9.0]], [[100.0, 4.0], [101.0, 4.0]]],
            [[[99.0, 5.0], [98.0, 1.0]], [[101.0, 4.0], [102.0, 9.0]]],
        ]
    )
    thin = Books(START_MS + MINUTE_MS * np.arange(1, 3), levels)
    found = backtest(rows({0: BUY}), thin, settings(), 1, 1)
    [trade] = trades_of(found)
    assert trade["quantity"] == 8  # of 10
    assert trade["exit_price"] == pytest.approx((5 * 99 + 1 * 98 + 2 * 98) / 8)
    assert (found.result.partial, found.result.thin_exits) == (1, 1)


def test_orders_of_one_moment_share_a_book() -> None:
    levels = np.empty((4, 2, 2, 2))
    levels[:] = [[[99.0, 10.0], [90.0, 90.0]], [[101.0, 10.0], [110.0, 90.0]]]
    shared = Books(START_MS + MINUTE_MS * np.arange(1, 5), levels)
    given = settings(notional=990.0)
    found = backtest(rows({0: BUY, 1: SELL}), shared, given, 2, 1)
    first, second = trades_of(found)
    # The exit takes 990 / 101 of the 10 at 99; the 10 that the short sells begin with the rest.
    rest = 10 - 990 / 101
    assert (first["reason"], first["exit_price"]) == ("opposite", pytest.approx(99))
    assert second["quantity"] == pytest.approx(10)
    assert second["entry_price"] == pytest.approx((rest * 99 + (10 - rest) * 90) / 10)


def test_a_latency_meets_the_next_book_and_the_drift_tells_what_it_cost() -> None:
    mids = np.array([100.0, 104.0, 100.0, 110.0, 107.0, 100.0])
    for latency, first, last in ((0, 0, 3), (1, 1, 4), (60_000, 1, 4), (60_001, 2, 5)):
        found = backtest(
            rows({0: BUY}), books(mids), settings(latency_ms=latency, latencies_ms=()), 3, 1
        )
        [trade] = trades_of(found)
        assert (trade["signal_time"], trade["latency_ms"]) == (minute(1), latency)
        assert (trade["entry_time"], trade["exit_time"]) == (minute(first + 1), minute(last + 1))
        assert trade["entry_mid"], trade["exit_mid"] == (mids[first], mids[last])
        held = trade["quantity"]
        assert trade["gross"] == pytest.approx(held * (mids[last] - mids[first]))
        drift = held * ((mids[first] - mids[0]) - (mids[last] - mids[3]))
        assert trade["drift"] == pytest.approx(drift)
        assert found.result.drift == pytest.approx(drift)


def test_funding_is_paid_at_its_stamps_for_what_was_held_just_before() -> None:
    # 07:57, ... : the close of 07:59 is the stamp.
    at = np.arange(477, 485)
    mids = np.array([100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0, 107.0])
    given = settings(funding_rate=0.001)

    def funding(action: int, when: int, horizon: int = 5) -> float:
        scored = rows({477: NEUTRAL, when: action})
        return backtest(scored, books(mids, minutes=at), given, horizon, 1).result.funding

    assert funding(BUY, 477) == pytest.approx(0.001 * 10 * 102)
    assert funding(SELL, 477) == pytest.approx(-0.001 * 10 * 102)
    assert funding(BUY, 479) == 0, "bought at the stamp itself"
    assert funding(BUY, 477, horizon=2) == pytest.approx(0.001 * 10 * 102), "sold at the stamp"
    assert funding(BUY, 477, horizon=1) == 0
    assert funding(BUY, 480) == 0


def test_funding_within_a_hole_is_of_the_last_known_price() -> None:
    at = np.array([477, 478, 481, 482, 483])
    mids = np.array([100.0, 101.0, 200.0, 200.0, 200.0])
    found = backtest(rows({477: BUY}), books(mids, minutes=at), settings(funding_rate=0.001), 5, 1)
    assert found.result.funding == pytest.approx(0.001 * 10 * 101)


def test_the_opposite_signal_closes_all_units_and_opens_one_the_other_way() -> None:
    given = settings(notional=1000.0, max_position=2500.0)
    scored = rows({0: BUY, 1: BUY, 2: BUY, 3: SELL, 4: NEUTRAL})
    found = backtest(scored, books(np.full(12, 100.0)), given, 5, 1)
    assert found.result.ignored == 1
    assert found.trades["side"].tolist() == [1, 1, -1]
    assert found.trades["reason"].tolist() == ["opposite", "opposite", "horizon"]
    assert found.trades["exit_time"].tolist() == [minute(4), minute(4), minute(9)]
    assert found.equity["position"].iloc[:5].tolist() == pytest.approx([10, 20, 20, -10, -10])


def test_units_of_one_side_leave_each_at_its_own_horizon() -> None:
    given = settings(notional=1000.0, max_position=2000.0)
    found = backtest(rows({0: BUY, 2: BUY}), books(np.full(12, 100.0)), given, 5, 1)
    assert found.trades["exit_time"].tolist() == [minute(6), minute(8)]
    assert set(found.trades["reason"]) == {"horizon"}


@pytest.mark.parametrize(("latency_ms", "met"), [(0, 50.0), (250, 40.0)])
def test_a_position_is_held_through_a_hole_that_nobody_could_foresee(
    latency_ms: int, met: float
) -> None:
    at = np.array([0, 1, 2, 3, 10, 11, 12, 13, 14])
    mids = np.array([100.0, 101.0, 102.0, 103.0, 50.0, 40.0, 40.0, 40.0, 40.0])
    given = settings(latency_ms=latency_ms, latencies_ms=())
    found = backtest(rows({0: BUY}), books(mids, minutes=at), given, 5, 1)
    [trade] = trades_of(found)
    assert (trade["reason"], trade["exit_mid"]) == ("horizon", pytest.approx(met))


def test_an_exit_told_at_the_last_close_before_a_hole_meets_the_first_book_after_it() -> None:
    at = np.array([0, 1, 2, 10, 11, 12, 13])
    mids = np.array([100.0, 101.0, 102.0, 50.0, 40.0, 40.0, 40.0])
    given = settings(latency_ms=250, latencies_ms=())
    found = backtest(rows({0: BUY, 2: BUY}), books(mids, minutes=at), given, 2, 1)
    [trade] = trades_of(found)
    assert (trade["reason"], trade["exit_mid"]) == ("horizon", pytest.approx(50))
    assert found.result.lapsed == 1, "the entry would have had to wait longer than the horizon"


def test_a_hole_within_the_horizon_is_waited_out() -> None:
    at = np.array([0, 1, 5, 6, 7, 8, 9])
    mids = np.array([100.0, 101.0, 105.0, 106.0, 107.0, 108.0, 109.0])
    given = settings(latency_ms=1000, latencies_ms=())
    found = backtest(rows({0: BUY, 1: SELL}), books(mids, minutes=at), given, 4, 1)
    first, second = trades_of(found)
    assert (first["entry_mid"], first["exit_mid"]) == (pytest.approx(101), pytest.approx(105))
    assert (second["entry_mid"], second["exit_mid"]) == (pytest.approx(105), pytest.approx(106))
    assert second["exit_time"] == minute(7), "its time was up at the close of minute 5"


def test_an_entry_that_would_wait_longer_than_the_horizon_lapses() -> None:
    at = np.array([0, 1, 5, 6, 7, 8, 9])
    given = settings(latency_ms=60_001, latencies_ms=())
    found = backtest(rows({0: BUY}), books(np.full(7, 100.0), minutes=at), given, 4, 1)
    assert (found.result.trades, found.result.lapsed) == (0, 1)
    assert found.result.net_pnl.value == 0


def test_a_position_at_the_end_of_the_books_is_closed_at_the_last() -> None:
    mids = np.array([100.0, 110.0, 120.0])
    given = settings(latency_ms=250, latencies_ms=())
    found = backtest(rows({0: BUY}), books(mids), given, 60, 1)
    [trade] = trades_of(found)
    assert (trade["reason"], trade["exit_mid"]) == ("end", pytest.approx(120))
    assert found.equity["position"].iloc[-1] == 0


def test_sessions_are_those_of_the_entry() -> None:
    at = np.arange(470, 490)
    found = backtest(
        rows({477: BUY, 479: BUY}),
        books(100.0 + np.arange(20), minutes=at),
        settings(max_position=2000.0),
        5,
        1,
    )
    first, second = found.trades["net"].tolist()
    assert found.result.by_session == pytest.approx(
        {"Tokyo": first, "London": second, "New York": 0.0}
    )


def test_a_limit_that_no_position_keeps_is_refused() -> None:
    with pytest.raises(ValueError, match="max_position is at least notional"):
        settings(notional=1000.0, max_position=999.0)


def test_a_hit_is_a_trade_that_gains_and_no_trade_that_merely_loses_nothing() -> None:
    market = books(np.array([100.0, 102, 110, 112, 112, 110, 108, 108]), half_spread=1.0)
    given = settings(notional=1110.0, max_position=1110.0)
    even = backtest(rows({0: BUY, 2: BUY, 5: BUY}), market, given, 1, 1)
    assert even.trades["net"].tolist() == pytest.approx([0, 0, -40])
    assert (even.result.hit_rate, even.result.profit_factor) == (0.0, 0.0)
    won = backtest(rows({1: BUY, 5: BUY}), market, given, 1, 1)
    gain, loss = won.trades["net"].tolist()
    assert (won.result.hit_rate, gain > 0) == (0.5, True)
    assert won.result.profit_factor == pytest.approx(gain / -loss)


def test_gains_and_losses_of_cents_count_as_any_others() -> None:
    mids = np.array([100.0, 100.5, 100.5, 100.25, 100.25, 100.25, 99.0])
    given = settings(notional=100.0, max_position=100.0)
    found = backtest(rows({0: BUY, 2: BUY, 4: SELL}), books(mids), given, 1, 1)
    gain, loss, none = found.trades["net"]
    assert (gain, loss, none) == pytest.approx((0.5, -0.25, 0), abs=0.01)
    assert found.result.hit_rate in (1 / 3, 2 / 3)
    assert found.result.profit_factor == pytest.approx(gain / -loss, rel=1e-6)


def test_a_position_of_one_is_a_position() -> None:
    market = books(np.array([64.0, 64.0, 64.0, 65.0, 65.0, 65.0]), half_spread=0.5)
    given = settings(notional=64.5, max_position=64.5)
    found = backtest(rows({0: BUY, 3: SELL}), market, given, 1, 1)
    assert found.equity["position"].tolist() == [1, 0, 0, -1, 0, 0]
    assert found.result.exposure == pytest.approx(2 / 6)


def test_funding_within_a_hole_after_the_first_minute_is_paid_too() -> None:
    at = np.array([478, 482, 483, 484, 485])  # 07:59 is the stamp, and no minute's close
    mids = np.array([100.0, 200.0, 200.0, 200.0, 200.0])
    found = backtest(rows({478: BUY}), books(mids, minutes=at), settings(funding_rate=0.001), 5, 1)
    assert found.result.funding == pytest.approx(0.001 * 10 * 100)
