"""Prices of others: a file of a row an interval, of minutes or longer, checked row by row.

Columns are known by their names (`NAMES`), in any order and case; others are left out. A CSV
without a header has the 12 columns of Binance's klines, or 6: the time, then open, close, high, low
(as Bitfinex has them) or open, high, low, close, then the volume. Which of the two is told by the
rows, since high and low hold the others. Times are dates (UTC where they do not say), or numbers
since 1970 in the unit that is asked for, or that their size tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype

from quantgod.archive.table_file import (
    BITFINEX,
    ORDINARY,
    PRICES,
    RawTable,
    TableError,
    read_table,
    refusal,
)
from quantgod.contracts import INTERVALS, MS_PER_DAY, MS_PER_MINUTE, Booleans, Floats, Integers
from quantgod.settings import ArchiveLimits

Unit = Literal["s", "ms", "us", "ns"]

QUOTES: Final = ("USDT", "USDC", "USD", "PERP")
"""What may follow a coin in a symbol, and be left out in a column of symbols."""

TIMES: Final = ("timestamp", "open_time", "datetime", "time", "ts", "unix", "minute", "date")
"""What a column of times may be called, in lower case; of several the first of these counts."""

_UNITS: Final[Mapping[Unit, tuple[str, int, float]]] = {
    "s": ("seconds", 1, 1e8),
    "ms": ("milliseconds", 1_000, 1e11),
    "us": ("microseconds", 1_000_000, 1e14),
    "ns": ("nanoseconds", 1_000_000_000, 1e17),
}
"""A unit's name, how many make a second, and its least time: from 1973 on sizes tell them apart."""

JUMP: Final = 10.0
"""No close moves by such a factor from a row to the next: one of the two is of another series, or
in another unit. Closes are compared, so that a low or high that lasts for seconds is none."""

_HALF: Final = 0.5  # where most times are numbers, one that is none is a bad line


class PriceJumpError(TableError):
    """Prices of neighbouring rows are too far apart to be of one series."""

    def __init__(self, message: str) -> None:
        super().__init__("price_jump", message)


class Form(NamedTuple):
    """What is expected of a file.

    Attributes:
        names: the columns, and what each may be called in lower case; the first of several counts.
            `time` and `symbol` are among them.
        interval: between rows, of `INTERVALS`.
        unit: of times that are numbers; None: their size tells it.
        needs: the columns that it must have.
        symbol: the only one that a column of symbols may hold, in any case, with any signs between
            letters (`fil/usdt`) or without the quote (`FIL`); None: whichever it holds.
        rows: what the rows are called in errors, and what to do about others.
    """

    names: Mapping[str, tuple[str, ...]]
    interval: str
    unit: Unit | None
    needs: Sequence[str]
    symbol: str | None
    rows: tuple[str, str]

    @property
    def step_ms(self) -> int:
        """Return the milliseconds of the interval."""
        return INTERVALS[self.interval]

    @property
    def expected(self) -> str:
        """Return what is expected of a row."""
        return f"a later time on the grid of {self.interval}, prices with low and high in place"


def read_prices(path: Path, form: Form, limits: ArchiveLimits | None = None) -> pd.DataFrame:
    """Read a file of prices.

    Args:
        path: as `table_file.read_table` takes it; newest first is taken, too.
        form: what is expected of it.
        limits: of a zip.

    Returns:
        The known columns but for time and symbol, float64 (`close_time`: epoch ms, NaN where it is
        none); the index `time_ms` holds epoch milliseconds, increasing.

    Raises:
        TableError: naming the file and the line, column or unit, what was found and what expected.
        PriceJumpError: naming the time and both prices of a jump that no market makes.
    """
    raw = read_table(path, limits)
    if raw.table.empty:
        names = ", ".join(map(str, raw.table))
        there = f"the columns {names}" if names else "blanks alone"
        raise TableError("empty", f"{path}: holds {there}, and no row of bars")
    columns = _known(raw, form)
    times = _times_ms(raw, columns.pop("time"), form)
    _check_one_symbol(raw, columns.pop("symbol", None), form.symbol)
    closes = columns.pop("close_time", None)
    frame = pd.DataFrame({name: _floats(raw.table[column]) for name, column in columns.items()})
    if closes is not None:
        frame["close_time"] = _ms(*_numbers(raw, closes, None))
    if raw.is_nameless:
        other = frame.rename(columns=dict(zip(ORDINARY, BITFINEX, strict=True)))
        frame = max(other, frame, key=lambda one: _is_sound(one).sum())
    if times[0] > times[-1]:
        frame, times = frame[::-1], times[::-1]
    is_later = np.diff(times, prepend=times[0] - 1) > 0
    if not (is_sound := _is_sound(frame) & is_later).all():
        at = int(np.argmin(is_sound))
        fault = _fault(frame.iloc[at]) if is_later[at] else "its time is not after the one before"
        raise refusal(raw, int(frame.index[at]), form.expected, fault)
    _check_spacing(path, _spacing(times, frame), form)
    check_jumps(str(path), times, frame["close"].to_numpy(), form.step_ms)
    return frame.set_axis(pd.Index(times, name="time_ms"))


def _known(raw: RawTable, form: Form) -> dict[str, str]:
    """The known columns: what they are, and what the file calls them."""
    given = {str(name).strip().lower().replace(" ", "_"): name for name in raw.table.columns[::-1]}
    known = {
        name: given[alias]
        for name, aliases in form.names.items()
        for alias in reversed(aliases)
        if alias in given
    }
    if missing := [name for name in ("time", *form.needs) if name not in known]:
        there = ", ".join(map(str, raw.table))
        raise TableError(
            "columns",
            f"{raw.path}: no column {', '.join(missing)}; there are {there} "
            f"(a time may be called {', '.join(form.names['time'])})",
        )
    return known


def _times_ms(raw: RawTable, column: str, form: Form) -> Integers:
    """Epoch milliseconds of a column of times, on the grid."""
    numbers, a_second = _numbers(raw, column, form.unit)
    a_step = a_second * (form.step_ms // 1000)
    is_bad = numbers.isna() | (numbers % a_step != 0)
    if is_bad.any():
        known = _ms(numbers, a_second)
        _check_spacing(raw.path, _usual(known[np.isfinite(known)]), form, is_sure=True)
        row = int(np.argmax(is_bad))
        fault = "its time is no number and no date of ISO 8601 (2025-01-31)"
        if np.isfinite(known[row]):
            fault = f"it opens at {np.datetime64(int(known[row]), 'ms')} UTC, off the grid"
        raise refusal(raw, row, form.expected, fault)
    times: Integers = np.asarray(numbers // a_step, dtype=np.int64) * form.step_ms
    return times


def _numbers(
    raw: RawTable, column: str, unit: Unit | None
) -> tuple[pd.Series[float], Integers | int]:
    """Return times as numbers since 1970, NaN where one is none, and how many make a second."""
    times = raw.table[column]
    numbers = None if is_datetime64_any_dtype(times) else pd.to_numeric(times, errors="coerce")
    if numbers is None or numbers.isna().mean() > _HALF:
        dates = pd.to_datetime(times, utc=True, format="ISO8601", errors="coerce")
        since = dates.dt.as_unit("us").astype("int64").astype("float64")  # exact until 2255
        return since.where(dates.notna()), _UNITS["us"][1]
    if unit is not None:
        _check_unit(raw, column, numbers, unit)
        return numbers, _UNITS[unit][1]
    places = _places(numbers.fillna(np.inf))
    seconds = np.array([count for _, count, _ in _UNITS.values()])
    return numbers.where(places >= 0), seconds[np.clip(places, 0, None)]


def _ms(numbers: pd.Series[float], a_second: Integers | int) -> Floats:
    """Return times as epoch milliseconds, rounded down; NaN stays NaN."""
    times, parts = np.maximum(1000 // a_second, 1), np.maximum(a_second // 1000, 1)
    ms: Floats = np.asarray(numbers * times // parts, np.float64)  # exact, unlike a share of 1000
    return ms


def _places(times: pd.Series[float]) -> Integers:
    """Return which of `_UNITS` each time is of by its size; -1 where it is of none."""
    return np.searchsorted([least for _, _, least in _UNITS.values()], times, "right") - 1


def _check_unit(raw: RawTable, column: str, times: pd.Series[float], unit: Unit) -> None:
    names, known = list(_UNITS), times.dropna()
    places = _places(known)
    for place in np.unique(places[places >= 0]):
        found = names[int(place)]
        if found != unit:
            row = int(np.argmax(places == place))
            raise TableError(
                "unit",
                f"{raw.path}: column {column!r} holds {_UNITS[found][0]} (from row {row + 1} on: "
                f"{known.iloc[row]}), {_UNITS[unit][0]} were expected; --unit {found} "
                "takes them",
            )


def _check_one_symbol(raw: RawTable, column: str | None, symbol: str | None) -> None:
    found = raw.table[column].unique().tolist() if column is not None else []
    if len(found) > 1:
        raise TableError(
            "symbol", f"{raw.path}: one symbol was expected, column {column!r} holds {found[:9]}"
        )
    if symbol and found and not is_of(str(found[0]), symbol):
        raise TableError(
            "symbol",
            f"{raw.path}: bars of {symbol} were expected, column {column!r} holds {found[0]}; "
            "is it the file of another? --symbol (of `import_bars`) or the file's name (`candles`) "
            "says whose bars they are",
        )


def is_of(text: str, symbol: str) -> bool:
    """Return whether a text is this symbol, as any venue writes it, or its coin alone."""
    wanted = letters_of(symbol)
    return letters_of(text) in {wanted, *(wanted.removesuffix(quote) for quote in QUOTES)}


def letters_of(symbol: str) -> str:
    """A symbol as all venues would write it."""
    return "".join(filter(str.isalnum, symbol)).upper()


def _spacing(times: Integers, frame: pd.DataFrame) -> int | None:
    """Return how far apart rows are, in ms: from open to close where the file tells, else usually.

    None where there is one row, which does not tell.
    """
    if "close_time" in frame and frame["close_time"].notna().any():
        lengths = frame["close_time"].to_numpy() - times
        minutes = np.ceil(np.nanmedian(lengths) / MS_PER_MINUTE)
        return int(minutes) * MS_PER_MINUTE
    return _usual(times)


def _usual(times: Integers | Floats) -> int | None:
    steps, counts = np.unique(np.abs(np.diff(times)), return_counts=True)
    return int(steps[counts.argmax()]) if len(steps) else None


def _check_spacing(path: Path, usual: int | None, form: Form, *, is_sure: bool = False) -> None:
    """Refuse rows that are usually further apart, or nearer; if `is_sure` only by known steps."""
    known = {ms: name for name, ms in INTERVALS.items()}
    if usual in (None, form.step_ms) or (is_sure and usual not in known):
        return
    assert usual is not None
    rows, advice = form.rows
    minutes = usual / MS_PER_MINUTE
    called = f" ({known[usual]})" if usual in known else ""
    raise TableError(
        "interval",
        f"{path}: {rows} were expected, these are {minutes:g} minutes apart{called}; {advice}",
    )


def check_jumps(where: str, times: Integers, closes: Floats, step_ms: int) -> None:
    """Check that no close is `JUMP` times the one of the row before, or a part of it as small.

    After a hole of more than a day prices may be others.

    Raises:
        PriceJumpError: naming the first time (epoch ms) and both prices.
    """
    factor = closes[1:] / closes[:-1]
    near = np.diff(times) <= max(MS_PER_DAY, step_ms)
    jumps = ((factor >= JUMP) | (factor <= 1 / JUMP)) & near
    if jumps.any():
        row = int(np.argmax(jumps))
        before, after = (
            str(np.datetime64(int(times[at]), "ms").astype("datetime64[m]"))
            for at in (row, row + 1)
        )
        raise PriceJumpError(
            f"{where}: the close is {closes[row]:g} at {before} and {closes[row + 1]:g} at "
            f"{after} (UTC), and less than {JUMP:g} times as much or as little was expected: "
            "leave out the bars of another symbol or unit"
        )


def _floats(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce").astype("float64")


def _fault(row: pd.Series[float]) -> str:
    """Return what is wrong with prices and amounts."""
    if odd := [name for name in row.index[~np.isfinite(row)] if name != "close_time"]:
        return f"{', '.join(odd)} is no number"
    prices = row[[name for name in PRICES if name in row]]
    if prices.min() <= 0:
        return f"{prices.idxmin()} is not above 0"
    if row.get("low", prices.min()) > prices.min() or row.get("high", prices.max()) < prices.max():
        return "low and high do not hold the other prices"
    return f"{row.drop(prices.index).idxmin()} is below 0"


def _is_sound(frame: pd.DataFrame) -> Booleans:
    """Whether high and low hold the other prices, and prices and volume can be true; by row."""
    prices = frame[[name for name in PRICES if name in frame]].to_numpy()
    low, high = prices.min(axis=1), prices.max(axis=1)
    sound: Booleans = np.isfinite(prices).all(axis=1) & (low > 0)
    for name, held in (("low", low), ("high", high)):
        if name in frame:
            sound &= frame[name].to_numpy() == held
    for name in {"volume", "quote_volume", "trades", "taker_volume"} & {*frame}:
        amount = frame[name].to_numpy()
        sound &= np.isfinite(amount) & (amount >= 0)
    return sound
