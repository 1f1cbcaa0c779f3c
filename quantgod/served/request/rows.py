"""Read posted rows: minutes and features, as they came or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..contract import Contract

BOOK = "book"
LARGEST = float(np.sqrt(np.finfo(np.float32).max))
"""Standard deviations (1.8e19) beyond which the product of two scaled values leaves float32."""

PER_MINUTE = {"s": 60, "ms": 60_000, "us": 60_000_000, "ns": 60_000_000_000}
EARLIEST, TOO_LATE = np.array(["1678", "2262"], "datetime64[m]").astype(np.int64).tolist()
"""Epoch minutes between which lie the years that nanoseconds hold whole."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


class RequestError(ValueError):
    """Rows that cannot be judged.

    Attributes:
        code: what is wrong, in one word.
        reason: what came and where, and what was expected.
    """

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code}: {reason}")


def read_rows(rows: object, contract: Contract) -> tuple[Integers, Floats]:
    """Return the epoch minutes and the feature matrix of posted rows.

    The signature names no inputs, so that MLflow hands over what came and converts nothing: true is
    no 1 here, and a text no number.

    Raises:
        RequestError: `bad_form`, `missing_column`, `duplicate_column`, `too_few_rows`, `bad_dtype`,
            `bad_datetime`, `not_a_whole_minute`, `not_finite`, `duplicate_minute`, `unsorted` or
            `hole`.
    """
    if not isinstance(rows, pd.DataFrame):
        forms = "dataframe_split or dataframe_records over HTTP, a DataFrame in process"
        raise RequestError("bad_form", f"{forms} expected, got {type(rows).__name__}")
    places = _places(rows.columns.tolist(), contract)
    if len(rows) < contract.window:
        wanted = f"at least {contract.window} are needed"
        raise RequestError("too_few_rows", f"{len(rows)} rows given, {wanted}")
    minutes = minutes_of(rows["datetime"])
    features = matrix_of(rows.take(places, axis=1), minutes)
    _check_order(minutes, contract.max_bridge_minutes)
    return minutes, features


def check_range(
    features: Floats, minutes: Integers, names: Sequence[str], mean: Floats, std: Floats
) -> None:
    """Refuse finite values that float32 arithmetic cannot stand; outliers are answered.

    The graph would make numbers of their overflows that look like any others.

    Args:
        features: (minutes, names).
        minutes: of the rows.
        names: of the features.
        mean: of each in training.
        std: its deviation there.

    Raises:
        RequestError: `out_of_range`, with the row.
    """
    with np.errstate(over="ignore"):
        wrong = np.argwhere(~(np.abs((features - mean) / std) <= LARGEST))
    if len(wrong):
        at, column = (int(place) for place in wrong[0])
        raise RequestError(
            "out_of_range",
            f"{row_name(minutes, at)}: {names[column]} is {features[at, column]:g}, trained was "
            f"{mean[column]:.3g} with a deviation of {std[column]:.3g}: float32 overflows "
            f"({len(wrong)} such values in all)",
        )


def check_windows(said: Floats, minutes: Integers) -> None:
    """Refuse windows of which a network says no numbers: returns tell prices beyond float32.

    Args:
        said: (windows, columns) of the windows that end at the last minutes.
        minutes: of the rows.

    Raises:
        RequestError: `out_of_range`, with the row that ends the first such window.
    """
    wrong = np.flatnonzero(~np.isfinite(said).all(axis=1))
    if len(wrong):
        ends = row_name(minutes, int(wrong[0]) + len(minutes) - len(said))
        raise RequestError(
            "out_of_range",
            f"the window that ends at {ends}: its returns (log_ret_close) make prices that "
            f"float32 cannot hold ({len(wrong)} such windows in all)",
        )


def check_warm(rows: pd.DataFrame, contract: Contract) -> None:
    """Refuse rows of which too few are known for a window of a member of an ensemble.

    Args:
        rows: the newest minutes, as many as there are; what is not known is not a number.
        contract: of the member.

    Raises:
        RequestError: `cold`.
    """
    lacking = ~np.isfinite(rows[contract.features].to_numpy(np.float64)).all(axis=1)
    known = int(np.argmax(lacking[::-1])) if lacking.any() else len(rows)
    if known < contract.window:
        raise RequestError("cold", f"{known} of the {contract.window} rows of its window are known")


def refuse_without_quorum(minutes: Integers, members: Sequence[str], present: Booleans) -> None:
    """Refuse rows of which no window has enough members that speak, or none that agree.

    Args:
        minutes: of the rows.
        members: names.
        present: (members, windows) which of them speak; the last window is told of.

    Raises:
        RequestError: `no_quorum`.
    """
    absent = [name for name, speaks in zip(members, present[:, -1], strict=True) if not speaks]
    who = f"{', '.join(absent)} cannot say anything" if absent else "none is sure enough"
    raise RequestError(
        "no_quorum", f"{row_name(minutes, len(minutes) - 1)}: of {len(members)} members {who}"
    )


def row_name(minutes: Integers, at: int) -> str:
    """Return what a row is called in a reason."""
    return f"row {at} ({pd.Timestamp(int(minutes[at]) * 60, unit='s').isoformat()}Z)"


def shown(value: object) -> str:
    """Return the beginning of a posted value; what JSON calls null is none of Python's words."""
    return "null" if value is None or value is pd.NA else f"{value!r:.50}"


def is_number(value: object) -> bool:
    """Return whether a value is a number of 64 bits; true and false are none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 2**63
    return isinstance(value, float | np.integer | np.floating)


def _places(given: list[Any], contract: Contract) -> list[int]:
    """Return the places of the features among the given columns, each of which is given once."""
    books = () if contract.book is None else (BOOK,)
    needed = ("datetime", *contract.features, *books)
    places = {name: place for place, name in enumerate(given)}
    if missing := [name for name in needed if name not in places]:
        raise RequestError("missing_column", f"{', '.join(missing)} not given")
    if len(places) < len(given) and (twice := [name for name in needed if given.count(name) > 1]):
        raise RequestError("duplicate_column", f"{', '.join(twice)} given twice")
    return [places[name] for name in contract.features]


def minutes_of(column: pd.Series) -> Integers:
    """Return the epoch minutes of a column of times.

    Raises:
        RequestError: `bad_dtype`, `bad_datetime` or `not_a_whole_minute`, with the row.
    """
    kind = pd.api.types.infer_dtype(column)
    if kind not in ("string", "datetime64", "datetime"):
        came = "null in every row" if column.isna().all() else kind
        raise RequestError("bad_dtype", f"{column.name}: ISO 8601 text expected, got {came}")
    read = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    times = pd.DatetimeIndex(read)
    minutes, rest = np.divmod(times.asi8, PER_MINUTE[times.unit])  # too early of what is no time
    is_time = (minutes >= EARLIEST) & (minutes < TOO_LATE)
    if kind == "string":  # pandas takes "now" for a time as well
        is_time &= column.str.match(r"\d", na=False).to_numpy(np.bool_)
    unread = np.flatnonzero(~is_time)
    if len(unread):
        at = int(unread[0])
        told = shown(None if pd.isna(column.iloc[at]) else column.iloc[at])
        raise RequestError("bad_datetime", f"row {at}: no ISO 8601 time: {told}")
    if len(odd := np.flatnonzero(rest)):
        at = int(odd[0])
        raise RequestError("not_a_whole_minute", f"row {at}: {times[at].as_unit('ns').isoformat()}")
    return minutes


def matrix_of(table: pd.DataFrame, minutes: Integers) -> Floats:
    """Return the numbers of a table.

    Args:
        table: of columns of numbers alone.
        minutes: of its rows, for errors.

    Raises:
        RequestError: `bad_dtype` or `not_finite`, with the row.
    """
    for place, dtype in enumerate(table.dtypes):
        if dtype.kind not in "fiu":
            _refuse_column(table.iloc[:, place], minutes)
    matrix = table.to_numpy(np.float64, na_value=np.nan)
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        at, column = (int(place) for place in bad[0])
        # A null among numbers has become NaN.
        what = "null or NaN" if np.isnan(matrix[at, column]) else f"{matrix[at, column]}"
        value = f"{row_name(minutes, at)}: {table.columns[column]} is {what}, a number is expected"
        raise RequestError("not_finite", f"{value} ({len(bad)} such values in all)")
    return matrix


def _refuse_column(column: pd.Series, minutes: Integers) -> NoReturn:
    """Refuse a column of another type by its first value that is no number."""
    for at, value in enumerate(column):
        if is_number(value):
            continue
        code = "not_finite" if value is None or value is pd.NA else "bad_dtype"
        what = f"is {shown(value)}, a number of 64 bits is expected"
        raise RequestError(code, f"{row_name(minutes, at)}: {column.name} {what}")
    raise RequestError("bad_dtype", f"{column.name}: numbers expected, got {column.dtype}")


def _check_order(minutes: Integers, max_bridge_minutes: int) -> None:
    steps = np.diff(minutes)
    for code, wrong in (("duplicate_minute", steps == 0), ("unsorted", steps < 0)):
        if wrong.any():
            at = int(wrong.argmax()) + 1
            raise RequestError(code, f"{row_name(minutes, at)} follows {row_name(minutes, at - 1)}")
    holes = np.flatnonzero(steps - 1 > max_bridge_minutes)
    if len(holes):
        spans = [
            f"{row_name(minutes, at)} to {row_name(minutes, at + 1)} "
            f"({steps[at] - 1} minutes absent)"
            for at in holes[:5]
        ]
        more = f" and {len(holes) - 5} more" if len(holes) > 5 else ""
        allowed = f"at most {max_bridge_minutes} absent minutes are bridged"
        raise RequestError("hole", f"{'; '.join(spans)}{more}; {allowed}")
