"""Rows that are posted are read as they came, or refused with a code and the row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import CLASSES, FEATURE_SET, FEATURES
from quantgod.served.contract import Contract
from quantgod.served.request.rows import LARGEST, RequestError, check_range, read_rows
from tests.synthetic import synthetic_bars

BRIDGE = 5


@pytest.fixture
def rows() -> pd.DataFrame:
    return synthetic_bars(1_000, seed=3)[list(FEATURES)].iloc[217:].reset_index()


def contract(window: int = 3) -> Contract:
    whose = "BTCUSDT", "linear", "book", FEATURE_SET
    return Contract(*whose, list(FEATURES), [], list(CLASSES), window, BRIDGE, [2.0, 1.0, 2.0])


@pytest.mark.parametrize(
    "write",
    [
        lambda times: times.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda times: times.dt.strftime("%Y-%m-%dT%H:%M"),
        lambda times: times.dt.strftime("%Y-%m-%d %H:%M:%S+00:00"),
        lambda times: times.dt.tz_localize(None),
        lambda times: times.dt.tz_convert("Asia/Tokyo"),
        lambda times: times.dt.tz_convert("Asia/Tokyo").map(pd.Timestamp.isoformat),
        lambda times: pd.Series(list(times.dt.to_pydatetime()), dtype=object),
        lambda times: times.dt.as_unit("s"),
        lambda times: times.dt.as_unit("ms"),
        lambda times: times.dt.as_unit("ns"),
    ],
    ids=[
        *("zulu", "naive text", "offset", "naive", "zone", "zone as text", "objects"),
        *("s", "ms", "ns"),
    ],
)
def test_a_time_may_be_written_in_any_way_of_iso_8601(
    rows: pd.DataFrame, write: Callable[[pd.Series], pd.Series]
) -> None:
    expected, _ = read_rows(rows, contract())
    minutes, _ = read_rows(rows.assign(datetime=write(rows["datetime"])), contract())
    assert (minutes == expected).all()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_years_that_nanoseconds_hold_whole_are_times_and_no_others(unit: str) -> None:
    """NaT is the least number of each unit."""
    bars = synthetic_bars(3, seed=3)[list(FEATURES)].reset_index(drop=True)

    def read(*times: object) -> list[int]:
        index = pd.DatetimeIndex(times, tz="UTC").as_unit(unit)
        return read_rows(bars.assign(datetime=index), contract())[0].tolist()

    for first in (pd.Timestamp("1678-01-01"), pd.Timestamp("2261-12-31T23:57")):
        begins = int(first.timestamp()) // 60
        times = [first + pd.Timedelta(minutes=one) for one in range(3)]
        assert read(*times) == [begins, begins + 1, begins + 2]
        for wrong in ("1677-12-31T23:59", "2262-01-01", pd.NaT):
            with pytest.raises(RequestError, match="bad_datetime: row 1: no ISO 8601 time"):
                read(times[0], pd.Timestamp(wrong), times[2])


def test_whole_numbers_are_numbers(rows: pd.DataFrame) -> None:
    _, features = read_rows(rows.assign(upper_wick=0), contract())
    assert features.dtype == np.float64
    assert (features[:, 1] == 0).all()


def changed(rows: pd.DataFrame, name: str, at: int, value: object) -> pd.DataFrame:
    column = rows[name].astype(object) if not isinstance(value, float) else rows[name].copy()
    column.iloc[at] = value
    return rows.assign(**{name: column})


def objects(rows: pd.DataFrame, values: list[object]) -> pd.DataFrame:
    """The column `body` as JSON may bring it, beginning with these values."""
    column = rows["body"].astype(object)
    column.iloc[: len(values)] = values
    return rows.assign(body=column)


@pytest.mark.parametrize("number", [0, -3, 2**63 - 1, 1 - 2**63, 0.5, np.int64(2), np.float32(2)])
@pytest.mark.parametrize("other", ["7", True, False, 2**63, -(2**63), None, [1.0]])
def test_among_objects_the_first_that_is_no_number_of_64_bits_is_named(
    rows: pd.DataFrame, number: object, other: object
) -> None:
    """True is no 1, a text no number, and what 64 bits cannot hold none either."""
    with pytest.raises(RequestError) as refused:
        read_rows(objects(rows, [number, number, other, "later"]), contract())
    assert refused.value.code == ("not_finite" if other is None else "bad_dtype")
    told = "is null" if other is None else f"is {other!r}"
    assert refused.value.reason.startswith(f"row 2 (2024-01-01T03:39:00Z): body {told}")


def test_numbers_in_a_column_of_objects_are_refused_as_the_column(rows: pd.DataFrame) -> None:
    with pytest.raises(RequestError, match="body: numbers expected, got object"):
        read_rows(objects(rows, [1, 2.0]), contract())


def without(rows: pd.DataFrame, first: int, count: int) -> pd.DataFrame:
    return rows.drop(index=range(first, first + count)).reset_index(drop=True)


REFUSED: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str, str]] = {
    "no rows": (lambda rows: rows.iloc[:0], "too_few_rows", "0 rows given, at least 3"),
    "too few": (lambda rows: rows.iloc[:2], "too_few_rows", "2 rows given, at least 3"),
    "no column": (lambda rows: rows.drop(columns="volatility"), "missing_column", "volatility"),
    "column twice": (
        lambda rows: pd.concat([rows, rows[["body", "datetime"]]], axis=1),
        "duplicate_column",
        "datetime, body given twice",
    ),
    "no time": (lambda rows: rows.drop(columns="datetime"), "missing_column", "datetime"),
    "nan": (lambda rows: changed(rows, "body", 4, np.nan), "not_finite", "row 4 (2024-01-01T03:41"),
    "infinity": (
        lambda rows: changed(rows, "mean_obi", 0, np.inf),
        "not_finite",
        "mean_obi is inf",
    ),
    "text": (
        lambda rows: changed(rows, "body", 4, "a"),
        "bad_dtype",
        "row 4 (2024-01-01T03:41:00Z): body is 'a', a number of 64 bits is expected",
    ),
    "complex": (lambda rows: rows.assign(body=1j), "bad_dtype", "body is 1j"),
    "epoch": (lambda rows: rows.assign(datetime=range(len(rows))), "bad_dtype", "got integer"),
    "nonsense": (
        lambda rows: changed(
            rows.assign(datetime=rows["datetime"].astype(str)), "datetime", 6, "x"
        ),
        "bad_datetime",
        "row 6: no ISO 8601 time: 'x'",
    ),
    "no such day": (
        lambda rows: rows.assign(datetime="2024-02-30T00:00:00Z"),
        "bad_datetime",
        "row 0: no ISO 8601 time: '2024-02-30",
    ),
    **{
        text: (
            lambda rows, text=text: changed(
                rows.assign(datetime=rows["datetime"].astype(str)), "datetime", 6, text
            ),
            "bad_datetime",
            f"row 6: no ISO 8601 time: '{text}'",
        )
        for text in ("9999-12-31T23:59:00Z", "2262-01-01T00:00Z", "0001-01-01T00:00Z", "now")
    },
    "far away": (
        lambda rows: rows.assign(datetime=pd.Timestamp("2300-01-01", tz="UTC").as_unit("us")),
        "bad_datetime",
        "row 0: no ISO 8601 time: Timestamp('2300-01-01",
    ),
    "null": (lambda rows: changed(rows, "datetime", 6, pd.NaT), "bad_datetime", "row 6"),
    "seconds": (
        lambda rows: rows.assign(datetime=rows["datetime"] + pd.Timedelta(seconds=30)),
        "not_a_whole_minute",
        "row 0: 2024-01-01T03:37:30",
    ),
    "twice": (
        lambda rows: pd.concat([rows[:5], rows[4:]]),
        "duplicate_minute",
        "row 5 (2024-01-01T03:41:00Z) follows row 4 (2024-01-01T03:41:00Z)",
    ),
    "backwards": (
        lambda rows: rows[::-1],
        "unsorted",
        "row 1 (2024-01-01T16:38:00Z) follows row 0",
    ),
    "hole": (
        lambda rows: without(rows, 100, BRIDGE + 1),
        "hole",
        "row 99 (2024-01-01T05:16:00Z) to row 100 (2024-01-01T05:23:00Z) (6 minutes absent)",
    ),
}


@pytest.mark.parametrize(("spoil", "code", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_rows_that_cannot_be_judged_are_refused_by_name(
    rows: pd.DataFrame,
    spoil: Callable[[pd.DataFrame], pd.DataFrame],
    code: str,
    reason: str,
) -> None:
    with pytest.raises(RequestError) as refused:
        read_rows(spoil(rows), contract())
    assert refused.value.code == code
    assert reason in refused.value.reason


def test_what_overflows_is_counted_from_the_trained_mean_and_the_first_is_named(
    rows: pd.DataFrame,
) -> None:
    minutes, features = read_rows(rows, contract())[0], np.zeros((len(rows), 9))
    trained = FEATURES, np.full(9, -LARGEST), np.full(9, 2.0)
    features[5, 2], features[6, 1] = LARGEST, -3 * LARGEST
    check_range(features, minutes, *trained)  # both lie exactly as far away as may be
    for row, column in ((9, 3), (7, 4), (8, 0)):
        features[row, column] = LARGEST * 1.001
    with pytest.raises(RequestError) as refused:
        check_range(features, minutes, *trained)
    assert refused.value.reason.startswith(f"row 7 (2024-01-01T03:44:00Z): {FEATURES[4]} is ")
    assert "(3 such values in all)" in refused.value.reason


def test_of_several_values_that_are_wrong_the_first_is_named(rows: pd.DataFrame) -> None:
    for name, at, value in (("mean_obi", 9, np.nan), ("body", 4, np.inf), ("body", 12, np.nan)):
        rows = changed(rows, name, at, value)
    with pytest.raises(RequestError) as refused:
        read_rows(rows, contract())
    assert (
        refused.value.reason == "row 4 (2024-01-01T03:41:00Z): body is inf, a number is expected "
        "(3 such values in all)"
    )
    times = rows["datetime"].astype(str).astype(object)
    times[[7, 8, 11]] = "x"
    with pytest.raises(RequestError, match="row 7: no ISO 8601 time"):
        read_rows(rows.assign(datetime=times), contract())
    odd = rows["datetime"].copy()
    odd[[6, 8, 12]] += pd.Timedelta(seconds=1)
    with pytest.raises(RequestError, match="row 6: 2024-01-01T03:43:01"):
        read_rows(rows.assign(datetime=odd), contract())


def test_exactly_a_window_of_rows_is_enough(rows: pd.DataFrame) -> None:
    minutes, features = read_rows(rows.iloc[:3], contract())
    assert len(minutes) == len(features) == 3


def test_every_long_hole_is_named(rows: pd.DataFrame) -> None:
    with pytest.raises(RequestError, match=r"row 99 .* row 199 .*at most 5 absent minutes"):
        read_rows(without(without(rows, 200 + 7, 7), 100, 7), contract())


@pytest.mark.parametrize("count", [5, 6, 8])
def test_of_many_holes_five_are_named_and_the_others_counted(
    rows: pd.DataFrame, count: int
) -> None:
    for number in reversed(range(count)):
        rows = without(rows, 20 + 20 * number, BRIDGE + 1)
    with pytest.raises(RequestError) as refused:
        read_rows(rows, contract())
    assert refused.value.reason.count("minutes absent") == 5
    assert ("more" in refused.value.reason) == (count > 5)
    assert (f" and {count - 5} more" in refused.value.reason) == (count > 5)
