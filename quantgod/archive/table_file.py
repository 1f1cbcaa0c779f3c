"""Read a table of prices as it is: CSV with or without a header, Parquet or Feather."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from quantgod.archive.source import Quarantine
from quantgod.archive.zip_stream import open_archive
from quantgod.settings import ArchiveLimits

PRICES: Final = ("open", "high", "low", "close")

KLINE: Final = (
    "open_time", *PRICES, "volume", "close_time", "quote_volume", "count", "taker_buy_volume",
    "taker_buy_quote_volume", "ignore",
)  # fmt: skip
"""The columns of Binance's klines, by which files with a header call them."""

ORDINARY: Final = ("time", *PRICES, "volume")
BITFINEX: Final = ("time", "open", "close", "high", "low", "volume")

MARKS: Final = ";\t,"
"""What may part the fields of a CSV: whichever its first line holds most of; a comma may also part
decimals."""

_GZIP: Final = b"\x1f\x8b"
_GZIP_TIME: Final = struct.Struct("<4xI")


class TableError(ValueError):
    """A file of prices that cannot be used; `reason` is the code for counts and reports."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RawTable(NamedTuple):
    """A file as it is.

    Attributes:
        path: the file.
        table: its columns; those of a CSV hold text where not all are numbers.
        lines: of a CSV, those that are not blank.
        numbers: which lines of the file these are, from 0 on.
        is_nameless: 6 columns without a header, named in the ordinary order.
    """

    path: Path
    table: pd.DataFrame
    lines: Sequence[str] = ()
    numbers: Sequence[int] = ()
    is_nameless: bool = False


def read_table(path: Path, limits: ArchiveLimits | None = None) -> RawTable:
    """Read a file.

    Args:
        path: `.csv`, `.csv.gz`, `.parquet`, `.feather`, or with limits a `.zip` of one CSV.
        limits: of a zip.

    Raises:
        TableError: naming the file and the line or column, what was found and what expected.
    """
    if path.stat().st_size == 0:
        raise TableError(
            "empty", f"{path}: is empty (0 bytes), bars were expected; is it downloaded whole?"
        )
    try:
        if ".csv" in path.suffixes[-2:]:
            return _read_csv(path, _text(path))
        if path.suffix == ".zip" and limits is not None:
            with open_archive(path, limits) as archive:
                content = b"".join(archive.chunks())
            return _read_csv(path, content.decode(errors="replace"))
        if path.suffix in (".parquet", ".feather"):
            read = pd.read_parquet if path.suffix == ".parquet" else pd.read_feather
            return RawTable(path, _with_index(read(path)))
    except Quarantine as error:
        raise TableError(error.reason, f"{path}: {error}") from None
    except (pa.ArrowException, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise TableError("unreadable", f"{path}: unreadable ({error})") from None
    kinds = ".csv, .csv.gz, .parquet or .feather" + (" or .zip" if limits else "")
    raise TableError("unknown_kind", f"{path}: a file {kinds} was expected")


def made_ms(path: Path) -> int:
    """Return when a file was made at the latest, epoch milliseconds: its own time, or gzip's."""
    made = path.stat().st_mtime_ns // 1_000_000
    with path.open("rb") as source:
        head = source.read(_GZIP_TIME.size)
    if head.startswith(_GZIP) and len(head) == _GZIP_TIME.size:
        (packed,) = _GZIP_TIME.unpack(head)
        made = min(made, 1000 * packed) if packed else made
    return made


def refusal(raw: RawTable, row: int, expected: str, fault: str) -> TableError:
    """Return the error that names a row and what is wrong with it."""
    if raw.lines:
        line = row + len(raw.lines) - len(raw.table)
        return _line_refusal(raw.path, raw.numbers[line], raw.lines[line], expected, fault)
    got = ", ".join(f"{name} {value}" for name, value in raw.table.iloc[row].items())
    return TableError(
        "bad_row", f"{raw.path} row {row + 1}: {fault}; expected {expected}; got {got[:200]}"
    )


def _line_refusal(path: Path, number: int, text: str, expected: str, fault: str) -> TableError:
    return TableError(
        "bad_row", f"{path} line {number + 1}: {fault}; expected {expected}; got {text[:100]!r}"
    )


def _text(path: Path) -> str:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace") as source:
        return source.read()


def _with_index(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with an index that has a name, or holds times, as a column."""
    index = table.index
    if index.name is None and isinstance(index, pd.DatetimeIndex):
        index.name = "datetime"
    return table if index.name is None else table.reset_index()


def _read_csv(path: Path, text: str) -> RawTable:
    if not text.strip():
        return RawTable(path, pd.DataFrame())
    if "\0" in text:
        raise TableError(
            "no_text", f"{path}: is no text; a table of bars was expected, a row a line"
        )
    numbers, lines = zip(
        *((at, line) for at, line in enumerate(text.split("\n")) if line.strip()), strict=True
    )
    mark = max(MARKS, key=lines[0].count)
    first = [field.strip().strip('"') for field in lines[0].split(mark)]
    has_header = len(first) > 1 and not _is_number(first[1])
    names = first if has_header else _names(path, len(first))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise TableError("columns", f"{path}: column {', '.join(twice)} stands twice")
    try:
        read = pa_csv.read_csv(
            io.BytesIO("\n".join([*lines, ""]).encode(errors="replace")),
            pa_csv.ReadOptions(column_names=names, skip_rows=int(has_header)),
            pa_csv.ParseOptions(delimiter=mark, ignore_empty_lines=False),
            pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid:
        odd = next((at for at, one in enumerate(lines) if one.count(mark) != len(first) - 1), 0)
        fault, expected = "another number of fields", "as many fields a line as in the first"
        raise _line_refusal(path, numbers[odd], lines[odd], expected, fault) from None
    table = pd.DataFrame({name: _typed(read[name]) for name in names})
    return RawTable(path, table, lines, numbers, is_nameless=names == list(ORDINARY))


def _typed(column: pa.ChunkedArray) -> pd.Series:
    """A column of text as whole numbers, numbers, or where one is none as it is."""
    for numbers in (pa.int64(), pa.float64()):
        with suppress(pa.ArrowInvalid):
            return pd.Series(column.cast(numbers).to_pandas())
    return pd.Series(column.to_pandas())


def _names(path: Path, count: int) -> list[str]:
    """The names of columns that have no header."""
    for names in (ORDINARY, KLINE):
        if len(names) == count:
            return list(names)
    raise TableError(
        "columns",
        f"{path}: without a header the 12 columns of Binance's klines were expected, or time, four "
        f"prices and volume; got {count}",
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
