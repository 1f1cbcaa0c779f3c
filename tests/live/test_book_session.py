"""A session with a version of the book, over sockets: it answers what its own recording says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from quantgod.archive.etl import run_etl
from quantgod.archive.snapshots import run_snapshots
from quantgod.archive.store import load_bars
from quantgod.contracts import CLASSES, FEATURES, MS_PER_MINUTE, PRIMARY
from quantgod.dataset.book_blocks import open_all_blocks, row_blocks
from quantgod.evaluation.subject import RawMaterial
from quantgod.live import runner
from quantgod.live.engine.journal_rows import bar_row
from quantgod.live.feed.feed import Feed, FeedListener
from quantgod.live.journal import Journal, read_table
from quantgod.live.listener import LiveListener
from quantgod.live.recording.archive import archive_recording
from quantgod.live.recording.recorder import Recorder, recording_tables
from quantgod.live.runner import TABLES, run_live
from quantgod.market.book_bars import BookBars, ClosedMinute
from quantgod.market.minute_bars import MinuteBar
from quantgod.registry.chain import Chain
from quantgod.registry.chain_subject import ChainSubject
from quantgod.settings import FeedSettings, Settings, load_settings
from quantgod.simulation.exchange.server import Exchange
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import TrueEvent, Truth
from tests.dataset.books import BLOCK
from tests.registry.conftest import NAME, make_store, tracked
from tests.registry.test_book_version import WINDOW, make_version

SYMBOL = "BTCUSDT"
LEVELS = 8  # a book of five levels stands, so a version must take more to find one too thin
FIRST = 28_401_120  # the minute whose last seconds the stream begins in
THIN, LAST = FIRST + 3, FIRST + 5
PRICE = 60_000.0


class MarketThatThins(SyntheticMarket):
    """A market that has six asks alone around the close of one minute."""

    is_thin = False

    def _event(self, ts: int) -> TrueEvent:
        self.is_thin = abs(ts - (THIN + 1) * MS_PER_MINUTE) < 3_000
        self.moves = 0.0 if self.is_thin else 0.2
        return super()._event(ts)

    def _resize(self, bids: dict[int, int], asks: dict[int, int]) -> None:
        super()._resize(bids, asks)
        for price in sorted(self._asks)[6:] if self.is_thin else ():
            self._put(self._asks, asks, price, 0)


class Both:
    """A session's listener and a recorder, which hear the same."""

    def __init__(self, *listeners: FeedListener) -> None:
        self._listeners = listeners

    def __getattr__(self, name: str) -> Any:
        def tell(*given: Any) -> None:
            for listener in self._listeners:
                getattr(listener, name)(*given)

        return tell


def settings_of(folder: Path) -> Settings:
    return load_settings(
        Path("tests/live/live.yaml"),
        {
            "registry.name": NAME,
            "live.journal": str(folder / "journal"),
            "live.copies": str(folder / "copies"),
            "live.max_candles": LAST - FIRST,
            "snapshots.levels": LEVELS,
            "snapshots.per_minute": BLOCK,
            "snapshots.block": BLOCK,
        },
    )


def remember(settings: Settings, bars: pd.DataFrame) -> None:
    """Journal the window before the stream, as an earlier session."""
    live = settings.live
    with Journal(live.own_journal, TABLES, live.journaling, source=live.exchange) as journal:
        for place, features in enumerate(bars[list(FEATURES)].to_numpy()[:WINDOW]):
            bar = MinuteBar(FIRST - WINDOW + place, "", features, PRICE, np.zeros(12))
            journal.append("BARS", bar_row(SYMBOL, ClosedMinute(bar, [], [])))


def play(settings: Settings, recording: Path, patch: pytest.MonkeyPatch) -> None:
    """Let a session answer the market, and record what its sockets bring."""
    tables, live = recording_tables(settings.live.collect), settings.live

    async def session(journal: Journal) -> None:
        def feed(given: FeedSettings, books: Mapping[str, BookBars], heard: LiveListener) -> Feed:
            return Feed(given, books, Both(heard, Recorder(journal, books, live.collect)))

        patch.setattr(runner, "Feed", feed)
        begins = (FIRST + 1) * MS_PER_MINUTE - 10_000
        market = MarketThatThins(SYMBOL, 3, levels=300, start_ms=begins, cadence_ms=200)
        async with Exchange(Truth([market]), speed=90.0) as exchange:
            urls = {"stream_url": exchange.stream_url, "depth_url": exchange.depth_url}
            here = live.feed.model_copy(update=urls)
            await run_live(settings, here, Console(quiet=True), lambda *_: None)

    with closing(Journal(recording, tables, live.journaling)) as journal:
        asyncio.run(session(journal))


def test_it_answers_what_its_version_says_of_the_blocks_of_its_own_recording(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit; and a minute whose book is too thin has a row, a notice and no signal."""
    settings, made = settings_of(tmp_path), make_version(tmp_path / "version", LEVELS)
    store = make_store(made, tmp_path_factory.mktemp("store"))  # type: ignore[arg-type]
    remember(settings, made.bars)
    with tracked(store.uri):
        MlflowClient().set_registered_model_alias(NAME, "Production", str(store.number))
        play(settings, tmp_path / "recording", monkeypatch)
    kept = {
        name: read_table(settings.live.own_journal, name).to_pandas().set_index("datetime")
        for name in ("BARS", "SIGNALS", "EVENTS")
    }
    rows, signals = kept["BARS"].dropna(subset="close"), kept["SIGNALS"]
    assert rows["minute"].tolist()[WINDOW:] == [*range(FIRST + 1, LAST + 1)]
    assert signals["minute"].tolist() == [FIRST + 1, FIRST + 2, FIRST + 4, FIRST + 5]
    (told,) = kept["EVENTS"].query("code == 'no_block'")["detail"]
    assert (
        f"minute {THIN}: {BLOCK} of {BLOCK} snapshots of the book have fewer than 8 levels" in told
    )

    archive_recording(tmp_path / "recording", tmp_path / "archives", settings)
    folders = [tmp_path / name for name in ("archives", "bars", "snapshots")]
    run_etl(*folders[:2], settings.etl)
    run_snapshots(*folders, SYMBOL, "linear", settings.etl, settings.snapshots)
    bars = load_bars(folders[1], SYMBOL)
    blocks = row_blocks(open_all_blocks(folders[2], SYMBOL), pd.DatetimeIndex(rows.index))
    places = blocks.places[rows.index.get_indexer(bars.index)]
    assert bars.index.as_unit("s").asi8.tolist() == [60 * m for m in range(FIRST + 2, LAST + 1)]
    assert bars[list(FEATURES)].equals(rows.loc[bars.index, list(FEATURES)])
    assert blocks.blocks.whole(places).tolist() == [True, False, True, True]

    answered = bars.index[[0, 2, 3]]
    subject = ChainSubject("quantgod/1", Chain(made.package.folder))
    material = RawMaterial(rows[list(FEATURES)].to_numpy(), blocks)
    seen = subject.ask(material, rows.index.get_indexer(answered))
    base = seen.forecast.probabilities[:, PRIMARY]
    for kind, expected in (("base", base), ("prob", subject.audited(seen.meta))):
        names = [f"{kind}_{name.lower()}" for name in CLASSES]
        assert np.array_equal(signals.loc[answered, names].to_numpy(), expected), kind
    assert np.array_equal(signals.loc[answered, "base_confidence"], subject.confidence(seen))
    assert signals.loc[answered, "base_confidence"].nunique() == len(answered)
