"""Forecast from the newest closed candles, and keep the ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quantgod.contracts import Candles
from quantgod.evaluation.wording import ahead_text
from quantgod.live.forecasts.catching_up import catch_up
from quantgod.live.forecasts.ledger import locked, read_ledger, write_ledger
from quantgod.live.forecasts.records import Whose, join, records_of, revised
from quantgod.live.forecasts.scoring import score
from quantgod.live.forecasts.watch import Watched, watch
from quantgod.settings.forecasting import WatchSettings

Clock = Callable[[], dt.datetime]


@dataclass(frozen=True, eq=False)
class Asked:
    """What is to be forecast, and where it is kept.

    Attributes:
        whose: the version.
        coins: to forecast, of those that it knows.
        ledger: the file.
        watch: how forecasts are watched.
    """

    whose: Whose
    coins: Sequence[str]
    ledger: Path
    watch: WatchSettings


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a call has done; frames have the ledger's columns.

    Attributes:
        newest: the newest forecasts of each coin, as they were issued.
        issued: rows that were added.
        scored: rows that were scored.
        watched: how the last matured ones did.
        warnings: sentences.
        candles: closed ones of the coins.
    """

    newest: pd.DataFrame
    issued: pd.DataFrame
    scored: pd.DataFrame
    watched: list[Watched]
    warnings: list[str]
    candles: list[Candles]

    @property
    def is_changed(self) -> bool:
        """Return whether anything was written."""
        return bool(len(self.issued) or len(self.scored))


def predict(
    chain: Any,
    coins: Sequence[Candles],
    asked: Asked,
    clock: Clock,
    matured: Sequence[Candles] = (),
) -> Predicted:
    """Issue what is not in the ledger, score what has matured, and watch the last forecasts.

    Called twice it changes nothing the second time, not a byte of the ledger.

    Args:
        chain: of the version.
        coins: candles of all coins that the version knows, since all move its weights.
        asked: what to forecast, and where to keep it.
        clock: tells the time, UTC; a candle that has not closed by it is not used.
        matured: candles of further coins, whose forecasts by earlier versions may have matured.

    Raises:
        InputError: if candles do not reach back far enough, naming the coin.
        ForecastLedgerError: if the file of the ledger is none.
    """
    known, others = (_closed(these, clock()) for these in (coins, matured))
    made = records_of(chain, catch_up(chain, known), asked.whose)
    made = made[made["symbol"].isin(asked.coins)]
    step = pd.Timedelta(milliseconds=chain.contract.step_ms)
    with locked(asked.ledger):
        kept, now = read_ledger(asked.ledger), clock()
        joined, issued = join(kept, made, now, step)
        ledger, scored = score(joined, [*known, *others], asked.whose.candles, now)
        if len(issued) or len(scored) or not asked.ledger.exists():
            write_ledger(asked.ledger, ledger)
    own = ledger[(ledger["name"] == asked.whose.name) & (ledger["candles"] == asked.whose.candles)]
    of_version = (own["version"] == asked.whose.version) & (own["files"] == asked.whose.files)
    newest = _newest(own[of_version], asked.coins)
    watched = watch(own, asked.watch)
    warnings = [
        *_of_candles(known, newest, asked, now),
        *_of_revised(kept, made),
        *_of_late(issued),
        *_of_coverage(watched, chain.contract.step_ms),
    ]
    return Predicted(newest, issued, scored, watched, warnings, known)


def _closed(coins: Sequence[Candles], now: dt.datetime) -> list[Candles]:
    ms = int(now.timestamp() * 1000)
    found = [one.take(one.time_ms + one.step_ms <= ms) for one in coins]
    return [one for one in found if len(one)]


def _newest(rows: pd.DataFrame, coins: Sequence[str]) -> pd.DataFrame:
    """Return the rows of each coin's newest issue, in the order of coins and horizons."""
    own = rows[rows["symbol"].isin(coins)]
    last = own.groupby("symbol")["issue"].transform("max")
    order = own["symbol"].map({coin: place for place, coin in enumerate(coins)})
    kept = own[own["issue"] == last].assign(order=order).sort_values(["order", "horizon"])
    return kept.drop(columns="order").reset_index(drop=True)


def _of_candles(
    coins: Sequence[Candles], newest: pd.DataFrame, asked: Asked, now: dt.datetime
) -> Iterator[str]:
    """Tell of candles that are not there, and of coins that have no forecast from the newest."""
    if not coins:
        yield "no candle has closed: nothing is forecast"
        return
    step = coins[0].step_ms
    closes = {one.symbol: int(one.time_ms[-1]) + step for one in coins}
    last = max(closes.values())
    if (missing := int(now.timestamp() * 1000 - last) // step) >= 1:
        yield (
            f"the newest candle closed at {_moment(last)}, {missing} "
            f"{'has' if missing == 1 else 'have'} closed since then: fill the store (`candles`); "
            "forecasts are of that moment, and those made now are late"
        )
    issued = dict(newest.groupby("symbol")["issue"].max())
    for coin in asked.coins:
        if closes.get(coin, 0) < last:
            until = f"ends at {_moment(closes[coin])}" if coin in closes else "has no candle"
            yield f"{coin} {until}, others at {_moment(last)}: no newer forecast until it goes on"
        elif coin not in issued or issued[coin].value // 1_000_000 < last:
            yield (
                f"{coin} has a hole among its newest candles, or too few: no forecast until a "
                "window is whole (older candles may be imported too)"
            )


def _of_revised(kept: pd.DataFrame, made: pd.DataFrame) -> Iterator[str]:
    if (odd := revised(kept, made)) is not None:
        yield (
            f"{odd.rows} waiting forecasts would be issued otherwise from the candles now stored, "
            f"the first of {odd.symbol} at {_text(odd.issue)}: candles were revised or came later; "
            "the ledger stands as it was issued"
        )


def _of_late(issued: pd.DataFrame) -> Iterator[str]:
    late = issued[issued["late"]]
    if len(late):
        first, last = (_text(at) for at in (late["issue"].min(), late["issue"].max()))
        yield (
            f"{len(late)} forecasts of {first} to {last} are issued late, after the next candle "
            "had closed: they are marked so and do not count"
        )


def _of_coverage(watched: Sequence[Watched], step_ms: int) -> Iterator[str]:
    for one in watched:
        for told in one.coverage:
            if not told.is_in_band:
                yield (
                    f"coverage {ahead_text(one.steps * step_ms)} ahead is out of its band: "
                    f"intervals of {told.promised:.0%} held {told.share:.1%} of the last "
                    f"{one.rows} matured forecasts, {told.low:.1%} to {told.high:.1%} expected of "
                    f"{one.independent} independent dates"
                )


def _moment(time_ms: int) -> str:
    return _text(pd.Timestamp(time_ms, unit="ms"))


def _text(moment: pd.Timestamp) -> str:
    return f"{np.datetime64(moment.tz_localize(None), 'm')}".replace("T", " ")
