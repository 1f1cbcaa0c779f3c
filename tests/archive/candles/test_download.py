"""Kline archives against a real server on loopback: what comes, what is refused, what is told."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from quantgod.archive.candles.download import Downloaded, download_candles
from quantgod.archive.candles.store import candle_path, read_candles
from quantgod.contracts import INTERVALS, Market
from quantgod.settings import CandleSettings, DownloadSettings
from tests.archive.feeds import FULL
from tests.archive.test_download import Server, drops_after, says, sound

HOUR = 3_600_000
NOW = dt.datetime(2025, 2, 4, 12, tzinfo=dt.UTC)
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)
MONTHS = ("2024-11", "2024-12", "2025-01")


def ms(day: str) -> int:
    return int(dt.datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() * 1000)


def klines(
    period: str, interval: str = "1h", *, us: bool = False, header: bool = False
) -> list[str]:
    """The lines of a month or day, as Binance writes them."""
    first = ms(period if period.count("-") > 1 else f"{period}-01")
    after = dt.datetime.fromtimestamp(first / 1000, dt.UTC)
    days = 1 if period.count("-") > 1 else ((after + dt.timedelta(31)).replace(day=1) - after).days
    step, scale = INTERVALS[interval], 1000 if us else 1
    lines = [HEADER] if header else []
    for at in range(first, first + days * INTERVALS["1d"], step):
        price = 100 + at % 977 / 100
        prices = f"{price:.8f},{price + 1:.8f},{price - 1:.8f},{price + 0.5:.8f}"
        close = (at + step) * scale - 1
        lines.append(f"{at * scale},{prices},5.50000000,{close},550.00000000,12,2.5,250.0,0\n")
    return lines


def packed(name: str, lines: list[str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", "".join(lines))
    return content.getvalue()


def publish(server: Server, name: str, lines: list[str]) -> None:
    content = packed(name, lines)
    server.files[f"{name}.zip"] = content
    told = f"{hashlib.sha256(content).hexdigest()}  {name}.zip\n"
    server.files[f"{name}.zip.CHECKSUM"] = told.encode()


@pytest.fixture
def server():
    with Server() as running:
        for month in MONTHS:
            publish(running, f"BTCUSDT-1h-{month}", klines(month, us=month >= "2025"))
        for day in ("2025-02-01", "2025-02-02", "2025-02-03"):
            publish(running, f"BTCUSDT-1h-{day}", klines(day, us=True))
        yield running


def fetch(
    server: Server, folder: Path, now: dt.datetime = NOW, market: Market = "spot", **own: object
) -> Downloaded:
    values = {"first_day": "2024-10-05", "coins": ["BTCUSDT"], "interval": "1h", "folder": folder}
    settings = CandleSettings.model_validate(
        values | {"base_url": server.url, "market": market} | own
    )
    politely = {"attempts": 3, "backoff_seconds": 0.01, "timeout_seconds": 2.0, "concurrency": 3}
    polite = DownloadSettings.model_validate(FULL.download.model_dump() | politely)
    return download_candles(settings, polite, FULL.etl.limits, now_ms=int(now.timestamp() * 1000))


def hours(folder: Path, market: Market = "spot") -> list[int]:
    return (read_candles(folder, market, "BTCUSDT", "1h").time_ms // HOUR).tolist()


def span(first: str, last: str) -> list[int]:
    return list(range(ms(first) // HOUR, ms(last) // HOUR + 24))


def test_months_and_the_days_of_the_newest_one_are_stored_and_asked_for_once(
    server: Server, tmp_path: Path
) -> None:
    """The coin was listed in November; spot times are in microseconds from January on."""
    came = fetch(server, tmp_path)
    assert hours(tmp_path) == span("2024-11-01", "2025-02-03")
    assert came.download.absent == ("BTCUSDT-1h-2024-10",) and not came.download.failed
    assert len(came.download.fetched) == 6 and not came.fill.refused
    (series,) = came.fill.series
    assert (series.new, series.holes) == (len(hours(tmp_path)), [])
    path = candle_path(tmp_path, "spot", "BTCUSDT", "1h")
    before, count = path.read_bytes(), len(server.requests)
    again = fetch(server, tmp_path)
    assert again.download.fetched == () and len(again.download.skipped) == 6
    assert len(server.requests) - count == 1  # the month that is absent
    assert again.fill.series[0].new == 0 and path.read_bytes() == before
    assert {one.outcome for one in again.fill.files} == {"known"}
    publish(server, "BTCUSDT-1h-2025-02-04", klines("2025-02-04", us=True))
    later = fetch(server, tmp_path, NOW + dt.timedelta(days=1))
    assert later.download.fetched == ("BTCUSDT-1h-2025-02-04",)
    assert later.fill.series[0].new == 24
    names = sorted(path.name for path in (tmp_path / "downloads").rglob("*") if path.is_file())
    assert all(name.endswith(".zip") for name in names) and len(names) == 7


@pytest.mark.parametrize(("market", "place"), [("linear", "futures/um"), ("inverse", "futures/cm")])
def test_futures_stand_elsewhere_and_have_a_header_and_milliseconds(
    market: Market, place: str, server: Server, tmp_path: Path
) -> None:
    for month in MONTHS:
        publish(server, f"BTCUSDT-1h-{month}", klines(month, header=month >= "2024-12"))
    asked: list[str] = []

    async def noting(request, content):
        asked.append(request.path)
        return await sound(request, content)

    server.script["BTCUSDT-1h-2024-12.zip"] = [noting]
    fetch(server, tmp_path, market=market, last_day="2025-01-31", first_day="2024-12-05")
    assert hours(tmp_path, market) == span("2024-12-05", "2025-01-31")
    assert asked == [f"/data/{place}/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-12.zip"]


def test_a_month_that_ends_too_early_is_completed_by_its_days(
    server: Server, tmp_path: Path
) -> None:
    """It fits its checksum, as real ones did; a hole in the midst stays, and is listed."""
    lines = klines("2024-12")
    publish(server, "BTCUSDT-1h-2024-12", lines[:100] + lines[103 : 29 * 24 + 5])
    for day in ("2024-12-30", "2024-12-31"):
        publish(server, f"BTCUSDT-1h-{day}", klines(day))
    came = fetch(server, tmp_path)
    first = ms("2024-12-01") // HOUR + 100
    missing = [first, first + 1, first + 2]
    assert sorted({*span("2024-11-01", "2025-02-03")} - {*hours(tmp_path)}) == missing
    assert [hole.candles for hole in came.fill.series[0].holes] == [3]
    month = next(one for one in came.fill.files if "2024-12.zip" in one.file)
    assert (month.outcome, month.missing) == ("accepted_with_gaps", 3 + 43)
    assert {"BTCUSDT-1h-2024-12-30", "BTCUSDT-1h-2024-12-31"} <= {*came.download.fetched}
    assert came.fill.series[0].new == len(hours(tmp_path))


ZIP = "BTCUSDT-1h-2024-12.zip"


def test_a_cut_connection_and_a_busy_server_are_outlasted(server: Server, tmp_path: Path) -> None:
    server.script[ZIP] = [drops_after(4000), says(503)]
    server.script[f"{ZIP}.CHECKSUM"] = [says(429, Retry_After="0")]
    assert not fetch(server, tmp_path).download.failed
    assert hours(tmp_path) == span("2024-11-01", "2025-02-03")
    assert server.ranges(ZIP)[:2] == [None, "bytes=4000-"]


FAULTS = {
    "a checksum that is none": {f"{ZIP}.CHECKSUM": b"<html>try later</html>"},
    "a zip that is none": {
        ZIP: b"no zip", f"{ZIP}.CHECKSUM": hashlib.sha256(b"no zip").hexdigest().encode()
    },
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_what_does_not_fit_never_gets_its_name_and_the_rest_is_stored(
    what: str, server: Server, tmp_path: Path
) -> None:
    server.files |= FAULTS[what]
    came = fetch(server, tmp_path)
    reason = came.download.failed["BTCUSDT-1h-2024-12"]
    assert (
        any(word in reason for word in ("CHECKSUM", "not a sound zip")) and "3 attempts" in reason
    )
    assert not list((tmp_path / "downloads").rglob(f"{ZIP}*"))
    assert hours(tmp_path) == span("2024-11-01", "2024-11-30") + span("2025-01-01", "2025-02-03")
    publish(server, "BTCUSDT-1h-2024-12", klines("2024-12"))
    assert not fetch(server, tmp_path).download.failed
    assert hours(tmp_path) == span("2024-11-01", "2025-02-03")


def test_days_take_the_place_of_a_month_that_never_fits_its_checksum(
    server: Server, tmp_path: Path
) -> None:
    server.files[ZIP] = packed("x", klines("2024-11"))
    for day in ("2024-12-28", "2024-12-30", "2024-12-31"):
        publish(server, f"BTCUSDT-1h-{day}", klines(day))
    came = fetch(server, tmp_path, first_day="2024-12-28", last_day="2025-01-31")
    assert not came.download.failed and server.ranges(ZIP) == [None] * 3
    assert came.download.absent == ("BTCUSDT-1h-2024-12-29",)
    assert hours(tmp_path) == span("2024-12-28", "2024-12-28") + span("2024-12-30", "2025-01-31")
    assert [hole.candles for hole in came.fill.series[0].holes] == [24]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (klines("2024-11"), "period"),
        (klines("2024-12", "4h"), "interval"),
        (["no,prices\n", "1,2\n"], "columns"),
        (klines("2024-12")[::-1] + klines("2024-12")[:1], "bad_row"),
    ],
    ids=["another month", "another interval", "no prices", "a time twice"],
)
def test_a_sound_zip_of_something_else_is_quarantined_and_the_rest_is_stored(
    lines: list[str], reason: str, server: Server, tmp_path: Path
) -> None:
    publish(server, "BTCUSDT-1h-2024-12", lines)
    came = fetch(server, tmp_path)
    assert [one.reason for one in came.fill.refused] == [reason]
    record = tmp_path / "spot" / "BTCUSDT" / "quarantine" / f"{ZIP}.json"
    assert reason in record.read_text()
    assert hours(tmp_path) == span("2024-11-01", "2024-11-30") + span("2025-01-01", "2025-02-03")


def test_coins_that_are_not_there_and_days_in_the_wrong_order_are_told(
    server: Server, tmp_path: Path
) -> None:
    came = fetch(server, tmp_path, coins=["ETHUSDT", "BTCUSDT"], first_day="2025-01-01")
    asked = {name for name, _, _ in server.requests if name.startswith("ETH")}
    assert len(asked) == 1 + 3, "its month, and the days of the newest one"
    assert [one.symbol for one in came.fill.series] == ["BTCUSDT"]
    assert {name.split("-")[0] for name in came.download.absent} == {"ETHUSDT"}
    with pytest.raises(ValueError, match="no days that are over from 2025-03-01 to 2025-02-03"):
        fetch(server, tmp_path, first_day="2025-03-01")
    values = read_candles(tmp_path, "spot", "BTCUSDT", "1h").values
    assert np.isfinite(values).all() and values[0, 4:].tolist() == [5.5, 550.0, 12.0, 2.5]


def test_a_dead_server_fails_by_name_and_what_is_stored_stands(tmp_path: Path) -> None:
    with Server() as gone:
        pass
    came = fetch(gone, tmp_path, first_day="2025-01-01", last_day="2025-01-31")
    assert list(came.download.failed) == ["BTCUSDT-1h-2025-01"] and came.fill.series == []


def test_a_changed_file_conflicts_with_what_is_stored(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path, last_day="2024-12-31")
    stored = hours(tmp_path)
    (zipped,) = (tmp_path / "downloads").rglob(ZIP)
    zipped.unlink()
    other = [line.replace(",5.5", ",6.5", 1) for line in klines("2024-12")]
    publish(server, "BTCUSDT-1h-2024-12", other)
    came = fetch(server, tmp_path, last_day="2024-12-31")
    assert [one.reason for one in came.fill.refused] == ["conflict"]
    assert "volume is 5.5 by BTCUSDT-1h-2024-12.zip, and 6.5 by" in str(came.fill.refused[0].detail)
    assert hours(tmp_path) == stored
