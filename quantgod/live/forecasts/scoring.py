"""Score forecasts whose outcome is known, once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pandas as pd

from quantgod.contracts import Candles
from quantgod.live.forecasts.ledger import INSIDE, RETURNS, WALK
from quantgod.served.candles.quantiles import COVERAGES, pinball


def score(
    ledger: pd.DataFrame, coins: Sequence[Candles], candles: str, now: dt.datetime
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a ledger whose matured forecasts are scored, and the rows that were scored now.

    Args:
        ledger: as it was read; rows that have a score keep it.
        coins: closed candles.
        candles: which these are, `spot 1d trades`; forecasts of others wait.
        now: when they are scored.
    """
    closes = pd.concat([closes_of(one) for one in coins]) if coins else pd.Series(dtype=float)
    waits = ledger["scored_at"].isna() & (ledger["candles"] == candles)
    asked = pd.MultiIndex.from_frame(ledger.loc[waits, ["symbol", "due"]])
    came = closes.reindex(asked).to_numpy(np.float64)
    rows = ledger.index[waits][np.isfinite(came)]
    ledger = ledger.copy()
    for name, value in _scores(ledger.loc[rows], came[np.isfinite(came)]).items():
        ledger.loc[rows, name] = value
    ledger.loc[rows, "scored_at"] = pd.Timestamp(now).as_unit("ms")
    return ledger, ledger.loc[rows]


def closes_of(candles: Candles) -> pd.Series:
    """Return the closing prices of a coin by symbol and the time of the close."""
    times = pd.to_datetime(candles.time_ms + candles.step_ms, unit="ms", utc=True)
    index = pd.MultiIndex.from_product(
        [[candles.symbol], times.astype("datetime64[ms, UTC]")], names=["symbol", "due"]
    )
    return pd.Series(candles.column("close"), index)


def _scores(rows: pd.DataFrame, came: np.ndarray) -> dict[str, np.ndarray]:
    """Return scores of rows by what the price came to, (n,)."""
    outcome = np.log(came / rows["close"].to_numpy(np.float64))
    wide = rows["sigma"].to_numpy(np.float64) * np.sqrt(rows["horizon"].to_numpy(np.float64))
    said, walk = (rows[names].to_numpy(np.float64) for names in (RETURNS, WALK))
    found = {
        "outcome": outcome,
        "pinball": pinball(outcome / wide, said / wide[:, None]),
        "random_walk_pinball": pinball(outcome / wide, walk / wide[:, None]),
    }
    for share, (low, high) in COVERAGES.items():
        found[INSIDE[share]] = (said[:, low] <= outcome) & (outcome <= said[:, high])
    return found
