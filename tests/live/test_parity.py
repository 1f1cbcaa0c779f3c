"""Live rows and archived rows of the same messages: the same set, and the same bits."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from quantgod.archive.day_reading import book_row
from quantgod.archive.etl import run_etl
from quantgod.archive.kernel import read_archive
from quantgod.archive.outcome import dropped_minutes
from quantgod.archive.quality import QualityReport
from quantgod.archive.seconds import read_seconds
from quantgod.archive.store import read_metadata, read_rows, stored_days
from quantgod.archive.zip_stream import lines, open_archive
from quantgod.archive.zip_writer import write_zip
from quantgod.contracts import BookUpdate, Level, Series
from quantgod.dataset.feature_file import read_features, write_features
from quantgod.live.driving import drive
from quantgod.live.engine.feature_rows import source_row
from quantgod.live.engine.history import read_history
from quantgod.live.engine.sources import read_sources
from quantgod.live.engine.window import Window
from quantgod.market.book_bars import BookBars, ClosedMinute
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.bybit import decode
from quantgod.market.bybit_sync import BybitBookSync
from quantgod.served.features import sets
from quantgod.settings import SimulateSettings
from quantgod.simulation.archives import price_path, start_ms
from quantgod.simulation.market import SimulatedMarket
from tests.archive.streams import etl_settings
from tests.live.broken_market import BrokenMarket

SYMBOL = "BTCUSDT"
DAYS = 7
BRIDGE = 5
CADENCE_MS = 2_300  # the last message of a day comes in its last second
# Days 2 and 5 end before midnight by some messages, and the next begins after it by some.
BORDERS = {2: (90, 40), 5: (180, 90)}


def simulated(**changes) -> SimulatedMarket:
    values = {
        "start": dt.date(2024, 1, 1),
        "days": DAYS,
        "levels": 200,
        "cadence_ms": CADENCE_MS,
        "seed": 7,
        "signal": 0.5,
        "price": 60_000.0,
        "tick": 0.1,
        "volatility": 0.0009,
        "changes": 8,
    }
    settings = SimulateSettings(**(values | changes))
    return SimulatedMarket(SYMBOL, settings, price_path(settings), start_ms(settings))


def in_random_pieces(chunks: Iterator[bytes], seed: int) -> Iterator[bytes]:
    """The same bytes, cut anywhere: within lines, across them, across days."""
    cut, rest = random.Random(seed), b""
    for chunk in chunks:
        rest += chunk
        while len(rest) > 300_000:
            size = cut.choice([1, 70, 400, 5_000, 300_000])
            yield rest[:size]
            rest = rest[size:]
    yield rest


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("archives")
    broken = BrokenMarket(simulated(), CADENCE_MS, breaks=11, seed=3)
    paths, late = [], 0
    for day in range(DAYS):
        early, next_late = BORDERS.get(day, (0, 0))
        name = f"{dt.date(2024, 1, 1 + day)}_{SYMBOL}_ob200.data"
        written = (line + b"\n" for line in broken.day(day, late=late, early=early))
        write_zip(folder / f"{name}.zip", name, [b"".join(written)])
        paths.append(folder / f"{name}.zip")
        late = next_late
    return paths


@pytest.fixture(scope="module")
def live(archives: list[Path]) -> list[ClosedMinute]:
    return live_minutes(archives, seed=11)


@pytest.fixture(scope="module")
def store(
    archives: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, QualityReport]:
    folder = tmp_path_factory.mktemp("store")
    return folder, run_etl(archives[0].parent, folder, etl_settings())


def live_minutes(archives: list[Path], seed: int) -> list[ClosedMinute]:
    bars = BookBars(BybitBookSync(SYMBOL), 5, BRIDGE)
    closed: list[ClosedMinute] = []
    for line in lines(in_random_pieces(stream_of(archives), seed), 60_000):
        closed += bars.receive(decode(line)).closed
    return closed + bars.finish().closed


def stream_of(archives: list[Path]) -> Iterator[bytes]:
    return chain.from_iterable(map(chunks_of, archives))


def chunks_of(archive: Path) -> Iterator[bytes]:
    with open_archive(archive, etl_settings().limits) as opened:
        yield from opened.chunks()


@pytest.mark.long
def test_ten_thousand_streamed_minutes_are_the_archived_ones_bit_for_bit(store, live):
    folder, report = store
    paths = stored_days(folder, SYMBOL)
    stored = [read_rows(path) for path in paths]
    seconds = np.concatenate([read_seconds(path, read_metadata(path)) for path in paths])
    rows = [minute for minute in live if minute.bar.features is not None]
    assert len(live) >= 10_000
    assert len(rows) > 9_000

    def archived(column: str) -> bytes:
        return np.concatenate([getattr(day, column) for day in stored]).tobytes()

    assert np.array([row.bar.minute for row in rows]).tobytes() == archived("minutes")
    assert np.array([row.bar.features for row in rows]).tobytes() == archived("features")
    assert np.array([row.bar.seconds for row in rows]).tobytes() == seconds.tobytes()
    assert np.array([row.bar.close for row in rows]).tobytes() == archived("close")
    assert np.array([book_row(row.bids, row.asks) for row in rows]).tobytes() == archived("book")
    spans = [span for archive in report.archives for span in archive.dropped_spans]
    dropped = {(minute.bar.minute, minute.bar.reason) for minute in live} - {
        (row.bar.minute, "") for row in rows
    }
    assert dropped == set(dropped_minutes(spans))
    assert {reason for _, reason in dropped} == {"gap", "no_book", "silence", "no_previous_close"}


@pytest.mark.long
def test_streamed_minutes_have_the_112_features_of_the_stage_bit_for_bit(store, live, tmp_path):
    """Over a gap that is bridged and one that is not, from a window that the store has filled."""
    folder, _ = store
    write_features(folder, Series(SYMBOL, "linear"), tmp_path / "features.parquet", BRIDGE)
    stage = read_features(tmp_path / "features.parquet")
    rows = [place for place, minute in enumerate(live) if minute.bar.features is not None]
    minutes = np.array([live[place].bar.minute for place in rows])
    assert np.array_equal(minutes, stage.index.as_unit("s").asi8 // 60)
    away = np.diff(minutes) - 1
    long = np.r_[-1, np.flatnonzero(away > BRIDGE), len(rows) - 1]
    whole = [end for begin, end in pairwise(long) if end - begin > sets.REACH + 5]
    bridged = [
        at for at in np.flatnonzero((away > 0) & (away <= BRIDGE))
        if at - long[long < at].max() > sets.REACH + 5 and long[long > at].min() - at > 5
    ]  # fmt: skip
    answered = 0
    for at in (bridged[0], bridged[-1], whole[0], whole[-2]):
        window = filled(folder, minutes[: at - 4])
        for place in range(rows[at - 4], rows[at + 6]):
            closed = live[place]
            window.close(closed.bar.minute, closed.bar.features, source_row(closed))
            expected = stage[minutes == closed.bar.minute].to_numpy()
            if len(expected) and np.isfinite(expected).all():
                newest = window.newest(1, 121)
                assert newest.minutes.tolist() == [closed.bar.minute]
                assert newest.features[:, 9:].tobytes() == expected.tobytes()
                answered += 1
            elif len(expected):
                assert window.missing(1, 121) > 0
    assert answered == 2 * 10 + 2 * 5


def filled(folder: Path, known: np.ndarray) -> Window:
    """A window over the stored rows of these minutes."""
    past, window = read_history(SYMBOL, folder / "none", folder), Window(BRIDGE, kept=50)
    first, last = int(known[-1]) - 2 * sets.REACH, int(known[-1]) + 1
    sources = read_sources(SYMBOL, folder / "none", folder, first, last)
    window.fill(past.before(last).rows, sources)
    assert window.missing(3, 121) == 0
    return window


# The same market in Binance's form.

MINUTES = 900


def as_event(update: BookUpdate) -> bytes:
    """Three ids an update: `U` is the first of them, `u` the last."""
    data = {
        "e": "depthUpdate",
        "E": update.ts + 3,
        "T": update.ts,
        "s": update.symbol,
        "U": 3 * update.update_id - 2,
        "u": 3 * update.update_id,
        "pu": 3 * update.update_id - 3,
        "b": as_texts(update.bids),
        "a": as_texts(update.asks),
    }
    return msgspec.json.encode({"stream": "btcusdt@depth@100ms", "data": data})


def as_snapshot(update: BookUpdate) -> bytes:
    sides = {"bids": as_texts(update.bids), "asks": as_texts(update.asks)}
    ids = {"lastUpdateId": 3 * update.update_id, "E": update.ts + 1, "T": update.ts}
    return msgspec.json.encode(ids | sides)


def as_texts(levels: list[Level]) -> list[list[str]]:
    return [[f"{price:.2f}", f"{size:.3f}"] for price, size in levels]


def test_the_same_market_in_binance_form_gives_the_same_bits(tmp_path):
    written = simulated(days=1).lines(0, 0, MINUTES * 60_000 // CADENCE_MS).splitlines()
    archive = archive_of(written, tmp_path)
    archived = read_archive(archive, SYMBOL, dt.date(2024, 1, 1), etl_settings())
    # This market tells of every level, so what changes tell of the book is the whole of it.
    bars = BookBars(BinanceBookSync(SYMBOL, 1_000, beyond_range=True), 5, 5)
    snapshot, *updates = map(decode, written)
    taken = [drive(bars, "opened", b""), drive(bars, "stream", as_event(updates[0]))]
    taken.append(drive(bars, "snapshot", as_snapshot(snapshot)))
    taken += (drive(bars, "stream", as_event(update)) for update in updates[1:])
    rows = [row for minutes in taken for row in minutes.closed if row.bar.features is not None]
    # Its first event waited for the snapshot: the first minute has no close for the second one.
    assert len(rows) == len(archived.minutes) - 1 == MINUTES - 3
    assert [row.bar.minute for row in rows] == archived.minutes[1:].tolist()
    assert np.array([row.bar.features for row in rows]).tobytes() == archived.features[1:].tobytes()
    assert np.array([row.bar.close for row in rows]).tobytes() == archived.close[1:].tobytes()
    books = np.array([book_row(row.bids, row.asks) for row in rows])
    assert books.tobytes() == archived.book[1:].tobytes()


def archive_of(written: list[bytes], folder: Path) -> Path:
    path = folder / f"2024-01-01_{SYMBOL}_ob200.data.zip"
    write_zip(path, path.stem, [b"\n".join(written)])
    return path
