"""Levels and seconds of earlier rows, through a real journal and a real store."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from quantgod.archive.seconds import seconds_path, write_seconds
from quantgod.archive.store import StoredRows, day_path, write_day
from quantgod.contracts import ALL_FEATURES, SECOND_FIGURES
from quantgod.dataset.feature_table import SourceRows
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.history import read_history
from quantgod.live.engine.journal_rows import bar_row
from quantgod.live.engine.sources import read_sources
from quantgod.live.engine.window import Window
from quantgod.live.journal import BARS, SIGNALS, Journal
from quantgod.settings import load_settings
from tests.archive.test_store import DAY, metadata
from tests.live.engine.answering import Deployed, Version, minute_without, now
from tests.live.engine.markets import BRIDGE, FIRST, closed_at, filled, stream, taken

SETTINGS = load_settings(Path("conf/demo.yaml"))
TABLES = {"BARS": BARS, "SIGNALS": SIGNALS}
ALL = len(ALL_FEATURES)
SYMBOL = "BTCUSDT"


def journaled(folder: Path, places: range, symbol: str = SYMBOL) -> Path:
    with Journal(folder, TABLES, SETTINGS.live.journaling) as journal:
        for place in places:
            journal.append("BARS", bar_row(symbol, closed_at(place)))
        journal.append("BARS", bar_row(symbol, minute_without(FIRST + places.stop)))
    return folder


def stored(bars: Path, places: range, day: dt.date = DAY, lacks: tuple[str, ...] = ()) -> Path:
    rows, path = taken(np.asarray(places)), day_path(bars, SYMBOL, day)
    said = replace(metadata(day), lacks=lacks or None)
    write_seconds(path, rows.minutes, rows.seconds, said, "snappy")
    held = StoredRows(rows.minutes, rows.features, rows.close, rows.book)
    write_day(path, held, said, "snappy")
    return path


def same(found: SourceRows, expected: SourceRows) -> bool:
    return all(
        one.shape == other.shape and one.tobytes() == other.tobytes()
        for one, other in zip(found, expected, strict=True)
    )


def test_a_journal_keeps_levels_and_seconds_to_the_bit(tmp_path: Path) -> None:
    folder = journaled(tmp_path, range(8))
    journaled(tmp_path, range(6, 9), symbol="ETHUSDT")
    found = read_sources(SYMBOL, folder, None, FIRST, FIRST + 99)
    assert same(found, taken(np.arange(8)))
    assert same(read_sources(SYMBOL, folder, None, FIRST + 2, FIRST + 5), taken(np.arange(2, 5)))
    for name, since in (("XRPUSDT", FIRST), (SYMBOL, FIRST + 8)):
        assert not len(read_sources(name, folder, None, since, FIRST + 99).minutes)
    assert not len(read_sources(SYMBOL, tmp_path / "none", None, FIRST, FIRST + 99).minutes)


def test_a_store_gives_the_days_that_are_asked_for_and_the_journal_stands_over_it(
    tmp_path: Path,
) -> None:
    bars, later = tmp_path / "bars", DAY + dt.timedelta(days=1)
    stored(bars, range(1_430, 1_440))
    stored(bars, range(1_440, 1_450), later)
    nowhere = tmp_path / "none"
    found = read_sources(SYMBOL, nowhere, bars, FIRST + 1_435, FIRST + 1_445)
    assert same(found, taken(np.arange(1_435, 1_445)))
    for since, until, expected in (
        (0, FIRST + 1_440, range(1_430, 1_440)),
        (FIRST + 1_440, FIRST + 9_000, range(1_440, 1_450)),
    ):
        found = read_sources(SYMBOL, nowhere, bars, since, until)
        assert same(found, taken(np.asarray(expected)))
    with Journal(tmp_path / "live", TABLES, SETTINGS.live.journaling) as journal:
        row = bar_row(SYMBOL, closed_at(1_449)) | {"ofi_1": 7.0}
        for changed in (row, bar_row(SYMBOL, closed_at(1_450))):
            journal.append("BARS", changed)
    found = read_sources(SYMBOL, tmp_path / "live", bars, FIRST, FIRST + 9_000)
    assert found.minutes.tolist() == [*range(FIRST + 1_430, FIRST + 1_451)]
    assert found.seconds[19][10] == 7.0
    rest = np.flatnonzero(np.arange(1_430, 1_451) != 1_449)
    assert same(found.at(rest), taken(1_430 + rest))


def test_rows_whose_seconds_are_not_known_are_left_out(tmp_path: Path) -> None:
    bars, later = tmp_path / "bars", DAY + dt.timedelta(days=1)
    stored(bars, range(10), lacks=("volatility",))
    seconds_path(stored(bars, range(1_440, 1_450), later)).unlink()
    for gone in ({"book"}, {*SECOND_FIGURES}):
        folder = tmp_path / min(gone)
        schema = pa.schema([field for field in BARS if field.name not in gone])
        row = bar_row(SYMBOL, closed_at(3))
        with Journal(folder, {"BARS": schema}, SETTINGS.live.journaling) as journal:
            journal.append("BARS", {name: row[name] for name in schema.names})
        assert not len(read_sources(SYMBOL, folder, bars, FIRST, FIRST + 9_000).minutes)


@pytest.mark.parametrize("away", [2, BRIDGE, BRIDGE + 1])
def test_a_restart_within_the_bridge_goes_on_with_all_features(tmp_path: Path, away: int) -> None:
    """Of 490 minutes the store has the first 480, and a session the others."""
    stored(tmp_path / "bars", range(480))

    async def session(journal: Journal) -> None:
        window = filled(480)
        models = {SYMBOL: Deployed(Version(1, window=600))}
        engine = Engine({SYMBOL: window}, models, journal, print)
        for place in range(480, 490):
            engine.closed(SYMBOL, closed_at(place), now())

    with Journal(tmp_path / "live", TABLES, SETTINGS.live.journaling) as journal:
        asyncio.run(session(journal))
    parts = SYMBOL, tmp_path / "live", tmp_path / "bars"
    again = Window(BRIDGE, kept=50)
    again.fill(read_history(*parts).rows, read_sources(*parts, FIRST, FIRST + 9_000))
    deaf = filled(490)
    for window in (again, deaf):
        stream(window, 490 + away)
    if away > BRIDGE:
        assert again.missing(1, ALL) == deaf.missing(1, ALL) == 479
    else:
        for one, other in zip(again.newest(11, ALL), deaf.newest(11, ALL), strict=True):
            assert one.tobytes() == other.tobytes()
