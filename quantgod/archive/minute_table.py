"""Minute bars of others: a CSV, Parquet or Feather file of a row a minute, checked row by row.

Columns are known by their names (`NAMES`), in any order and case; others are left out. A CSV
without a header has the 12 columns of Binance's klines, or 6: the time, then open, close, high, low
(as Bitfinex has them) or open, high, low, close, then the volume. Which of the two is told by the
rows, since high and low hold the others. Times are dates (UTC where they do not say), or numbers
since 1970 in the unit that is asked for.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
from pandas.api.types import is_datetime64_any_dtype

from quantgod.contracts import BAR_COLUMNS, Booleans, Floats, Integers

Unit = Literal["s", "ms", "us", "ns"]

PRICES: Final = ("open", "high", "low", "close")
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("timestamp", "open_time", "datetime", "time", "ts", "unix", "minute", "date"),
    "volume": ("volume", "vol"),
    "symbol": ("symbol", "ticker", "pair"),
    **{name: (name,) for name in (*PRICES, *BAR_COLUMNS)},
}
"""What a column may be called, in lower case; of several the first of these counts."""

_KLINE: Final = ("time", *PRICES, "volume", *map(str, range(6)))
_ORDINARY: Final = ("time", *PRICES, "volume")
_BITFINEX: Final = ("time", "open", "close", "high", "low", "volume")
_EXPECTED: Final = (
    "a later time on the minute and prices with low and high in place, as many fields a line as in "
    "the first"
)

_UNITS: Final[Mapping[Unit, tuple[str, int, float]]] = {
    "s": ("seconds", 60, 1e8),
    "ms": ("milliseconds", 60_000, 1e11),
    "us": ("microseconds", 60_000_000, 1e14),
    "ns": ("nanoseconds", 60_000_000_000, 1e17),
}
"""A unit's name, how many make a minute, and its least time: from 1973 on sizes tell them apart."""

JUMP: Final = 10.0
"""No close moves by such a factor from a minute to the next: one of the two is of another series,
or in another unit. Closes are compared, so that a low or high that lasts for seconds is none."""

_DAY: Final = 1440
_CALLED: Final = {60: " (hourly candles)", _DAY: " (daily candles)"}
_HALF: Final = 0.5  # where most times are numbers, one that is none is a bad line


class PriceJumpError(ValueError):
    """Prices of neighbouring minutes are too far apart to be of one series."""


class _Raw(NamedTuple):
    """A file as it is. `lines` are those of a CSV, whose table holds text.

    `is_nameless`: 6 columns without a header, named in the ordinary order.
    """

    path: Path
    table: pd.DataFrame
    lines: Sequence[str] = ()
    is_nameless: bool = False


def read_minutes(
    path: Path, unit: Unit = "ms", needs: Sequence[str] = PRICES, symbol: str | None = None
) -> pd.DataFrame:
    """Read a file of minute bars.

    Args:
        path: `.csv`, `.csv.gz`, `.parquet` or `.feather`; newest first is taken, too.
        unit: Of times that are numbers.
        needs: The columns that it must have.
        symbol: The only one that a column of symbols may hold, in any case, with any signs between
            letters (`fil/usdt`); by default whichever it holds.

    Returns:
        The known columns but for time and symbol, float64; the index `minute` holds epoch minutes,
        increasing.

    Raises:
        ValueError: naming the file and the line, column or unit, what was found and what expected.
        PriceJumpError: naming the minute and both prices of a jump that no market makes.
    """
    raw = _read(path)
    if raw.table.empty:
        names = ", ".join(map(str, raw.table))
        there = f"the columns {names}" if names else "blanks alone"
        raise ValueError(f"{path}: holds {there}, and no row of bars")
    columns = _known(raw, needs)
    minutes = _minutes(raw, columns.pop("time"), unit)
    _check_one_symbol(raw, columns.pop("symbol", None), symbol)
    frame = pd.DataFrame({name: _floats(raw.table[column]) for name, column in columns.items()})
    if raw.is_nameless:
        other = frame.rename(columns=dict(zip(_ORDINARY, _BITFINEX, strict=True)))
        frame = max(other, frame, key=lambda one: _is_sound(one).sum())
    if minutes[0] > minutes[-1]:
        frame, minutes = frame[::-1], minutes[::-1]
    is_later = np.diff(minutes, prepend=minutes[0] - 1) > 0
    if not (is_sound := _is_sound(frame) & is_later).all():
        raise _refusal(raw, int(frame.index[~is_sound][0]))
    _check_spacing(path, minutes)
    check_jumps(str(path), minutes, frame["close"].to_numpy())
    return frame.set_axis(pd.Index(minutes, name="minute"))


def _read(path: Path) -> _Raw:
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: is empty (0 bytes), bars were expected; is it downloaded whole?")
    try:
        if ".csv" in path.suffixes[-2:]:
            return _read_csv(path)
        if path.suffix in (".parquet", ".feather"):
            read = pd.read_parquet if path.suffix == ".parquet" else pd.read_feather
            table = read(path)
            return _Raw(path, table if table.index.name is None else table.reset_index())
    except (pa.ArrowException, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path}: unreadable ({error})") from None
    raise ValueError(f"{path}: a file .csv, .csv.gz, .parquet or .feather was expected")


def _read_csv(path: Path) -> _Raw:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace") as source:
        text = source.read()
    if not text.strip():
        return _Raw(path, pd.DataFrame())
    if "\0" in text:
        raise ValueError(
            f"{path}: is no text; a table of bars was expected, its fields with commas"
        )
    lines = text.removesuffix("\n").split("\n")
    first = [field.strip().strip('"') for field in lines[0].split(",")]
    has_header = len(first) > 1 and not _is_number(first[1])
    names = first if has_header else _names(path, len(first))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: column {', '.join(twice)} stands twice")
    try:
        read = pa_csv.read_csv(
            io.BytesIO(text.encode(errors="replace")),
            pa_csv.ReadOptions(column_names=names, skip_rows=int(has_header)),
            pa_csv.ParseOptions(ignore_empty_lines=False),
            pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid:
        fields = np.array([line.count(",") for line in lines])
        line = int(np.argmax(fields != len(first) - 1))
        raise _line_refusal(path, line, lines[line]) from None
    table = pd.DataFrame({name: _typed(read[name]) for name in names})
    return _Raw(path, table, lines, is_nameless=names == list(_ORDINARY))


def _typed(column: pa.ChunkedArray) -> pd.Series:
    """A column of text as whole numbers, numbers, or where one is none as it is."""
    for numbers in (pa.int64(), pa.float64()):
        with suppress(pa.ArrowInvalid):
            return pd.Series(column.cast(numbers).to_pandas())
    return pd.Series(column.to_pandas())


def _names(path: Path, count: int) -> list[str]:
    """The names of columns that have no header."""
    for names in (_ORDINARY, _KLINE):
        if len(names) == count:
            return list(names)
    raise ValueError(
        f"{path}: without a header the 12 columns of Binance's klines were expected, or time, four "
        f"prices and volume; got {count}"
    )


def _refusal(raw: _Raw, row: int) -> ValueError:
    """The error that names a row."""
    if raw.lines:
        line = row + len(raw.lines) - len(raw.table)
        return _line_refusal(raw.path, line, raw.lines[line])
    got = ", ".join(f"{name} {value}" for name, value in raw.table.iloc[row].items())
    return ValueError(f"{raw.path} row {row + 1}: expected {_EXPECTED}; got {got[:200]}")


def _line_refusal(path: Path, line: int, text: str) -> ValueError:
    return ValueError(f"{path} line {line + 1}: expected {_EXPECTED}; got {text[:100]!r}")


def _known(raw: _Raw, needs: Sequence[str]) -> dict[str, str]:
    """The known columns: what they are, and what the file calls them."""
    given = {str(name).lower(): name for name in reversed(raw.table.columns)}
    known = {
        name: given[alias]
        for name, aliases in NAMES.items()
        for alias in reversed(aliases)
        if alias in given
    }
    if missing := [name for name in ("time", *needs) if name not in known]:
        there = ", ".join(map(str, raw.table))
        raise ValueError(
            f"{raw.path}: no column {', '.join(missing)}; there are {there} "
            f"(a time may be called {', '.join(NAMES['time'])})"
        )
    return known


def _minutes(raw: _Raw, column: str, unit: Unit) -> Integers:
    """Epoch minutes of a column of times."""
    times = raw.table[column]
    numbers = None if is_datetime64_any_dtype(times) else pd.to_numeric(times, errors="coerce")
    if numbers is None or numbers.isna().mean() > _HALF:
        dates = pd.to_datetime(times, utc=True, format="ISO8601", errors="coerce")
        units, a_minute = dates.dt.as_unit("us").astype("int64"), _UNITS["us"][1]
        is_bad = dates.isna()
    else:
        units, a_minute = numbers, _UNITS[unit][1]
        _check_unit(raw, column, numbers, unit)
        is_bad = numbers.isna()
    is_bad |= units % a_minute != 0
    if is_bad.any():
        raise _refusal(raw, int(np.argmax(is_bad)))
    return np.asarray(units // a_minute, dtype=np.int64)


def _check_unit(raw: _Raw, column: str, times: pd.Series[float], unit: Unit) -> None:
    names = list(_UNITS)
    places = (
        np.searchsorted([least for _, _, least in _UNITS.values()], times.dropna(), "right") - 1
    )
    for place in np.unique(places[places >= 0]):
        found = names[int(place)]
        if found != unit:
            row = int(np.argmax(places == place))
            raise ValueError(
                f"{raw.path}: column {column!r} holds {_UNITS[found][0]} (from row {row + 1} on: "
                f"{times.dropna().iloc[row]}), {_UNITS[unit][0]} were expected; --unit {found} "
                "takes them"
            )


def _check_one_symbol(raw: _Raw, column: str | None, symbol: str | None) -> None:
    found = raw.table[column].unique().tolist() if column is not None else []
    if len(found) > 1:
        raise ValueError(
            f"{raw.path}: one symbol was expected, column {column!r} holds {found[:9]}"
        )
    if symbol and found and letters_of(str(found[0])) != letters_of(symbol):
        raise ValueError(
            f"{raw.path}: bars of {symbol} were expected, column {column!r} holds {found[0]}; "
            f"--symbol says whose bars they are"
        )


def letters_of(symbol: str) -> str:
    """A symbol as all venues would write it."""
    return "".join(filter(str.isalnum, symbol)).upper()


def _check_spacing(path: Path, minutes: Integers) -> None:
    steps, counts = np.unique(minutes[1:] - minutes[:-1], return_counts=True)
    if len(steps) and (usual := int(steps[counts.argmax()])) != 1:
        raise ValueError(
            f"{path}: bars of one minute were expected, these are {usual} minutes apart"
            f"{_CALLED.get(usual, '')}; no command makes minutes of them: get candles of 1m"
        )


def check_jumps(where: str, minutes: Integers, closes: Floats) -> None:
    """Check that no close is `JUMP` times the one of the minute before, or a part of it as small.

    After a hole of more than a day prices may be others.

    Raises:
        PriceJumpError: naming the first minute and both prices.
    """
    factor = closes[1:] / closes[:-1]
    jumps = ((factor >= JUMP) | (factor <= 1 / JUMP)) & (np.diff(minutes) <= _DAY)
    if jumps.any():
        row = int(np.argmax(jumps))
        before, after = (str(np.datetime64(int(minutes[at]), "m")) for at in (row, row + 1))
        raise PriceJumpError(
            f"{where}: the close is {closes[row]:g} at {before} and {closes[row + 1]:g} at "
            f"{after} (UTC), and less than {JUMP:g} times as much or as little was expected: "
            "leave out the bars of another symbol or unit"
        )


def _floats(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce").astype("float64")


def _is_sound(frame: pd.DataFrame) -> Booleans:
    """Whether high and low hold the other prices, and prices and volume can be true; by row."""
    prices = frame[[name for name in PRICES if name in frame]].to_numpy()
    low, high = prices.min(axis=1), prices.max(axis=1)
    sound: Booleans = np.isfinite(prices).all(axis=1) & (low > 0)
    for name, held in (("low", low), ("high", high)):
        if name in frame:
            sound &= frame[name].to_numpy() == held
    if "volume" in frame:
        volume = frame["volume"].to_numpy()
        sound &= np.isfinite(volume) & (volume >= 0)
    return sound


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
