"""Turn scored rows into signals by minute, and into the moments when orders reach the exchange."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.backtest.books import Books
from quantgod.contracts import CLASSES, MS_PER_MINUTE, Booleans, Integers
from quantgod.settings import BacktestSettings

Sides = npt.NDArray[np.int8]

_NEUTRAL: Final = CLASSES.index("NEUTRAL")


def signals_of(
    rows: pd.DataFrame, books: Books, settings: BacktestSettings, horizon_minutes: int
) -> tuple[Books, Sides]:
    """Return the minutes from the first row to the last possible exit, with their signals.

    Returns:
        One book per minute, and for each minute 1 to buy, -1 to sell, 0 to do nothing.

    Raises:
        ValueError: for a row without a book, an unknown action, or a latency above the horizon.
    """
    latency_ms = max(latencies_of(settings))
    horizon_ms = horizon_minutes * MS_PER_MINUTE
    if latency_ms > horizon_ms:
        raise ValueError(f"a latency of {latency_ms} ms is above the horizon of {horizon_ms} ms")
    action = rows["action"].to_numpy()
    _refuse_unknown(action)
    known_ms = rows["time"].dt.as_unit("ms").astype(np.int64).to_numpy() + MS_PER_MINUTE
    place = _places(known_ms, books)
    left = int(np.searchsorted(books.time_ms, known_ms[-1] + horizon_ms + latency_ms))
    # One more minute: positions open at the very last minute are closed for reason `end`.
    minutes = books.between(int(place[0]), left + 2)
    signal = np.zeros(len(minutes.time_ms), np.int8)
    signal[place - place[0]] = action.astype(np.int8) - _NEUTRAL
    return minutes, signal


def latencies_of(settings: BacktestSettings) -> list[int]:
    """Return the latencies to compare with and the settings' own, each once."""
    return list(dict.fromkeys([settings.latency_ms, *settings.latencies_ms]))


def order_moments(
    rows: pd.DataFrame, books: Books, settings: BacktestSettings, horizon_minutes: int
) -> Integers:
    """Return the times when orders may reach the exchange between two minutes: epoch ms, rising."""
    minutes, signal = signals_of(rows, books, settings, horizon_minutes)
    decided = minutes.time_ms[may_order(minutes.time_ms, signal, horizon_minutes * MS_PER_MINUTE)]
    between = [decided + ms for ms in latencies_of(settings) if ms % MS_PER_MINUTE]
    return np.unique(np.concatenate([*between, np.empty(0, np.int64)]))


def may_order(close_ms: Integers, signal: Sides, horizon_ms: int) -> Booleans:
    """Return which closes may cause an order: those with a signal, and the ends of horizons."""
    signals = np.flatnonzero(signal)
    over = np.searchsorted(close_ms, close_ms[signals] + horizon_ms)
    may: Booleans = signal != 0
    may[over[over < len(close_ms)]] = True
    return may


def venue_of(
    minutes: Books, may: Booleans, latency_ms: int, recorded: Books | None
) -> tuple[Books, Integers]:
    """Return the books that orders of a latency meet, and for each minute which one.

    This is the book recorded at the order's moment, or else the next book, be it of an order of
    this latency or of a minute; a position beyond the last one means no book or no order. So orders
    meet books in the order of their decision.
    """
    moment = minutes.time_ms + latency_ms
    later = _first_from(minutes.time_ms, latency_ms)
    if recorded is None or not latency_ms % MS_PER_MINUTE:
        return minutes, later
    place = np.searchsorted(recorded.time_ms, moment)
    inside = place < len(recorded.time_ms)
    inside[inside] = recorded.time_ms[place[inside]] == moment[inside]
    exact, waits = may & inside, may & ~inside & (later < len(moment))
    taken, fallback = place[exact], np.unique(later[waits])
    times = np.concatenate([recorded.time_ms[taken], minutes.time_ms[fallback]])
    levels = np.concatenate([recorded.levels[taken], minutes.levels[fallback]])
    in_time = np.argsort(times)
    venue = Books(times[in_time], levels[in_time])
    return venue, np.where(may, np.searchsorted(venue.time_ms, moment), len(times))


def _first_from(time_ms: Integers, latency_ms: int) -> Integers:
    """Return the position of the first book a latency after each; mostly the next, unsearched."""
    if 0 < latency_ms <= np.diff(time_ms).min(initial=latency_ms):
        return np.arange(1, len(time_ms) + 1)
    return np.searchsorted(time_ms, time_ms + latency_ms)


def _refuse_unknown(action: npt.NDArray[Any]) -> None:
    unknown = np.flatnonzero(~np.isin(action, np.arange(len(CLASSES))))
    if len(unknown):
        raise ValueError(f"an action is one of 0, 1 and 2, got {action[unknown[0]]}")


def _places(known_ms: Integers, books: Books) -> Integers:
    """Return the position of the book at each row's close."""
    place = np.minimum(np.searchsorted(books.time_ms, known_ms), len(books.time_ms) - 1)
    absent = np.flatnonzero(books.time_ms[place] != known_ms)
    if len(absent):
        when = pd.Timestamp(int(known_ms[absent[0]]) - MS_PER_MINUTE, unit="ms", tz="UTC")
        raise ValueError(f"{len(absent)} rows have no book of their minute; the first is {when}")
    return place
