import datetime as dt
import gzip
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from quantgod.settings import SimulateSettings
from quantgod.simulation.archives import price_path, strangers, write_archives
from quantgod.simulation.price_file import read_price_bars
from tests.archive.faults.stream import ends_early
from tests.archive.faults.writing import write_faulty
from tests.archive.feeds import FULL

ROOT = Path(__file__).parents[2]
REAL = ROOT / ".." / "shared" / "data"
REAL_ARCHIVE = REAL / "2024-12-01_XRPUSDT_ob500.data.zip"
REAL_PRICES = REAL / "BTCUSD_1m_2018.csv.gz"

needs_real_data = pytest.mark.skipif(
    not REAL_PRICES.exists(), reason="the real recordings are not beside this checkout"
)


def _settings(**changes):
    values = {
        "start": dt.date(2024, 1, 1),
        "days": 1,
        "levels": 200,
        "cadence_ms": 10_000,
        "seed": 7,
        "signal": 0.5,
        "price": 60_000.0,
        "tick": 0.1,
        "volatility": 0.0009,
        "changes": 20,
    }
    return SimulateSettings(**(values | changes))


def _lines(path):
    with zipfile.ZipFile(path) as archive:
        (member,) = archive.namelist()
        return archive.read(member).splitlines()


def _mids(lines):
    """Mid after each message, from a book of two plain dictionaries."""
    sides, mids = {"b": {}, "a": {}}, []
    for line in lines:
        message = json.loads(line)
        for key, side in sides.items():
            if message["type"] == "snapshot":
                side.clear()
            for price, size in message["data"][key]:
                side[float(price)] = size
                if size == "0":
                    del side[float(price)]
        mids.append((message["ts"], (max(sides["b"]) + min(sides["a"])) / 2))
    return mids


def test_archives_have_the_venues_names_and_members(tmp_path):
    told = []
    paths = write_archives(
        tmp_path,
        "ETHUSDT",
        _settings(days=2, levels=500, price=3_000.0, tick=0.01),
        progress=lambda *step: told.append(step[:2]),
    )
    assert [path.name for path in paths] == [
        "2024-01-01_ETHUSDT_ob500.data.zip",
        "2024-01-02_ETHUSDT_ob500.data.zip",
    ]
    assert sorted(tmp_path.iterdir()) == paths
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            (info,) = archive.infolist()
            assert info.filename == path.name.removesuffix(".zip")
            assert info.compress_type == zipfile.ZIP_DEFLATED
            assert archive.testzip() is None
    assert told == [(0, 2), (1, 2), (2, 2)]


@needs_real_data
def test_lines_have_the_shape_of_the_real_recording(tmp_path):
    (path,) = write_archives(tmp_path, "XRPUSDT", _settings(levels=500, price=1.95, tick=0.0001))

    def shape(line):
        message = json.loads(line)
        row = message["data"]["b"][0]
        kinds = {key: type(value).__name__ for key, value in message.items()}
        inner = {key: type(value).__name__ for key, value in message["data"].items()}
        return message["topic"], message["type"], kinds, inner, len(row[0])

    for simulated, real in zip(_lines(path)[:5], _lines(REAL_ARCHIVE)[:5], strict=True):
        assert shape(simulated) == shape(real)
        assert list(json.loads(simulated)) == list(json.loads(real))
        assert list(json.loads(simulated)["data"]) == list(json.loads(real)["data"])


@pytest.mark.long
def test_the_same_seed_gives_the_same_bytes_in_any_process(tmp_path):
    program = """
import datetime as dt, pathlib, sys
from quantgod.simulation.archives import write_archives
from quantgod.settings import SimulateSettings
settings = SimulateSettings.model_validate_json(sys.argv[2])
write_archives(pathlib.Path(sys.argv[1]), "BTCUSDT", settings)
"""
    settings = _settings(days=2, cadence_ms=60_000)
    here = write_archives(tmp_path / "here", "BTCUSDT", settings)
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "there"), settings.model_dump_json()],
        check=True,
        cwd=ROOT,
        env={"PYTHONHASHSEED": "12345", "PATH": ""},
    )
    for path in here:
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()


@pytest.mark.parametrize(
    "change", [{"seed": 8}, {"signal": 0.0}, {"levels": 500}, {"volatility": 0.001}, {"changes": 9}]
)
def test_every_setting_changes_the_bytes(change, tmp_path):
    digests = {
        hashlib.sha256(b"".join(_lines(path))).hexdigest()
        for folder, settings in (("a", _settings()), ("b", _settings(**change)))
        for path in write_faulty(tmp_path / folder, "BTCUSDT", settings, [ends_early(5)])
    }
    assert len(digests) == 2


def test_messages_keep_their_cadence_and_ids_through_midnight(tmp_path):
    paths = write_archives(tmp_path, "BTCUSDT", _settings(days=2))
    messages = [json.loads(line) for path in paths for line in _lines(path)]
    updates = np.array([message["data"]["u"] for message in messages])
    slots = np.array([message["ts"] for message in messages]) // 10_000
    assert np.all(np.diff(updates) == 1)
    assert np.all(np.diff(slots) == 1)
    assert slots[0] * 10_000 == 1_704_067_200_000
    assert len(messages) == 2 * 8_640
    kinds = [message["type"] for message in messages]
    assert [place for place, kind in enumerate(kinds) if kind == "snapshot"] == [0, 8_640]


def test_nothing_is_left_of_an_interrupted_write(tmp_path):
    def interrupt(done, *_):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_archives(tmp_path, "BTCUSDT", _settings(days=2), progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["2024-01-01_BTCUSDT_ob200.data.zip"]


@pytest.mark.long
@needs_real_data
def test_the_book_stands_on_real_prices(tmp_path):
    settings = _settings(start=dt.date(2018, 2, 6), prices=REAL_PRICES, cadence_ms=1_000)
    (path,) = write_faulty(tmp_path, "BTCUSDT", settings, [ends_early(30)])
    begin = 1_517_875_200_000
    bars = read_price_bars(REAL_PRICES, begin, 30)
    mids = _mids(_lines(path))
    for minute in range(30):
        inside = [mid for ts, mid in mids if (ts - begin) // 60_000 == minute]
        assert len(inside) == 60
        assert inside[0] == pytest.approx(bars.open[minute], rel=5e-4)
        assert inside[59] == pytest.approx(bars.close[minute], rel=5e-4)
        assert max(inside) == pytest.approx(bars.high[minute], rel=5e-4)
        assert min(inside) == pytest.approx(bars.low[minute], rel=5e-4)


BARS = """1704067200000,100,101,102,99,1.5
1704067260000,101,102,103,100,2
1704067380000,103,104,105,102,0
"""


@pytest.fixture(params=["plain", "gz"])
def write_csv(request, tmp_path):
    def write(text):
        if request.param == "plain":
            path = tmp_path / "prices.csv"
            path.write_text(text)
        else:
            path = tmp_path / "prices.csv.gz"
            path.write_bytes(gzip.compress(text.encode()))
        return path

    return write


def test_absent_minutes_hold_the_last_close(write_csv):
    bars = read_price_bars(write_csv(BARS), 1_704_067_200_000, 6)
    assert bars.open.tolist() == [100, 101, 102, 103, 104, 104]
    assert bars.close.tolist() == [101, 102, 102, 104, 104, 104]
    assert bars.high.tolist() == [102, 103, 102, 105, 104, 104]
    assert bars.low.tolist() == [99, 100, 102, 102, 104, 104]


FIRST, MINUTE = 1_704_067_200_000, 60_000


@pytest.mark.parametrize(
    ("begin", "minutes", "ahead", "is_covered"),
    [
        (0, 4, 0, True),
        (-1, 4, 0, False),
        (0, 64, 0, True),  # an hour more than the four that are there
        (0, 65, 0, False),
        (0, 69, 5, True),
        (0, 70, 5, False),
        (3, 61, 0, True),
    ],
)
def test_prices_reach_from_the_first_minute_to_an_hour_before_the_last(
    begin, minutes, ahead, is_covered, tmp_path
):
    path = tmp_path / "prices.csv"
    path.write_text(BARS)
    if is_covered:
        bars = read_price_bars(path, FIRST + begin * MINUTE, minutes, ahead)
        assert {len(column) for column in bars} == {minutes}
        assert bars.close[-1] == 104
    else:
        with pytest.raises(ValueError, match="prices run from 2024-01-01 00:00 to 2024-01-01 00:0"):
            read_price_bars(path, FIRST + begin * MINUTE, minutes, ahead)


@pytest.mark.parametrize("hole", [1_440, 1_441])
@pytest.mark.parametrize(
    ("begin", "end"), [(0, 2_000), (1_441, 2_000), (0, 1), (0, 2), (1_440, 2_000)]
)
def test_no_more_than_a_day_may_be_missing_within_the_minutes_asked_for(begin, end, hole, tmp_path):
    path = tmp_path / "prices.csv"
    minutes = (0, hole, *range(hole + 1, 2_000))
    rows = (f"{FIRST + at * MINUTE},1,{1_000 + at},{1_000 + at},1,1\n" for at in minutes)
    path.write_text("".join(rows))

    def read():
        return read_price_bars(path, FIRST + begin * MINUTE, end - begin)

    if hole > 1_440 and begin < hole and end > 0 and begin != 1_441:
        with pytest.raises(ValueError, match="no prices between 2024-01-01 00:00 and 2024-01-02"):
            read()
    else:
        expected = [1_000 + (at if at >= hole else 0) for at in range(begin, end)]
        assert read().close.tolist() == expected


def test_only_what_another_simulation_has_left_is_a_stranger(tmp_path):
    data = FULL.data.model_copy(update={"archives": tmp_path, "symbol": "BTCUSDT"})
    settings = _settings(days=2)
    assert strangers(data.model_copy(update={"archives": tmp_path / "none"}), settings) == []
    days = [dt.date(2023, 12, 31) + dt.timedelta(days=day) for day in range(4)]
    data.own_archives.mkdir(parents=True, exist_ok=True)
    paths = [data.own_archives / f"{day}_BTCUSDT_ob200.data.zip" for day in days]
    for path in paths:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(path.name.removesuffix(".zip"), b"")
    assert sorted(strangers(data, settings)) == [paths[0], paths[3]]


def test_a_market_on_given_prices_foresees_the_hour_after_its_last_minute(tmp_path):
    """That hour is read too, and it may be missing in the file."""
    steps = np.random.default_rng(5).normal(0, 0.001, 1_440 + 90)
    closes = 60_000 * np.exp(np.cumsum(steps))
    for rows in (1_440 + 90, 1_440 + 60, 1_440 + 30, 1_440 - 60):
        path = tmp_path / f"{rows}.csv"
        path.write_text(
            "".join(
                f"{FIRST + at * MINUTE},{close!r},{close!r},{close!r},{close!r},1\n"
                for at, close in enumerate(closes[:rows].tolist())
            )
        )
        settings = _settings(prices=path, signal=1.0, lean_noise=0.0)
        found = price_path(settings)
        known = np.concatenate([closes[:rows], np.full(200, closes[rows - 1])])
        ahead = np.log(known[60:1_500] / known[:1_440])
        assert found.knots.shape == (1_440, 13)
        foresight = (ahead - ahead.mean()) / ahead.std()
        np.testing.assert_allclose(np.arctanh(found.lean), 0.6 * foresight, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1704067260000,101,102,103,100\n", "another number of fields"),
        ("1704067260000,101,102,103,100,2,7\n", "another number of fields"),
        ("1704067260000,101,abc,103,100,2\n", "close is no number"),
        ("1704067260000,101,nan,103,100,2\n", "close is no number"),
        ("1704067260000,101,102,inf,100,2\n", "high is no number"),
        ("1704067260000,101,102,103,-1,2\n", "low is not above 0"),
        ("1704067260000,101,104,103,100,2\n", "low and high do not hold the other prices"),
        ("1704067260000,101,102,103,100,-2\n", "volume is below 0"),
        ("1704067260001,101,102,103,100,2\n", "it opens at 2024-01-01T00:01:00.001 UTC, off"),
        ("1704067200000,101,102,103,100,2\n", "its time is not after the one before"),
        ("\udc80\n", "another number of fields"),
    ],
)
def test_a_malformed_line_is_refused_with_its_number_and_fault(line, fault, tmp_path):
    path = tmp_path / "prices.csv"
    first, rest = BARS.split("\n", 1)
    path.write_text(f"{first}\n{line}{rest}", encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=f"line 2: {fault}.*; expected"):
        read_price_bars(path, 1_704_067_200_000, 6)


@pytest.mark.parametrize("start", [dt.date(2023, 12, 31), dt.date(2024, 1, 2)])
def test_a_start_outside_the_prices_is_refused_with_their_range(start, write_csv, tmp_path):
    settings = _settings(start=start, prices=write_csv(BARS))
    with pytest.raises(ValueError, match="from 2024-01-01 00:00 to 2024-01-01 00:03"):
        write_archives(tmp_path, "BTCUSDT", settings)


@pytest.mark.parametrize("path", [Path("nowhere.csv"), Path()])
def test_prices_that_are_not_there_are_named_with_setting_place_and_form(path, tmp_path):
    words = rf"simulate\.prices: .*\.parquet .* expected at {re.escape(str(path.absolute()))}"
    with pytest.raises(ValueError, match=words):
        write_archives(tmp_path, "BTCUSDT", _settings(prices=path))


def test_a_file_in_the_place_of_the_archives_is_refused(tmp_path):
    (tmp_path / "file").touch()
    data = FULL.data.model_copy(update={"archives": tmp_path / "file"})
    with pytest.raises(ValueError, match=r"folder of archives was expected at .*, there is a f"):
        strangers(data, _settings())


def test_an_empty_csv_is_refused(write_csv):
    with pytest.raises(ValueError, match=r"is empty \(0 bytes\)|holds blanks alone"):
        read_price_bars(write_csv(""), 0, 1)
