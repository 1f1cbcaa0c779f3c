"""Which files are archives, and of which day."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.archive.etl import run_etl
from quantgod.archive.plan import archive_name, find_archives
from quantgod.archive.store import DayMetadata, read_metadata, stored_days
from quantgod.contracts import SYMBOL
from quantgod.settings import load_settings
from tests.archive.feeds import (
    DAYS,
    etl_settings,
    pack,
    three_days,
)


def test_archives_are_found_in_any_folder_and_others_listed(tmp_path: Path) -> None:
    lines = three_days()[DAYS[0]]
    path = pack(tmp_path / "linear" / "BTCUSDT", DAYS[0], lines)
    for name in ("2024-02-30_BTCUSDT_ob500.data.zip", "2024-01-02_BTCUSDT_ob500.zip", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "2024-01-05_BTCUSDT_ob500.data.zip").mkdir()
    shutil.copy(path, tmp_path / "2024-01-01_ETHUSDT_ob200.data.zip")
    found, others = find_archives(tmp_path, "linear")
    assert [(file.symbol, file.depth) for file in found] == [("BTCUSDT", 500), ("ETHUSDT", 200)]
    expected = "DATE_SYMBOL_obDEPTH.data.zip, such as 2025-01-31_BTCUSDT_ob500.data.zip"
    assert others == [
        f"2024-01-02_BTCUSDT_ob500.zip: {expected}, was expected",
        "2024-02-30_BTCUSDT_ob500.data.zip: there is no day 2024-02-30",
        f"notes.txt: {expected}, was expected",
    ]
    report = run_etl(tmp_path, tmp_path / "bars", etl_settings(), symbol="BTCUSDT")
    assert [archive.symbol for archive in report.archives] == ["BTCUSDT"]
    foreign = "2024-01-01_ETHUSDT_ob200.data.zip: of ETHUSDT, BTCUSDT is asked for"
    assert report.ignored == [foreign, *others]
    assert report.left_out(2) == [
        f"not read: {foreign}", f"not read: {others[0]}", "and 2 more files were not read"
    ]  # fmt: skip


@given(st.from_regex(SYMBOL, fullmatch=True), st.dates(dt.date(1970, 1, 1)), st.integers(1, 99_999))
def test_every_archive_that_is_named_is_found_again(symbol: str, date: dt.date, depth: int) -> None:
    """Settings take the same symbols."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{archive_name(symbol, date, depth)}.zip").touch()
        [file], _ = find_archives(Path(folder), "linear", symbol)
    assert (file.symbol, file.date, file.depth) == (symbol, date, depth)
    changed = {"data.symbol": symbol, "live.symbols": [symbol]}
    assert load_settings(Path("conf/full.yaml"), changed).data.symbol == symbol


@pytest.mark.parametrize("symbol", ["btcusdt", "BTC/USDT", "../X", "X", "", "BTCUSDT\n", "_PERP"])
def test_a_symbol_that_no_archive_could_bear_is_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match="BTCUSD_PERP was expected, got"):
        archive_name(symbol, DAYS[0], 500)


def test_links_are_followed_and_lead_round_in_no_circle(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "archives"
    path = pack(elsewhere / "inner", DAYS[0], three_days()[DAYS[0]])
    root.mkdir()
    (root / "BTCUSDT").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    (elsewhere / "inner" / "self").symlink_to(".")
    (root / "2024-01-03_BTCUSDT_ob500.data.zip").symlink_to(path)
    (root / "2024-01-04_BTCUSDT_ob500.data.zip").symlink_to("nothing")
    found, others = find_archives(root, "linear")
    name = "BTCUSDT/inner/2024-01-01_BTCUSDT_ob500.data.zip"
    assert [file.name for file in found] == [name, "2024-01-03_BTCUSDT_ob500.data.zip"]
    assert others == ["2024-01-04_BTCUSDT_ob500.data.zip: a link that leads nowhere"]
    (tmp_path / "alone").symlink_to(elsewhere / "inner")
    (report,) = run_etl(tmp_path / "alone", tmp_path / "bars", etl_settings()).archives
    assert report.is_accepted
    assert report.rows


def test_markets_are_kept_apart_although_their_files_bear_one_name(tmp_path: Path) -> None:
    """Folders tell the market, the innermost first; where none does, it is the one asked for."""
    lines, root = three_days()[DAYS[0]], tmp_path / "archives"
    for folder in ("linear/BTCUSDT", "spot", "BTCUSDT", "spot/inverse/old"):
        pack(root / folder, DAYS[0], lines)
    name = "2024-01-01_BTCUSDT_ob500.data.zip"
    for market, own, others in (
        ("linear", ["BTCUSDT", "linear/BTCUSDT"], ["spot", "spot/inverse/old"]),
        ("spot", ["BTCUSDT", "spot"], ["linear/BTCUSDT", "spot/inverse/old"]),
        ("inverse", ["BTCUSDT", "spot/inverse/old"], ["linear/BTCUSDT", "spot"]),
    ):
        found, left = find_archives(root, market)
        assert [file.name for file in found] == [f"{folder}/{name}" for folder in own]
        assert {file.market for file in found} == {market}
        assert [text.split(": ")[0] for text in left] == [f"{folder}/{name}" for folder in others]
        assert all(f"{market} is asked for" in text for text in left)
    # A root is of the market that it is called, or that the folder above its symbol is.
    for below, count in (("spot", 0), ("spot/BTCUSDT", 0), ("spot/archives", 1)):
        root = pack(tmp_path / below, DAYS[0], lines).parent
        assert len(find_archives(root, "linear")[0]) == count
    with pytest.raises(
        ValueError, match=r"no archives of any symbol on linear.*of the spot market"
    ):
        run_etl(tmp_path / "spot", tmp_path / "bars", etl_settings())


def test_the_bars_of_a_market_are_of_its_files_alone(tmp_path: Path) -> None:
    """And what is stored says of which market it is; its days have keys of their own."""
    days = three_days()
    pack(tmp_path / "archives" / "linear", DAYS[0], days[DAYS[0]])
    pack(tmp_path / "archives" / "spot", DAYS[0], days[DAYS[0]])
    pack(tmp_path / "archives" / "spot", DAYS[1], days[DAYS[1]])
    stored: dict[str, list[DayMetadata]] = {}
    for market in ("linear", "spot"):
        bars = tmp_path / "bars" / market
        report = run_etl(tmp_path / "archives", bars, etl_settings(), market=market)
        assert not report.has_quarantine
        stored[market] = [read_metadata(path) for path in stored_days(bars, "BTCUSDT")]
        assert {day.market for day in stored[market]} == {market}
    assert [len(days) for days in stored.values()] == [1, 2]
    assert stored["linear"][0].source_digest == stored["spot"][0].source_digest
    assert stored["linear"][0].day_key != stored["spot"][0].day_key
