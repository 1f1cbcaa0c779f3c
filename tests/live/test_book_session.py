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
from quantgod.dataset.book_blocks import RowBlocks, open_all_blocks, row_blocks
from quantgod.dataset.labels import label
from quantgod.ensemble.ensemble import Ensemble
from quantgod.evaluation.subject import RawMaterial, outcomes_of
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
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.outcome import Outcome
from quantgod.served.combiners.votes import Rules
from quantgod.served.combiners.weights import Hedge
from quantgod.settings import FeedSettings, LabelSettings, Settings, load_settings
from quantgod.simulation.exchange.server import Exchange
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import TrueEvent, Truth
from tests.dataset.books import BLOCK
from tests.registry.conftest import CLASS_WEIGHTS, NAME, make_store, tiny_network, tracked
from tests.registry.test_book_version import WINDOW, Made, make_version, of_the_book

SYMBOL = "BTCUSDT"
LEVELS = 8  # a book of five levels stands, so a version must take more to find one too thin
FIRST = 28_401_120  # whole, or begun by a slow machine: the ones after it are whole
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
            "live.max_candles": LAST - FIRST + 1,
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
            bar = MinuteBar(FIRST - 1 - WINDOW + place, "", features, PRICE, np.zeros(12))
            journal.append("BARS", bar_row(SYMBOL, ClosedMinute(bar, [], [])))


def play(settings: Settings, recording: Path, patch: pytest.MonkeyPatch) -> None:
    """Let a session answer the market, and record what its sockets bring."""
    tables, live = recording_tables(settings.live.collect), settings.live

    async def session(journal: Journal) -> None:
        def feed(given: FeedSettings, books: Mapping[str, BookBars], heard: LiveListener) -> Feed:
            return Feed(given, books, Both(heard, Recorder(journal, books, live.collect)))

        patch.setattr(runner, "Feed", feed)
        begins = FIRST * MS_PER_MINUTE - 50_000
        market = MarketThatThins(SYMBOL, 3, levels=300, start_ms=begins, cadence_ms=200)
        async with Exchange(Truth([market]), speed=60.0) as exchange:
            urls = {"stream_url": exchange.stream_url, "depth_url": exchange.depth_url}
            here = live.feed.model_copy(update=urls)
            await run_live(settings, here, Console(quiet=True), lambda *_: None)

    with closing(Journal(recording, tables, live.journaling)) as journal:
        asyncio.run(session(journal))


def lived(
    tmp_path: Path, made: Made, factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> dict[str, pd.DataFrame]:
    """Let a registered version answer the market, and return the tables of its journal.

    A slow machine may answer more minutes before the end: those are left out.
    """
    settings = settings_of(tmp_path)
    store = make_store(made, factory.mktemp("store"))  # type: ignore[arg-type]
    remember(settings, made.bars)
    with tracked(store.uri):
        MlflowClient().set_registered_model_alias(NAME, "Production", str(store.number))
        play(settings, tmp_path / "recording", monkeypatch)
    names = [name for name in TABLES if (settings.live.own_journal / name).is_dir()]
    kept = {name: read_table(settings.live.own_journal, name).to_pandas() for name in names}
    return {
        name: (rows[rows["minute"] <= LAST] if "minute" in rows else rows).set_index("datetime")
        for name, rows in kept.items()
        if len(rows)
    }


def archived(tmp_path: Path, rows: pd.DataFrame) -> tuple[pd.DatetimeIndex, RowBlocks]:
    """Make archives of the recording, and return their minutes and the blocks of the rows."""
    settings = settings_of(tmp_path)
    archive_recording(tmp_path / "recording", tmp_path / "archives", settings)
    folders = [tmp_path / name for name in ("archives", "bars", "snapshots")]
    run_etl(*folders[:2], settings.etl)
    run_snapshots(*folders, SYMBOL, "linear", settings.etl, settings.snapshots)
    bars = load_bars(folders[1], SYMBOL)
    bars = bars[(bars.index > rows.index[-4 - 1]) & (bars.index <= rows.index[-1])]
    blocks = row_blocks(open_all_blocks(folders[2], SYMBOL), pd.DatetimeIndex(rows.index))
    places = blocks.places[rows.index.get_indexer(bars.index)]
    assert bars.index.as_unit("s").asi8.tolist() == [60 * m for m in range(FIRST + 2, LAST + 1)]
    assert bars[list(FEATURES)].equals(rows.loc[bars.index, list(FEATURES)])
    assert blocks.blocks.whole(places).tolist() == [True, False, True, True]
    return pd.DatetimeIndex(bars.index), blocks


@pytest.mark.long
def test_it_answers_what_its_version_says_of_the_blocks_of_its_own_recording(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit; and a minute whose book is too thin has a row, a notice and no signal."""
    made = make_version(tmp_path / "version", LEVELS)
    kept = lived(tmp_path, made, tmp_path_factory, monkeypatch)
    rows, signals = kept["BARS"].dropna(subset="close"), kept["SIGNALS"]
    assert rows["minute"].tolist()[-5:] == [*range(FIRST + 1, LAST + 1)]
    assert signals["minute"].tolist()[-4:] == [FIRST + 1, FIRST + 2, FIRST + 4, FIRST + 5]
    (told,) = kept["EVENTS"].query("code == 'no_block'")["detail"]
    assert (
        f"minute {THIN}: {BLOCK} of {BLOCK} snapshots of the book have fewer than 8 levels" in told
    )
    minutes, blocks = archived(tmp_path, rows)
    answered = minutes[[0, 2, 3]]
    subject = ChainSubject("quantgod/1", Chain(made.package.folder))
    material = RawMaterial(rows[list(FEATURES)].to_numpy(), blocks)
    seen = subject.ask(material, rows.index.get_indexer(answered))
    base = seen.forecast.probabilities[:, PRIMARY]
    for kind, expected in (("base", base), ("prob", subject.audited(seen.meta))):
        names = [f"{kind}_{name.lower()}" for name in CLASSES]
        assert np.array_equal(signals.loc[answered, names].to_numpy(), expected), kind
    assert np.array_equal(signals.loc[answered, "base_confidence"], subject.confidence(seen))
    assert signals.loc[answered, "base_confidence"].nunique() == len(answered)


def of_two(bars: pd.DataFrame, levels: int) -> Ensemble:
    """A network of bars and one of the book, whose weights one minute moves."""
    moving = Combiner(
        ("near", "book"), "weighted_voting", (0.5, 0.5), Rules(class_weights=CLASS_WEIGHTS),
        online=Hedge(rate=20.0), every=FIRST + 2, outcome=Outcome(2, 1e-9, -1e-9),
    )  # fmt: skip
    members = {"near": tiny_network(bars, window=WINDOW), "book": of_the_book(bars, levels)}
    return Ensemble(members, moving)


@pytest.mark.long
def test_members_vote_as_they_do_on_the_archives_of_their_own_recording(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, weights included; where the book is too thin its member alone abstains."""
    made = make_version(tmp_path / "version", LEVELS, of_two)
    kept = lived(tmp_path, made, tmp_path_factory, monkeypatch)
    rows, votes, signals = kept["BARS"].dropna(subset="close"), kept["VOTES"], kept["SIGNALS"]
    assert votes["minute"].tolist() == signals["minute"].tolist()
    assert votes["minute"].tolist()[-5:] == [*range(FIRST + 1, LAST + 1)]
    assert [bool(why[1]) for why in votes["absent"]][-5:] == [False, False, True, False, False]
    (told,) = kept["EVENTS"].query("code == 'abstains'")["detail"]
    assert f"minute {THIN}, version 1 as Production: book abstains, no_book: {BLOCK} of" in told
    minutes, blocks = archived(tmp_path, rows)

    answered = minutes[[0, 2, 3]]
    at = rows.index.get_indexer(answered)
    subject = ChainSubject("quantgod/1", Chain(made.package.folder))
    horizon = LabelSettings(horizon_minutes=2, buy_above=1e-9, sell_below=-1e-9)
    outcomes = outcomes_of(label(rows[[*FEATURES, "close"]], horizon, 5))
    matrix = rows[list(FEATURES)].to_numpy()
    seen = subject.ask(RawMaterial(matrix, blocks, outcomes), at)
    columns = [name.lower() for name in CLASSES]
    for place, (name, chances) in enumerate(seen.votes.probabilities.items()):
        said = [[one[place] for one in votes.loc[answered, column]] for column in columns]
        assert np.array_equal(np.stack(said, axis=1), chances), name
    names = [f"base_{column}" for column in columns]
    base = seen.forecast.probabilities[:, PRIMARY]
    assert np.array_equal(signals.loc[answered, names].to_numpy(), base)
    fixed = subject.ask(RawMaterial(matrix, blocks), at).forecast.probabilities[:, PRIMARY]
    assert np.array_equal(base[0], fixed[0])
    assert not np.array_equal(base[1:], fixed[1:]), "the first outcome has moved the weights"
