"""Books, fees and fills worked out by hand, to the cent."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.evaluation.backtest import Books, backtest
from tests.evaluation.backtest.markets import BUY, MINUTE_MS, START_MS, rows, settings


def test_a_trade_walks_the_book_and_pays_to_the_cent() -> None:
    levels = np.array(
        [  # bids, asks: price and size
            [[[99.0, 5.0], [98.0, 9.0]], [[100.0, 4.0], [101.0, 9.0]]],
            [[[99.0, 5.0], [98.0, 9.0]], [[101.0, 4.0], [102.0, 9.0]]],
            [[[109.0, 3.0], [107.0, 9.0]], [[111.0, 4.0], [112.0, 9.0]]],
        ]
    )
    books = Books(START_MS + MINUTE_MS * np.arange(1, 4), levels)
    given = settings(notional=1000.0, taker_fee=0.001)
    found = backtest(rows({0: BUY}), books, given, horizon_minutes=2, trials=1)
    [trade] = found.trades.to_dict("records")
    # 1000 / 100 = 10 wanted: 4 at 100 and 6 at 101 cost 1006; 3 at 109 and 7 at 107 give 1076.
    assert trade["quantity"] == 10
    assert trade["entry_price"] == pytest.approx(100.6)
    assert trade["exit_price"] == pytest.approx(107.6)
    assert trade["gross"] == pytest.approx(10 * (110 - 99.5))
    assert trade["slippage"] == pytest.approx(10 * (100.6 - 99.5) + 10 * (110 - 107.6))
    assert trade["fees"] == pytest.approx(1.006 + 1.076)
    assert trade["net"] == pytest.approx(70 - 2.082)
    assert found.result.net_pnl.value == pytest.approx(67.918)
    assert found.equity["equity"].iloc[1] == pytest.approx(10_000 - 1.006 + 10 * (100 - 100.6))
