"""The account's rules: what ends it, what it is counted from, and what comes after."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantgod.backtest import Backtest, backtest
from tests.backtest.markets import BUY, START, books, rows, settings

LIMITS = {
    "initial_balance": 10_000.0, "max_daily_loss": 0.05, "max_total_loss": 0.10,
    "profit_target": 0.10, "min_trading_days": 1,
}  # fmt: skip


def traded(mids: list[float], at: np.ndarray, signals: list[int], **limits: object) -> Backtest:
    """A unit of the whole balance for every signal, at prices around 100, held for long."""
    given = settings(notional=10_000.0, max_position=10_000.0, account=LIMITS | limits)
    scored = rows({int(at[0]): 1} | dict.fromkeys(signals, BUY))
    return backtest(scored, books(np.array(mids), minutes=at), given, 600, 1)


def ended(minute: int) -> str:
    return (START + pd.Timedelta(minutes=minute + 1)).isoformat()


def test_a_day_may_lose_its_share_and_no_more() -> None:
    kept = traded([100.0, 97.0, 95.01, 99.0], np.arange(4), [0])
    assert (kept.result.outcome, kept.result.ended_at) == ("open", None)
    lost = traded([100.0, 97.0, 94.99, 99.0], np.arange(4), [0])
    assert (lost.result.outcome, lost.result.ended_at) == ("daily_loss", ended(2))


@pytest.mark.parametrize("rule", ["daily", "total"])
def test_a_loss_of_exactly_the_limit_breaches_nothing(rule: str) -> None:
    balance = 8_192.0  # a power of two: shares of it are exact
    wide = {"initial_balance": balance, "max_daily_loss": 0.9, "max_total_loss": 0.9}
    mids, at = [100.0, 97.0, 95.0, 99.0], np.arange(4)
    lost = balance - traded(mids, at, [0], **wide).equity["equity"].min()
    for share, outcome in ((lost, "open"), (np.nextafter(lost, 0), f"{rule}_loss")):
        limits = wide | {f"max_{rule}_loss": float(share) / balance}
        assert traded(mids, at, [0], **limits).result.outcome == outcome


def test_a_breach_closes_at_that_minute_and_ends_the_account() -> None:
    mids = [100.0, 97.0, 90.5, 99.0, 120.0, 150.0]
    found = traded(mids, np.arange(6), [0, 3, 4])
    [trade] = found.trades.to_dict("records")
    assert (trade["reason"], trade["exit_mid"]) == ("daily_loss", pytest.approx(90.5))
    assert found.equity["equity"].iloc[2:].tolist() == pytest.approx([9050.0] * 4)
    assert not found.equity["position"].iloc[2:].any()
    assert found.result.net_pnl.value == pytest.approx(-950)


def test_the_total_loss_is_counted_from_the_first_balance_over_all_days() -> None:
    at = np.array([1438, 1439, 1440, 1441])
    found = traded([100.0, 96.0, 90.01, 89.99], at, [1438], max_daily_loss=0.5)
    assert (found.result.outcome, found.result.ended_at) == ("total_loss", ended(1441))


def test_a_day_begins_at_midnight_with_the_higher_of_balance_and_equity() -> None:
    at = np.array([1438, 1439, 1440, 1441])
    # The close of minute 1439 is midnight: its 108 is the day's start, and 103 is 5 % less.
    up = traded([100.0, 108.0, 103.5, 102.9], at, [1438])
    assert (up.result.outcome, up.result.ended_at) == ("daily_loss", ended(1441))
    # A position in the red keeps its balance of 10,000 as the day's start.
    down = traded([100.0, 97.0, 95.5, 94.9], at, [1438])
    assert (down.result.outcome, down.result.ended_at) == ("daily_loss", ended(1441))
    assert traded([100.0, 97.0, 95.5, 95.1], at, [1438]).result.outcome == "open"


def test_a_new_day_forgets_the_loss_of_the_day_before() -> None:
    at = np.arange(1430, 1450)
    mids = [100.0] + [96.0] * 9 + [96.0] * 4 + [92.0] * 6
    given = settings(
        notional=10_000.0, max_position=10_000.0, account=LIMITS | {"max_total_loss": 0.5}
    )
    scored = rows({1430: BUY, 1441: BUY})
    found = backtest(scored, books(np.array(mids), minutes=at), given, 5, 1)
    assert len(found.trades) == 2
    assert found.result.outcome == "open"  # 4 % and 4 %, though 8 % in ten minutes


def test_costs_count_as_losses() -> None:
    given = settings(notional=10_000.0, max_position=10_000.0, taker_fee=0.051, account=LIMITS)
    found = backtest(rows({0: BUY}), books(np.full(5, 100.0)), given, 3, 1)
    assert (found.result.outcome, found.result.ended_at) == ("daily_loss", ended(0))
    assert found.result.fees == pytest.approx(2 * 510)
    assert found.result.net_pnl.value == pytest.approx(-1020)


def test_an_order_under_way_lapses_with_the_account() -> None:
    at = np.arange(8)
    mids = np.array([100.0, 100.0, 100.0, 94.0, 94.0, 200.0, 200.0, 200.0])
    given = settings(
        notional=10_000.0, max_position=20_000.0, latency_ms=120_000, latencies_ms=(),
        account=LIMITS,
    )  # fmt: skip
    found = backtest(rows({0: BUY, 2: BUY}), books(mids, minutes=at), given, 5, 1)
    assert found.trades["exit_mid"].tolist() == pytest.approx([94.0])
    assert (found.result.lapsed, found.result.outcome) == (1, "daily_loss")


def test_the_target_is_realised_gains_on_enough_days_and_ends_nothing() -> None:
    at = np.arange(1430, 1460)
    mids = np.concatenate([[100.0], np.full(9, 112.0), np.full(20, 112.0)])
    given = settings(
        notional=10_000.0, max_position=10_000.0, account=LIMITS | {"min_trading_days": 2}
    )
    scored = rows({1430: BUY, 1445: BUY, 1454: BUY})
    found = backtest(scored, books(mids, minutes=at), given, 5, 1)
    # 12 % are realised at 1435; the second day with an entry begins with the one at 1445.
    assert (found.result.outcome, found.result.target_at) == ("target", ended(1445))
    assert (found.result.trading_days, found.result.ended_at) == (2, None)
    assert len(found.trades) == 3, "it goes on"
    early = settings(notional=10_000.0, max_position=10_000.0, account=LIMITS)
    assert backtest(scored, books(mids, minutes=at), early, 5, 1).result.target_at == ended(1435)


def test_a_gain_of_exactly_the_target_reaches_it() -> None:
    balance = 8_192.0  # a power of two: shares of it are exact
    wide = {"initial_balance": balance, "max_daily_loss": 0.9, "max_total_loss": 0.9}
    given = settings(notional=8_192.0, max_position=8_192.0, account=LIMITS | wide)
    market, scored = books(np.array([100.0, 107.0, 107.0, 107.0])), rows({0: BUY})
    gain = backtest(scored, market, given, 1, 1).equity["balance"].iloc[-1] - balance
    for target, outcome in ((gain, "target"), (np.nextafter(gain, 1e9), "open")):
        limits = LIMITS | wide | {"profit_target": float(target) / balance}
        given = settings(notional=8_192.0, max_position=8_192.0, account=limits)
        assert backtest(scored, market, given, 1, 1).result.outcome == outcome


def test_a_day_may_begin_with_the_second_minute() -> None:
    at = np.array([1439, 1440, 1441, 1442])  # the close of minute 1439 is midnight
    found = traded([100.0, 96.0, 92.0, 92.0], at, [1439])
    assert (found.result.outcome, found.result.ended_at) == ("daily_loss", ended(1441))
    kept = traded([100.0, 104.0, 99.5, 99.5], at, [1439])
    assert kept.result.outcome == "open"


def test_gains_that_are_not_realised_reach_no_target() -> None:
    found = traded([100.0, 112.0, 112.0, 105.0], np.arange(4), [0])
    assert (found.result.outcome, found.result.target_at) == ("open", None)


def test_a_breach_after_the_target_is_what_the_account_ends_with() -> None:
    mids = np.array([100.0, 112.0, 112.0, 112.0, 91.8, 91.8])
    given = settings(notional=10_000.0, max_position=10_000.0, account=LIMITS)
    found = backtest(rows({0: BUY, 3: BUY}), books(mids), given, 2, 1)
    assert found.result.target_at == ended(2)
    assert (found.result.outcome, found.result.ended_at) == ("daily_loss", ended(4))


def test_drawdown_is_a_share_of_the_highest_equity_so_far() -> None:
    found = traded([100.0, 104.0, 102.0, 103.0], np.arange(4), [0])
    shares = [0, 0, 200 / 10_400, 100 / 10_400]
    assert found.equity["drawdown"].tolist() == pytest.approx(shares, abs=1e-9)
    assert found.result.max_drawdown == pytest.approx(max(shares))
    assert found.result.average_drawdown == pytest.approx(np.mean(shares))
    below = traded([100.0, 98.0, 99.0, 99.0], np.arange(4), [0])
    assert below.equity["drawdown"].tolist() == pytest.approx([0, 0.02, 0.01, 0.01], abs=1e-9)


def test_what_the_first_minute_costs_is_a_drawdown_too() -> None:
    given = settings(taker_fee=0.01, account=LIMITS)
    found = backtest(rows({0: BUY}), books(np.full(5, 100.0)), given, 3, 1)
    assert found.equity["drawdown"].iloc[0] == pytest.approx(10 / 10_000)
