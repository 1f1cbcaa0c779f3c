"""Read posted candles of several coins: as they came or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..candles.contract import Contract
from ..candles.live import Past
from ..candles.rows import NEEDS
from .rows import (
    EARLIEST,
    TOO_LATE,
    Booleans,
    Floats,
    Integers,
    RequestError,
    matrix_of,
    minutes_of,
    row_name,
    shown,
)

SYMBOL, TIME = "symbol", "time"
VOLUME = "volume"
COLUMNS = (SYMBOL, TIME, *NEEDS)
"""What is posted: the coin, the open time, and the candle."""

MINUTE_MS = 60_000


def read_candles(rows: object, contract: Contract) -> dict[int, Past]:
    """Return the candles of each posted coin, by its number.

    Args:
        rows: a table with `COLUMNS` in any order; others are ignored. Rows of one coin rise in
            time. Times are ISO 8601 text in UTC, or epoch milliseconds. A volume that is null in
            every row is of a source without one.
        contract: of the version.

    Raises:
        RequestError: `bad_form`, `missing_column`, `duplicate_column`, `no_rows`, `bad_dtype`,
            `unknown_coin`, `bad_datetime`, `not_a_whole_minute`, `not_finite`, `not_positive`,
            `not_a_candle`, `duplicate_candle`, `unsorted`, `other_interval` or `off_grid`.
    """
    table = _columns(rows)
    coins = _coins(table[SYMBOL], contract)
    minutes = _minutes(table[TIME])
    values = _values(table, minutes)
    _check_values(values, minutes)
    found = {}
    for coin in np.unique(coins):
        own = np.flatnonzero(coins == coin)
        name = contract.coins[coin]
        _check_order(minutes[own], name, contract)
        found[int(coin)] = Past(minutes[own] * MINUTE_MS, values[own])
    return found


def check_newest(pasts: Mapping[int, Past], contract: Contract) -> None:
    """Check that the newest candles of each coin are enough, and without a hole.

    Raises:
        RequestError: `too_few_rows` or `hole`, naming the coin.
    """
    for coin, past in pasts.items():
        name, times = contract.coins[coin], past.time_ms
        if len(times) < contract.rows:
            raise RequestError(
                "too_few_rows",
                f"{name}: {len(times)} candles given, at least {contract.rows} are needed: post "
                "older ones too",
            )
        newest = times[-contract.rows :]
        if len(holes := np.flatnonzero(np.diff(newest) != contract.step_ms)):
            at = int(holes[-1])
            raise RequestError(
                "hole",
                f"{name}: no candle between {_moment(newest[at])} and {_moment(newest[at + 1])}; "
                f"the newest {contract.rows} must follow each other: post those that are absent",
            )


def check_answered(pasts: Mapping[int, Past], answered: Iterable[int], contract: Contract) -> None:
    """Check that each posted coin is answered for: numbers may be beyond what features can hold.

    Raises:
        RequestError: `out_of_range`, naming the coin.
    """
    if absent := sorted(pasts.keys() - set(answered)):
        name = contract.coins[absent[0]]
        raise RequestError(
            "out_of_range",
            f"{name}: prices or volumes of its newest {contract.rows} candles are too large or too "
            "small for features to be computed",
        )


def check_reach(pasts: Mapping[int, Past], contract: Contract, first: int) -> None:
    """Check that each coin's candles reach back far enough to go on from a date.

    Args:
        pasts: by a coin's number.
        contract: of the version.
        first: the date to go on with, in steps since 1970.

    Raises:
        RequestError: `too_few_rows`, naming the coin and the time to begin at.
    """
    begin = (first - contract.back + 1) * contract.step_ms
    for coin, past in pasts.items():
        if past.time_ms[0] > begin:
            wanted = f"{contract.back} up to the next date to forecast"
            raise RequestError(
                "too_few_rows",
                f"{contract.coins[coin]}: candles from {_moment(begin)} on expected ({wanted}), "
                f"got those from {_moment(past.time_ms[0])} on",
            )


def _columns(rows: object) -> pd.DataFrame:
    if not isinstance(rows, pd.DataFrame):
        forms = "dataframe_split or dataframe_records over HTTP, a DataFrame in process"
        raise RequestError("bad_form", f"{forms} expected, got {type(rows).__name__}")
    given: list[Any] = rows.columns.tolist()
    if missing := [name for name in COLUMNS if name not in given]:
        expected = f"{', '.join(COLUMNS)} expected"
        raise RequestError("missing_column", f"{', '.join(missing)} not given: {expected}")
    if twice := [name for name in COLUMNS if given.count(name) > 1]:
        raise RequestError("duplicate_column", f"{', '.join(twice)} given twice")
    if not len(rows):
        raise RequestError("no_rows", "candles of one coin or more expected, got none")
    return rows[list(COLUMNS)]


def _coins(column: pd.Series, contract: Contract) -> Integers:
    numbers = {name: number for number, name in enumerate(contract.coins)}
    numbers = {name: numbers[name] for name in contract.served}
    for at, name in enumerate(column):
        if not isinstance(name, str):
            raise RequestError("bad_dtype", f"row {at}: {SYMBOL} is {shown(name)}, a text expected")
        if name not in numbers:
            known = ", ".join(contract.served)
            raise RequestError("unknown_coin", f"row {at}: {shown(name)}; this knows {known}")
    return np.array([numbers[name] for name in column], np.int64)


def _minutes(column: pd.Series) -> Integers:
    if pd.api.types.infer_dtype(column) != "integer":
        return minutes_of(column)
    times = column.to_numpy(np.int64)
    minutes, rest = np.divmod(times, MINUTE_MS)
    wrong = (minutes < EARLIEST) | (minutes >= TOO_LATE) | (rest != 0)
    if wrong.any():
        at = int(wrong.argmax())
        text = "whole minutes in epoch milliseconds expected"
        raise RequestError("bad_datetime", f"row {at}: {TIME} is {times[at]}, {text}")
    return minutes


def _values(table: pd.DataFrame, minutes: Integers) -> Floats:
    """Return the candles, (n, 5); NaN for a volume that no row has."""
    if not table[VOLUME].isna().all():
        return matrix_of(table[list(NEEDS)], minutes)
    prices = matrix_of(table[[name for name in NEEDS if name != VOLUME]], minutes)
    return np.insert(prices, NEEDS.index(VOLUME), np.nan, axis=1)


def _check_values(values: Floats, minutes: Integers) -> None:
    columns = dict(zip(NEEDS, values.T, strict=True))
    for name, column in columns.items():
        wrong = column < 0 if name == VOLUME else column <= 0
        if wrong.any():
            at = int(wrong.argmax())
            least = "0 or more" if name == VOLUME else "more than 0"
            text = f"{name} is {column[at]:g}, {least} expected"
            raise RequestError("not_positive", f"{row_name(minutes, at)}: {text}")
    high, low = columns["high"], columns["low"]
    within = [(low <= columns[name]) & (columns[name] <= high) for name in ("open", "close")]
    odd: Booleans = ~(within[0] & within[1])
    if odd.any():
        at = int(odd.argmax())
        said = ", ".join(
            f"{name} {columns[name][at]:g}" for name in ("open", "high", "low", "close")
        )
        text = f"open and close between low and high expected, got {said}"
        raise RequestError("not_a_candle", f"{row_name(minutes, at)}: {text}")


def _check_order(minutes: Integers, name: str, contract: Contract) -> None:
    """Check that times of one coin rise on the grid of the interval."""
    steps, interval = np.diff(minutes), contract.candles["interval"]
    for code, wrong in (("duplicate_candle", steps == 0), ("unsorted", steps < 0)):
        if wrong.any():
            at = int(wrong.argmax())
            one, two = (_moment(minutes[place] * MINUTE_MS) for place in (at + 1, at))
            text = f"{name}: {one} follows {two}; each candle once, oldest first, expected"
            raise RequestError(code, text)
    step = contract.step_ms // MINUTE_MS
    if len(steps) and (usual := int(np.median(steps))) != step:
        text = f"{name}: candles {usual} minutes apart; {interval} ({step} minutes) expected"
        raise RequestError("other_interval", text)
    odd = np.flatnonzero(minutes % step)
    if len(odd):
        text = (
            f"{name}: {_moment(minutes[odd[0]] * MINUTE_MS)} is no open time of {interval} candles"
        )
        raise RequestError("off_grid", f"{text}, whose days begin at midnight UTC")


def _moment(time_ms: int) -> str:
    return f"{pd.Timestamp(int(time_ms), unit='ms').isoformat()}Z"
