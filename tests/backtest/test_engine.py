"""The compiled loop against plain Python, on small markets of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from quantgod.backtest import Books, backtest
from quantgod.backtest.signals import order_moments
from tests.backtest.markets import MINUTE_MS, START_MS, rows, settings
from tests.backtest.oracle import Oracle, book_of

HORIZON = 5
HOURS_IN = 60 * 22 + 30  # the first day ends, and two stamps of funding fall, within the minutes


@st.composite
def markets(draw: st.DrawFn) -> tuple[Books, np.ndarray]:
    """Some three hundred minutes with holes, books of three thin levels, and their closes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(20, 250))
    steps = rng.choice([1, 2, HORIZON, HORIZON + 1, 12], count, p=[0.93, 0.03, 0.02, 0.01, 0.01])
    minutes = HOURS_IN + np.cumsum(steps)
    return Books(START_MS + MINUTE_MS * (minutes + 1), levels(rng, count)), minutes


def levels(rng: np.random.Generator, count: int) -> np.ndarray:
    mid = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    made = np.empty((count, 2, 3, 2))
    away = 0.01 + np.cumsum(rng.uniform(0.01, 1.0, (count, 2, 3)), axis=2)
    made[..., 0] = mid[:, None, None] + np.array([-1, 1])[None, :, None] * away
    made[..., 1] = rng.choice([0.5, 4.0, 50.0], (count, 2, 3))
    absent = rng.random((count, 2)) < 0.2
    made[absent, 2] = np.nan, 0.0
    return made


@given(
    markets(),
    st.sampled_from([0, 250, 60_000, 61_000, 150_000, 300_000]),
    st.sampled_from([0.3, 0.05, 0.9]),
    st.sampled_from([1, 2, 5]),
    st.sampled_from([(0.9, 0.9), (0.0201, 0.9), (0.9, 0.0301)]),
    st.booleans(),
    st.integers(0, 2**32),
)
@hypothesis_settings(max_examples=20)
def test_the_compiled_loop_is_the_oracle(
    market: tuple[Books, np.ndarray],
    latency_ms: int,
    busy: float,
    units: int,
    losses: tuple[float, float],
    is_recorded: bool,
    seed: int,
) -> None:
    books, minutes = market
    rng = np.random.default_rng(seed)
    actions = rng.choice([0, 1, 2], len(minutes), p=[busy / 2, 1 - busy, busy / 2])
    scored = rows(dict(zip(minutes.tolist(), actions.tolist(), strict=True)))
    given_settings = settings(
        latency_ms=latency_ms, latencies_ms=(latency_ms,), taker_fee=0.001, funding_rate=0.01,
        funding_hours=1, notional=1000.0, max_position=1000.0 * units,
        account={
            "max_daily_loss": losses[0], "max_total_loss": losses[1], "profit_target": 0.0201,
            "min_trading_days": 2,
        },
    )  # fmt: skip
    recorded = None
    if is_recorded and latency_ms % MINUTE_MS:
        moments = order_moments(scored, books, given_settings, HORIZON)
        moments = moments[rng.random(len(moments)) < 0.8]
        recorded = Books(moments, levels(rng, len(moments)))
    found = backtest(scored, books, given_settings, HORIZON, 1, recorded=recorded)
    oracle = Oracle(
        {int(time): book_of(book) for time, book in zip(*books, strict=True)},
        dict(zip(books.time_ms.tolist(), (actions - 1).tolist(), strict=True)),
        given_settings, HORIZON * MINUTE_MS, latency_ms,
        {} if recorded is None
        else {int(time): book_of(book) for time, book in zip(*recorded, strict=True)},
    ).run()  # fmt: skip
    assert_same(found, oracle)


def assert_same(found: object, oracle: Oracle) -> None:
    result, trades, equity = found.result, found.trades, found.equity
    expected = [one for one in oracle.positions if one.quantity > 0]
    assert all(one.state in ("gone", "void") for one in oracle.positions)
    assert trades["side"].tolist() == [one.side for one in expected]
    assert trades["reason"].tolist() == [one.reason for one in expected]
    for column, name in (("entry_time", "entry_ms"), ("exit_time", "exit_ms")):
        times = trades[column].dt.as_unit("ms").astype(np.int64)
        assert times.tolist() == [getattr(one, name) for one in expected], column
    for column in ("quantity", "fees", "funding", "net", "entry_mid", "exit_mid"):
        exact = [float(getattr(one, column)) for one in expected]
        assert trades[column].to_numpy() == pytest.approx(exact, rel=1e-9, abs=1e-9), column
    assert result.outcome == oracle.outcome
    counts = (result.ignored, result.lapsed, result.partial, result.thin_exits)
    assert counts == (oracle.ignored, oracle.lapsed, oracle.partial, oracle.thin)
    for column, exact in (
        ("equity", oracle.equity), ("balance", oracle.balances), ("position", oracle.held)
    ):  # fmt: skip
        assert equity[column].to_numpy() == pytest.approx(
            [float(value) for value in exact], rel=1e-9, abs=1e-9
        ), column
