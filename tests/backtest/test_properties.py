"""What must hold of any signal on any market."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from quantgod.backtest import Backtest, Books, backtest
from quantgod.backtest.signals import may_order, venue_of
from quantgod.settings import BacktestSettings
from tests.backtest.markets import (
    BUY,
    MINUTE_MS,
    NEUTRAL,
    SELL,
    START_MS,
    books,
    rows,
    settings,
    walk,
)

HORIZON = 20
COSTLY = {"taker_fee": 0.0005, "funding_rate": 0.0003, "funding_hours": 1}
seeds = st.integers(0, 2**32)


def random_actions(seed: int, minutes: int, busy: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice([SELL, NEUTRAL, BUY], minutes, p=[busy / 2, 1 - busy, busy / 2])


def traded(
    actions: np.ndarray, market: Books, given_settings: BacktestSettings | None = None
) -> Backtest:
    return backtest(rows(actions), market, given_settings or settings(**COSTLY), HORIZON, 1)


@given(seeds, st.sampled_from([0, 250, 60_000, 90_000]), st.integers(1, 3))
@hypothesis_settings(max_examples=25)
def test_what_is_gained_between_mids_less_all_costs_is_what_the_account_gains(
    seed: int, latency_ms: int, units: int
) -> None:
    rng = np.random.default_rng(seed)
    market = books(walk(400, seed), half_spread=0.05, size=float(rng.choice([3.0, 1e9])))
    given_settings = settings(
        latency_ms=latency_ms, latencies_ms=(latency_ms, 0), max_position=1000.0 * units, **COSTLY
    )
    found = traded(random_actions(seed, 300), market, given_settings)
    result, trades = found.result, found.trades
    costs = result.slippage + result.fees + result.funding
    net = result.net_pnl.value
    assert result.gross_pnl - costs == pytest.approx(net, abs=1e-8)
    assert trades["net"].sum() == pytest.approx(net, abs=1e-8)
    assert found.equity["equity"].iloc[-1] == pytest.approx(10_000 + net)
    assert found.equity["balance"].iloc[-1] == found.equity["equity"].iloc[-1]
    assert sum(result.by_session.values()) == pytest.approx(net, abs=1e-8)
    assert result.by_latency[str(latency_ms)] == pytest.approx(net, abs=1e-8)
    moved = trades["quantity"] * (trades["exit_price"] - trades["entry_price"]) * trades["side"]
    assert (moved - trades["fees"] - trades["funding"]).sum() == pytest.approx(net, abs=1e-8)
    assert (trades["slippage"] > 0).all()


@given(seeds)
@hypothesis_settings(max_examples=6)
def test_nobody_gains_more_than_who_sees_the_future(seed: int) -> None:
    """A decision every horizon is a choice of three that touches no other: the best bounds all."""
    market = books(walk(10 * HORIZON + 1, seed, 0.003), half_spread=0.05)
    decisions = np.arange(0, 10 * HORIZON, HORIZON)

    def net_of(actions: np.ndarray) -> np.ndarray:
        said = np.full(10 * HORIZON, NEUTRAL)
        said[decisions] = actions
        found = traded(said, market)
        gains = np.zeros(len(decisions))
        known = found.trades["signal_time"].dt.as_unit("ms").astype(np.int64)
        gains[(known - market.time_ms[0]) // MINUTE_MS // HORIZON] = found.trades["net"]
        assert gains.sum() == pytest.approx(found.result.net_pnl.value, abs=1e-8)
        return gains

    each = np.stack([net_of(np.full(10, action)) for action in (SELL, NEUTRAL, BUY)])
    foresight = net_of(each.argmax(axis=0)).sum()
    assert foresight == pytest.approx(each.max(axis=0).sum(), abs=1e-8)
    rng = np.random.default_rng(seed)
    for _ in range(10):
        assert net_of(rng.integers(0, 3, 10)).sum() <= foresight + 1e-8
    # And nobody gains more between mids than was moved.
    mid = market.mid
    most = 1000 / mid.min() * np.abs(np.diff(mid)).sum()
    busy = traded(random_actions(seed, 10 * HORIZON, 0.9), market)
    assert abs(busy.result.gross_pnl) <= most


def test_on_a_null_market_signals_lose_their_costs() -> None:
    gross, net, costs = [], [], []
    for seed in range(60):
        market = books(walk(1500, seed), half_spread=0.02)
        result = traded(random_actions(1000 + seed, 1400, 0.05), market).result
        gross.append(result.gross_pnl)
        net.append(result.net_pnl.value)
        costs.append(result.fees + result.slippage + result.funding)
    error = np.std(gross, ddof=1) / np.sqrt(len(gross))
    assert abs(np.mean(gross)) < 3 * error
    assert abs(np.mean(net) + np.mean(costs)) < 3 * error
    assert np.mean(net) < -5 * error, "the costs are seen in spite of the noise"


@given(seeds, st.sampled_from([0, 250, 60_000, 90_000]))
@hypothesis_settings(max_examples=12)
def test_a_trade_knows_no_book_from_before_its_signal_or_after_its_exit(
    seed: int, latency_ms: int
) -> None:
    rng = np.random.default_rng(seed)
    market = books(walk(200, seed), half_spread=0.05, size=11.0)
    given_settings = settings(latency_ms=latency_ms, latencies_ms=(), taker_fee=0.0005)
    signal = int(rng.integers(30, 120))
    actions = np.full(150, NEUTRAL)
    actions[signal] = rng.choice([SELL, BUY])
    found = traded(actions, market, given_settings)
    reaches = -(-latency_ms // MINUTE_MS)
    first, last = signal + reaches, signal + HORIZON + reaches
    for changed, same in (
        (slice(0, first), ["exit_time", "quantity", "net", "entry_price", "exit_price", "gross"]),
        (slice(last + 1, None), list(found.trades)),
        (slice(first + 1, last), ["quantity", "net", "entry_price", "exit_price", "gross", "fees"]),
    ):
        levels = market.levels.copy()
        levels[changed, ..., 0] *= 1.5
        levels[changed, ..., 1] /= 3
        again = traded(actions, market._replace(levels=levels), given_settings)
        assert again.trades[same].equals(found.trades[same]), changed
    for met in (first, last):
        levels = market.levels.copy()
        levels[met, ..., 0] *= 1.01
        again = traded(actions, market._replace(levels=levels), given_settings)
        assert (again.trades["net"] != found.trades["net"]).all()


@given(seeds, st.lists(st.integers(0, 600_000), min_size=2, max_size=5), st.booleans())
@hypothesis_settings(max_examples=15)
def test_more_latency_never_meets_an_earlier_book(
    seed: int, latencies: list[int], is_recorded: bool
) -> None:
    rng = np.random.default_rng(seed)
    minutes = books(np.full(60, 100.0), minutes=np.cumsum(rng.choice([1, 2, 9], 60)))
    signal = rng.integers(-1, 2, 60).astype(np.int8)
    may = may_order(minutes.time_ms, signal, HORIZON * MINUTE_MS)
    before = minutes.time_ms
    if is_recorded:  # after whole minutes orders meet the minutes' books, holes and all
        latencies = [latency + (latency % MINUTE_MS == 0) for latency in latencies]
    for latency in sorted(latencies):
        moment = minutes.time_ms + latency
        recorded = Books(moment, minutes.levels) if is_recorded else None
        met = met_moments(minutes, may, latency, recorded)
        assert (met >= moment)[may].all()
        assert (np.diff(met[may]) >= 0).all()
        assert (met >= before)[may].all()
        before = met


def test_an_order_waits_for_the_next_minute_where_the_archives_tell_nothing() -> None:
    minutes = books(np.full(4, 100.0), minutes=np.array([0, 1, 3, 4]))
    signal = np.ones(4, np.int8)
    may = may_order(minutes.time_ms, signal, MINUTE_MS)
    recorded = Books(minutes.time_ms[[0, 3]] + 250, minutes.levels[[0, 3]])
    met = met_moments(minutes, may, 250, recorded) - minutes.time_ms[0]
    assert met.tolist() == [250, 3 * MINUTE_MS, 4 * MINUTE_MS, 4 * MINUTE_MS + 250]
    late = met_moments(minutes, may, 50, recorded) - minutes.time_ms[0]
    assert late[:3].tolist() == [MINUTE_MS, 3 * MINUTE_MS, 4 * MINUTE_MS]


def test_a_minute_that_decides_no_order_meets_no_recorded_book() -> None:
    minutes = books(np.full(6, 100.0))
    may = may_order(minutes.time_ms, np.array([0, 1, 0, 0, 0, 0], np.int8), 3 * MINUTE_MS)
    recorded = Books(minutes.time_ms + 250, minutes.levels)
    venue, met = venue_of(minutes, may, 250, recorded)
    assert venue.time_ms.tolist() == (minutes.time_ms[[1, 4]] + 250).tolist()
    assert met.tolist() == [2, 0, 2, 2, 1, 2]


@given(seeds, st.sampled_from([50, 61_000, 90_000, 150_000]))
@hypothesis_settings(max_examples=25)
def test_orders_meet_books_in_the_order_in_which_they_were_decided(
    seed: int, latency_ms: int
) -> None:
    """Or an exit might meet a book from before its entry."""
    rng = np.random.default_rng(seed)
    market = books(walk(200, seed), minutes=np.cumsum(rng.choice([1, 2, 5], 200)))
    known = rng.random(200) < 0.5
    recorded = Books(market.time_ms[known] + latency_ms, market.levels[known])
    minutes = ((market.time_ms - market.time_ms[0]) // MINUTE_MS)[:150]
    actions = dict(zip(minutes.tolist(), random_actions(seed, 150, 0.9).tolist(), strict=True))
    shifted = market._replace(time_ms=market.time_ms - market.time_ms[0] + START_MS + MINUTE_MS)
    recorded = recorded._replace(
        time_ms=recorded.time_ms - market.time_ms[0] + START_MS + MINUTE_MS
    )
    own = settings(latency_ms=latency_ms, latencies_ms=(), max_position=3000.0)
    trades = backtest(rows(actions), shifted, own, HORIZON, 1, recorded=recorded).trades
    assert len(trades) > 5
    assert trades["entry_time"].is_monotonic_increasing
    assert trades["exit_time"].is_monotonic_increasing
    assert (trades["exit_time"] >= trades["entry_time"]).all()


def met_moments(
    minutes: Books, may: np.ndarray, latency_ms: int, recorded: Books | None
) -> np.ndarray:
    venue, met = venue_of(minutes, may, latency_ms, recorded)
    return np.append(venue.time_ms, np.iinfo(np.int64).max)[met]


def test_who_never_trades_gains_and_proves_nothing() -> None:
    found = traded(np.full(300, NEUTRAL), books(walk(400), half_spread=0.05))
    result = found.result
    assert (result.trades, result.net_pnl, result.sharpe, result.sortino) == (
        0, *[(0.0, 0.0, 0.0, True, "")] * 3
    )  # fmt: skip
    assert (result.profit_factor, result.hit_rate, result.exposure) == (None, 0.0, 0.0)
    assert result.probabilistic_sharpe == result.deflated_sharpe == 0.5
    assert result.outcome == "open"
    many = backtest(rows(np.full(300, NEUTRAL)), books(walk(400)), settings(), HORIZON, 30)
    assert many.result.deflated_sharpe < 0.05
