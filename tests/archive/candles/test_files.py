"""Candles are read from any form of file, and of what is none the file and the reason are told."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.archive.candles.files import NAMES, CandleFile, read_candle_file
from quantgod.archive.price_table import PriceJumpError
from quantgod.archive.table_file import MARKS, TableError
from quantgod.contracts import CANDLE_COLUMNS, INTERVALS
from tests.archive.feeds import FULL

DATA = Path("../shared/data")
needs_data = pytest.mark.skipif(not DATA.exists(), reason="no real files beside the project")

LIMITS = FULL.etl.limits
DAY = 86_400_000
FIRST = 1_735_603_200_000  # 2024-12-31, a day before spot files change to microseconds
NOW = FIRST + 4000 * DAY
UNITS = {"s": 1e-3, "ms": 1, "us": 1000, "ns": 1_000_000}
HEADERS = {
    "a header": "timestamp,open,high,low,close,volume",
    "klines": "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore",
    "klines of an exchange's client": "Open Time,Open,High,Low,Close,Volume,Close Time,"
    "quote_asset_volume,number_of_trades,taker_buy_base_asset_volume,more,ignore",
    "no volume": "ticker,date,open,high,low,close",
    "another order": "CLOSE,low,High,open,Vol,Unix",
}
BARE = {
    "klines without a header": HEADERS["klines"],
    "six without a header": HEADERS["a header"],
    "as Bitfinex has them": "timestamp,open,close,high,low,volume",
}
FORMS = HEADERS | BARE


def table(times: list[int], names: list[str], step: int, unit: str, *, dates: bool) -> pd.DataFrame:
    """A table of these columns, whatever a source calls them; its values follow from the times."""
    at = np.array(times, np.int64)
    n = np.arange(len(at)) + 1.0
    told = {
        "open": 100 + n, "high": 103 + n, "low": 98 + n / 2, "close": 102 + n - 0.5,
        "volume": 7 * n, "quote_volume": 700 * n, "trades": n, "taker_volume": 3 * n,
        "symbol": np.full(len(at), "btc/usdt"),
        "time": stamps(at, unit, dates), "close_time": stamps(at + step - 1, unit, dates),
    }  # fmt: skip
    known = {alias: name for name, aliases in NAMES.items() for alias in aliases}
    columns = {}
    for name in names:
        own = known.get(name.lower().replace(" ", "_"))
        columns[name] = told[own] if own else np.full(len(at), 9.5)
    return pd.DataFrame(columns)


def stamps(at: np.ndarray, unit: str, dates: bool) -> np.ndarray | pd.DatetimeIndex:
    if dates:
        return pd.to_datetime(at, unit="ms", utc=True)
    return (at * UNITS[unit]).astype(np.int64) if unit != "s" else at // 1000


def written(
    folder: Path, frame: pd.DataFrame, kind: str, *, header: bool, blanks: bool, mark: str = ","
) -> Path:
    path = folder / f"BTCUSDT{kind}"
    if kind in (".parquet", ".feather"):
        getattr(frame, f"to_{kind[1:]}")(path)
        return path
    text = frame.to_csv(index=False, header=header, sep=mark)
    content = (text.replace("\n", "\n\n", 3) + "\n \n" if blanks else text).encode()
    if kind == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("BTCUSDT-1d.csv", content)
        content = packed.getvalue()
    path.write_bytes(gzip.compress(content) if kind == ".csv.gz" else content)
    return path


def read(
    path: Path, interval: str = "1d", *, now: int = NOW, drop_last: bool = False
) -> CandleFile:
    return read_candle_file(
        path, "BTCUSDT", "spot", interval, now_ms=now, drop_last=drop_last, limits=LIMITS
    )


@given(st.data())
def test_a_file_of_any_form_holds_the_same_candles(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    draw = data.draw
    form, interval = draw(st.sampled_from([*FORMS])), draw(st.sampled_from([*INTERVALS]))
    kind = draw(st.sampled_from([".csv", ".csv.gz", ".zip", ".parquet", ".feather"]))
    unit, dates, blanks, newest_first = draw(
        st.tuples(st.sampled_from([*UNITS]), st.booleans(), st.booleans(), st.booleans())
    )
    mark = draw(st.sampled_from(MARKS))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 9]), max_size=12))
    steps = [*steps, *[1] * len(steps), 1]  # most candles are neighbours
    header = form in HEADERS
    step = INTERVALS[interval]
    times = [FIRST, *(FIRST + np.cumsum(steps) * step).tolist()]
    if not header and kind in (".parquet", ".feather"):
        kind = ".csv"  # those have names always
    names = FORMS[form].split(",")
    frame = table(times, names, step, unit, dates=dates)
    if newest_first:
        frame = frame[::-1].reset_index(drop=True)
    folder = tmp_path_factory.mktemp("form")
    found = read(written(folder, frame, kind, header=header, blanks=blanks, mark=mark), interval)
    assert found.unclosed == "" and found.candles.time_ms.tolist() == times
    expected = table(times, list(CANDLE_COLUMNS), step, "ms", dates=False)
    has = [name for name in CANDLE_COLUMNS if name not in found.lacks]
    aliases = {name.lower().replace(" ", "_") for name in names}
    assert has == [name for name in CANDLE_COLUMNS if aliases & {*NAMES[name]}]
    for name in has:
        np.testing.assert_allclose(found.candles.column(name), expected[name], rtol=1e-12)
    assert all(np.isnan(found.candles.column(name)).all() for name in found.lacks)


def days(count: int, names: str = HEADERS["a header"], unit: str = "ms") -> pd.DataFrame:
    times = [FIRST + DAY * day for day in range(count)]
    return table(times, names.split(","), DAY, unit, dates=False)


def saved(folder: Path, frame: pd.DataFrame | str, name: str = "a.csv") -> Path:
    path = folder / name
    text = frame if isinstance(frame, str) else frame.to_csv(index=False)
    path.write_text(text)
    return path


def test_the_unit_may_change_within_a_file_as_spot_files_do(tmp_path: Path) -> None:
    """A row's own size tells it: joined months go from ms to us with 2025."""
    frame = days(6)
    frame.loc[1:, "timestamp"] *= 1000
    path = saved(tmp_path, frame)
    assert np.diff(read(path).candles.time_ms).tolist() == [DAY] * 5


def test_only_closed_candles_are_taken(tmp_path: Path) -> None:
    path = saved(tmp_path, days(3))
    ends = FIRST + 3 * DAY
    os.utime(path, (NOW / 1000, NOW / 1000))
    assert read(path, now=ends).unclosed == ""
    before = read(path, now=ends - 1)
    assert (
        "it closes at 2025-01-03 00:00:00, after now" in before.unclosed
        and len(before.candles) == 2
    )
    assert len(read(path, drop_last=True).candles) == 2
    with pytest.raises(TableError, match="opens at 2025-01-02 00:00:00, after now"):
        read(path, now=ends - DAY - 1)
    os.utime(path, ((ends - 5) / 1000,) * 2)
    assert "was made at 2025-01-02 23:59:59, before" in read(path).unclosed
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=ends // 1000 - 5))
    assert "was made at 2025-01-02 23:59:55, before" in read(packed).unclosed
    klines = days(3, HEADERS["klines"])
    assert read(saved(tmp_path, klines)).unclosed == ""
    klines.loc[2, "close_time"] -= 60_000  # by its client, which asked in between
    assert "its close time is 2025-01-02 23:58:59" in read(saved(tmp_path, klines)).unclosed
    with pytest.raises(TableError, match="no closed candle"):
        read(saved(tmp_path, days(1)), drop_last=True)


FAULTS = {
    "hours": ("interval", "candles of 1d .* these are 60 minutes apart .1h.; --interval says"),
    "hours by their close times": ("interval", "60 minutes apart .1h."),
    "a symbol": ("symbol", "bars of BTCUSDT were expected, column 'pair' holds ETHUSDT"),
    "off the grid": ("bad_row", "line 3: it opens at 2025-01-01T00:01:00.000 UTC, off the grid"),
    "twice": ("bad_row", "line 4: its time is not after the one before; expected a later time"),
    "a high too low": ("bad_row", "line 3: low and high do not hold the other prices"),
    "a negative count": ("bad_row", "line 4: trades is below 0"),
    "a price of 0": ("bad_row", "line 4: low is not above 0"),
    "no price": ("bad_row", "line 2: open is no number"),
    "a thousand by a comma": ("bad_row", "line 3: close is no number"),
    "decimal commas": ("bad_row", "line 2: open, .* is no number"),
    "a date of another form": ("bad_row", "line 2: its time is no number and no date of ISO 8601"),
    "times of no unit": ("bad_row", "line 2"),
    "no close": ("columns", "no column close; there are"),
    "another market": ("price_jump", "the close is .* leave out the bars of another symbol"),
    "a picture": ("no_text", "is no text"),
    "nothing": ("empty", "0 bytes"),
    "a header alone": ("empty", "no row"),
}


def faulty(what: str) -> pd.DataFrame | str:
    frame = days(4, HEADERS["klines"])
    if what == "hours":
        frame["open_time"] = FIRST + 3_600_000 * np.arange(4)
        return frame.drop(columns="close_time")
    if what == "hours by their close times":
        frame["close_time"] = frame["open_time"] + 3_599_999
    changes = {
        "a symbol": ("pair", slice(None), "ETHUSDT"),
        "off the grid": ("open_time", 1, FIRST + DAY + 60_000),
        "twice": ("open_time", 2, FIRST + DAY),
        "a high too low": ("high", 1, 99.0),
        "a negative count": ("count", 2, -1.0),
        "a price of 0": ("low", 2, 0.0),
        "a thousand by a comma": ("close", 1, "1,020.5"),
        "a date of another form": ("open_time", slice(None), "31.12.2024"),
        "no price": ("open", 0, np.nan),
        "times of no unit": ("open_time", 0, 20_000),
        "another market": (["open", "high", "low", "close"], 2, 2e6),
    }
    if what in changes:
        column, row, value = changes[what]
        if isinstance(value, str):
            frame = frame.astype(object)
        frame.loc[row, column] = value
    return {
        "no close": frame.drop(columns="close"),
        "decimal commas": "time;open;high;low;close;volume\n1735603200000;1,5;2,5;1,25;2,0;7,5\n",
        "a picture": "\x89PNG\r\n\x1a\n\0\0",
        "nothing": "",
        "a header alone": HEADERS["klines"] + "\n",
    }.get(what, frame)


@pytest.mark.parametrize("what", FAULTS)
def test_what_is_wrong_is_told_by_file_and_place(what: str, tmp_path: Path) -> None:
    reason, words = FAULTS[what]
    with pytest.raises(TableError, match=f"a.csv.*{words}") as refused:
        read(saved(tmp_path, faulty(what)))
    assert refused.value.reason == reason
    assert isinstance(refused.value, PriceJumpError) == (reason == "price_jump")


def test_damaged_files_and_strange_zips_are_refused(tmp_path: Path) -> None:
    whole = written(tmp_path, days(40), ".zip", header=True, blanks=False).read_bytes()
    packed = gzip.compress(days(40).to_csv(index=False).encode())
    two = io.BytesIO()
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
    for name, content, reason in (
        ("a.zip", whole[: len(whole) // 2], "bad_zip"),
        ("a.zip", whole.replace(b"101", b"191", 1), "bad_crc"),
        ("a.zip", two.getvalue(), "too_many_members"),
        ("a.csv.gz", packed[:-20], "unreadable"),
        ("a.parquet", b"no such file", "unreadable"),
        ("a.xlsx", b"no such file", "unknown_kind"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TableError, match=name) as refused:
            read(tmp_path / name)
        assert refused.value.reason == reason


@needs_data
@pytest.mark.parametrize(
    ("name", "symbol", "interval", "rows", "holes"),
    [
        ("BTCUSDT_1d.csv.gz", "BTCUSDT", "1d", 3122, 0),
        ("XRPUSDT_1d.csv.gz", "XRPUSDT", "1d", 2875, 0),
        ("BTCUSDT_1m_2025.csv.gz", "BTCUSDT", "1m", 50_000, 0),
        ("FILUSDT-1m-2023-08.csv.gz", "FILUSDT", "1m", 44_640, 0),
        ("BTCUSDT_1h_2023_2024.feather", "BTCUSDT", "1h", 18_000, 1),
        ("btc_usd_daily.csv", "BTCUSD", "1d", 5628, 2),
    ],
)
def test_real_files_are_read_whole(
    name: str, symbol: str, interval: str, rows: int, holes: int
) -> None:
    candles = read_candle_file(DATA / name, symbol, "spot", interval, now_ms=NOW).candles
    assert (len(candles), candles.stretch[-1]) == (rows, holes)
