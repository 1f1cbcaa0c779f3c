"""Minute bars of others: every form that is read, and what is said of every one that is not."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.archive.minute_table import NAMES, read_minutes
from quantgod.simulation.price_file import read_price_bars

DATA = Path("../shared/data")
needs_data = pytest.mark.skipif(not DATA.exists(), reason="no real files beside the project")

MINUTE = 28_401_120  # 2024-01-01 00:00
ROWS = [  # open, high, low, close, volume
    (100.0, 102.0, 99.0, 101.0, 1.5),
    (101.0, 103.0, 100.0, 102.0, 2.0),
    (103.0, 105.0, 102.0, 104.0, 0.0),
]
UNITS = {"s": 60, "ms": 60_000, "us": 60_000_000, "ns": 60_000_000_000}
HEADER = "open_time,open,high,low,close,volume"


def date(row: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return pd.Timestamp((MINUTE + row) * 60, unit="s").strftime(form)


def csv(times: list[object], header: str = HEADER, order: str = "ohlcv", more: str = "") -> str:
    """Lines with prices in the order of letters."""
    names = dict(zip("ohlcv", range(5), strict=True))
    rows = (
        ",".join([str(time), *(f"{row[names[one]]:g}" for one in order)]) + more
        for time, row in zip(times, ROWS, strict=True)
    )
    return "\n".join([*([header] if header else []), *rows]) + "\n"


def numbers(unit: str = "ms") -> list[object]:
    return [(MINUTE + row) * UNITS[unit] for row in range(3)]


KLINE_MORE = ",1704067259999,9.5,7,1.0,2.0,0"
FORMS = {
    "a header and milliseconds": csv(numbers()),
    "another order and case": csv(numbers(), "Unix,Close,Low,High,Open,Volume", "clhov"),
    "a quoted header": csv(numbers(), '"Time","open","high","low","close","vol"'),
    "columns that nobody knows": csv(numbers(), HEADER + ",trades,x", more=",12,abc"),
    "klines of futures": csv(
        numbers(), HEADER + ",close_time,q,count,tb,tq,ignore", more=KLINE_MORE
    ),
    "klines without a header": csv(numbers(), "", more=KLINE_MORE),
    "six columns in the ordinary order": csv(numbers(), ""),
    "six columns as Bitfinex has them": csv(numbers(), "", "ochlv"),
    "dates": csv([date(row) for row in range(3)], "timestamp,open,high,low,close,volume"),
    "dates of a zone": csv([f"2024-01-01T01:0{row}:00+01:00" for row in range(3)]),
    "dates with a Z, no header": csv([date(row, "%Y-%m-%dT%H:%MZ") for row in range(3)], ""),
    "no newline at the end": csv(numbers()).rstrip(),
    "carriage returns and a byte order mark": "\ufeff" + csv(numbers()).replace("\n", "\r\n"),
    "dates of zones that change": csv(
        ["2024-01-01T01:00+01:00", "2024-01-01T00:01Z", "2023-12-31T22:02-02:00"]
    ),
    "empty lines": csv(numbers()).replace("\n", "\n \n"),
    "newest first": "\n".join([HEADER, *csv(numbers(), "").splitlines()[::-1]]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_csv_is_read_in_the_form_of(form: str, tmp_path: Path) -> None:
    text = FORMS[form].encode()
    for name, content in (("a.csv", text), ("a.csv.gz", gzip.compress(text))):
        (tmp_path / name).write_bytes(content)
        check(read_minutes(tmp_path / name))


def check(frame: pd.DataFrame) -> None:
    assert frame.index.tolist() == [MINUTE, MINUTE + 1, MINUTE + 2]
    columns = ["open", "high", "low", "close", "volume"]
    assert frame[columns].to_numpy().tolist() == [list(row) for row in ROWS]


@pytest.mark.parametrize("columns", [2, 3, 5])
def test_a_header_may_have_as_few_columns_as_are_needed(columns: int, tmp_path: Path) -> None:
    names = ["open_time", "close", "low", "high", "open"][:columns]
    order = {"open": "o", "high": "h", "low": "l", "close": "c"}
    text = csv(numbers(), ",".join(names), "".join(order[name] for name in names[1:]))
    (tmp_path / "a.csv").write_text(text)
    frame = read_minutes(tmp_path / "a.csv", needs=names[1:])
    places = [["open", "high", "low", "close"].index(name) for name in frame]
    assert sorted(frame) == sorted(names[1:])
    assert frame.to_numpy().tolist() == [[row[place] for place in places] for row in ROWS]


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_a_table_with_an_index_or_a_column_of_times_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    frame = pd.DataFrame(ROWS, columns=["open", "high", "low", "close", "volume"])
    times = pd.to_datetime([date(row) for row in range(3)])
    forms = [frame.assign(timestamp=times), frame.assign(time=np.array(numbers()))]
    if suffix == "parquet":
        forms.append(frame.set_index(times.tz_localize("UTC").rename("datetime")))
    for form in forms:
        getattr(form, f"to_{suffix}")(path)
        check(read_minutes(path))


@given(unit=st.sampled_from(list(UNITS)), asked=st.sampled_from(list(UNITS)))
def test_times_are_of_the_unit_that_is_asked_for_or_named(
    tmp_path_factory: pytest.TempPathFactory, unit: str, asked: str
) -> None:
    path = tmp_path_factory.mktemp("units") / "prices.csv"
    path.write_text(csv(numbers(unit)))
    if unit == asked:
        check(read_minutes(path, asked))
        return
    words = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    expected = rf"prices.csv: column 'open_time' holds {words[unit]} .*{words[asked]} were expected"
    with pytest.raises(ValueError, match=f"{expected}; --unit {unit} takes them"):
        read_minutes(path, asked)


TWO_SYMBOLS = "".join(
    f"{line},{name}\n"
    for line, name in zip(csv(numbers()).split(), ["symbol", *"ABB"], strict=True)
)
REFUSED = {
    "a unit that changes": (csv([*numbers()[:2], numbers("us")[2]]), "microseconds .from row 3"),
    "no time": (csv(numbers(), "when,open,high,low,close,v"), "column time; there are when"),
    "no low": (csv(numbers(), "time,open,high,lowest,close,volume"), "no column low"),
    "two symbols": (TWO_SYMBOLS, "one symbol was expected, column 'symbol' holds"),
    "a column twice": (csv(numbers(), "time,open,high,low,low,volume"), "column low stands twice"),
    "seven columns": (csv(numbers(), "", more=",1"), "12 columns of Binance's klines were"),
    "one column": ("".join(f"{time}\n" for time in numbers()), "and volume; got 1$"),
    "a name alone": ("open_time\n1\n", "and volume; got 1$"),
    "a time that is none among as many that are": (
        f"{HEADER}\n{numbers()[0]},9,9,9,9,1\nsoon,9,9,9,9,1\n", "line 3: its time is no number"
    ),
    "a date that is none": (csv([date(0), "2024-01-32 00:00", date(2)]), "line 3: its time is no"),
    "a second that is no minute": (csv([date(0), "2024-01-01 00:01:01", date(2)]), "line 3: it o"),
    "a time that stands still": (csv([numbers()[0], *numbers()[:2]]), "line 3: its time is not"),
    "a high below the close": (csv(numbers()).replace("103", "101.5", 1), "line 3: low and high"),
    "hours": (
        csv([(MINUTE + 60 * row) * 60_000 for row in range(3)]),
        r"of one minute .* 60 minutes apart \(1h\); no command .* of 1m",
    ),
    "days": (
        csv([(MINUTE + 1440 * row) * 60_000 for row in range(3)]), r"1440 .* \(1d\)"
    ),
    "quarters": (
        csv([(MINUTE + 15 * row) * 60_000 for row in range(3)]), r"15 minutes apart \(15m\); no"
    ),
    "a line too short, and one too long": (
        f"{HEADER}\n{numbers()[0]},9,9,9,9,1\n{numbers()[1]},9,9\n{numbers()[2]},9,9,9,9,1,1\n",
        "line 3: another number of fields",
    ),
    "a line after an empty one": (
        csv(numbers()).replace("103", "9", 1).replace("\n", "\n\n", 1), "line 4: "
    ),
    "a negative volume": (csv(numbers()).replace(",2\n", ",-0.5\n", 1), "line 3: volume is below"),
    "nothing": ("", r"is empty \(0 bytes\), bars were expected"),
    "a picture": ("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is no text"),
    "blanks": (" \n\n", "holds blanks alone, and no row of bars"),
    "a header alone": (HEADER + "\n", f"holds the columns {', '.join(HEADER.split(','))}, and no "),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_is_refused_by_name_for(what: str, tmp_path: Path) -> None:
    text, words = REFUSED[what]
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"prices.csv.*{words}"):
        read_minutes(path)


@pytest.mark.parametrize("bad", range(3))
@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_a_row_of_a_table_is_refused_by_its_number(suffix: str, bad: int, tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["open", "high", "low", "close", "volume"])
    frame.insert(0, "time", np.array(numbers()))
    frame.loc[bad, "high"] = 1.0
    getattr(frame, f"to_{suffix}")(tmp_path / f"a.{suffix}")
    with pytest.raises(ValueError, match=rf"a.{suffix} row {bad + 1}: .*; got time .*, high 1.0, "):
        read_minutes(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("rows", [1, 2])
def test_one_and_two_rows_are_read_newest_first_too(rows: int, tmp_path: Path) -> None:
    lines = csv(numbers(), "").splitlines()[:rows]
    for order in (lines, lines[::-1]):
        (tmp_path / "a.csv").write_text("\n".join([HEADER, *order]))
        assert read_minutes(tmp_path / "a.csv").index.tolist() == [MINUTE, MINUTE + 1][:rows]


def test_times_of_1970_are_of_any_unit(tmp_path: Path) -> None:
    for unit, a_minute in UNITS.items():
        (tmp_path / "a.csv").write_text(csv([a_minute * row for row in range(3)]))
        if a_minute * 2 < 1e8:  # beyond that they could be seconds of later years
            assert read_minutes(tmp_path / "a.csv", unit).index.tolist() == [0, 1, 2]


def test_a_name_ends_with_the_kind_of_its_file(tmp_path: Path) -> None:
    for name in ("a.csv.gz.old", "a.csv.old.txt", "csv", "a.gz"):
        (tmp_path / name).write_text(csv(numbers()))
        with pytest.raises(ValueError, match=r"a file \.csv, \.csv\.gz, .* was expected"):
            read_minutes(tmp_path / name)


def test_a_file_of_another_kind_and_a_broken_one_are_refused(tmp_path: Path) -> None:
    for name in ("a.txt", "a.parquet", "a.feather", "a.csv.gz"):
        (tmp_path / name).write_bytes(b"no such file")
        with pytest.raises(ValueError, match=name):
            read_minutes(tmp_path / name)


@pytest.mark.long
@needs_data
@pytest.mark.parametrize(
    ("name", "rows"),
    [("FILUSDT-1m-2023-08", 44_640), ("BTCUSDT_1m_2024", 50_000), ("BTCUSD_1m_2018", 520_499)],
)
def test_real_files_are_read_whole(name: str, rows: int) -> None:
    frame = read_minutes(DATA / f"{name}.csv.gz")
    assert len(frame) == rows
    assert (frame["high"] >= frame[["open", "low", "close"]].max(axis=1)).all()


@needs_data
@pytest.mark.parametrize("name", ["BTCUSDT_1d.csv.gz", "BTCUSDT_1h_2023_2024.feather"])
def test_real_files_of_longer_bars_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="bars of one minute were expected, these are"):
        read_minutes(DATA / name)


def test_prices_cover_the_days_but_for_a_last_hour_and_holes_of_a_day(tmp_path: Path) -> None:
    """Of the minutes ahead, which only plant the signal, all may be absent."""
    path, start = tmp_path / "prices.csv", MINUTE * 60_000

    def write(*minutes: range) -> None:
        at = [minute for part in minutes for minute in part]
        path.write_text("".join(f"{start + 60_000 * one},9,9,9,9,1\n" for one in at))

    write(range(1_380))  # 23 hours
    assert read_price_bars(path, start, 1_500, ahead=60).close.tolist() == [9.0] * 1_500
    write(range(1_379))
    with pytest.raises(ValueError, match=r"00:00 to 2024-01-01 22:58, but .* to 2024-01-01 23:59"):
        read_price_bars(path, start, 1_500, ahead=60)
    write(range(10), range(1_449, 3_000))
    assert len(read_price_bars(path, start, 3_000).close) == 3_000
    write(range(10), range(1_450, 3_000))
    with pytest.raises(ValueError, match="no prices between 2024-01-01 00:09 and 2024-01-02 00:10"):
        read_price_bars(path, start, 3_000)


def test_the_documents_tell_every_name_and_unit() -> None:
    told = Path("docs/data.md").read_text(encoding="utf-8")
    names = [alias for aliases in NAMES.values() for alias in aliases if "_" not in alias[3:]]
    assert [name for name in names if f"`{name}`" not in told] == []
    assert "`--unit s`, `us` or `ns`" in told
