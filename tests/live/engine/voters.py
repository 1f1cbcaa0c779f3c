"""An ensemble of three members under an engine, and a market of some minutes with books.

As a process it answers some minutes of the market, tells of it, and waits to be killed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quantgod.contracts import FEATURES, BookShape
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.contracts.model_notices import ModelNotice
from quantgod.evaluation.drift import read_reference
from quantgod.live.deployment.loaded_members import LoadedMembers, members_in
from quantgod.live.deployment.loaded_model import LoadedModel
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.history import read_history
from quantgod.live.engine.moving_weights import SymbolWeights
from quantgod.live.engine.window import Window
from quantgod.live.journal import BARS, EVENTS, SIGNALS, VOTES, Journal, read_table
from quantgod.live.journal.model_events import journaled
from quantgod.market.book_bars import ClosedMinute
from quantgod.market.minute_bars import MinuteBar
from quantgod.registry.chain import Chain
from quantgod.settings import load_settings
from tests.dataset.books import BLOCK, LEVELS, books_of
from tests.live.engine.answering import Deployed, now, until
from tests.synthetic import synthetic_bars

BRIDGE, MINUTES = 5, 160
SYMBOL = "BTCUSDT"
TABLES = {"BARS": BARS, "VOTES": VOTES, "SIGNALS": SIGNALS, "EVENTS": EVENTS}
SETTINGS = load_settings(Path("conf/demo.yaml")).live.journaling


def market() -> tuple[pd.DataFrame, np.ndarray]:
    """Minute bars, and the snapshots before each close."""
    bars = synthetic_bars(MINUTES + 200, seed=3).iloc[-MINUTES:]
    return bars, books_of(bars["close"].to_numpy())


def loaded(package: Path, version: int = 1) -> LoadedModel:
    """Return the version of a package, as `load_model` does of a registered one."""
    chain = Chain(package)
    book, reference = BookShape(BLOCK, LEVELS, 100), read_reference(package)
    known = "quantgod", version, chain.contract.window, FEATURES, package, reference
    untold: Any = None  # MLflow's own model, which an ensemble is not asked by
    return LoadedModel(*known, untold, book, LoadedMembers(members_in(package), chain))


def minutes(rows: Sequence[int], thin: Sequence[int] = ()) -> list[ClosedMinute]:
    """Close the minutes of these rows; the books of some lack a level."""
    bars, books = market()
    epoch = pd.DatetimeIndex(bars.index).as_unit("s").asi8 // 60
    closed = []
    for row in rows:
        known = books[row].copy()
        if row in thin:
            known[2, 1, -1] = np.nan, 0.0
        bar = MinuteBar(
            int(epoch[row]), "", bars[list(FEATURES)].to_numpy()[row],
            float(bars["close"].iloc[row]), np.zeros(12),
        )  # fmt: skip
        closed.append(ClosedMinute(bar, [], [], known))
    return closed


class OrderedJournal(Journal):
    """A journal that refuses a signal whose votes are not written yet."""

    def append_now(self, table: str, row: Mapping[str, Any]) -> Future[None]:
        if table == "SIGNALS":
            votes = read_table(self.folder, "VOTES", ["minute", "role", "version"]).to_pylist()
            assert {name: row[name] for name in ("minute", "role", "version")} in votes
        return super().append_now(table, row)


@dataclass
class Session:
    """One session over a journal's folder, which begins with what is there."""

    folder: Path
    models: Deployed
    after: Callable[[int], None] = lambda place: None

    def play(self, closed: Sequence[ClosedMinute], past: int = 0) -> Engine:
        """Answer these minutes, the first `past` rows of the market being history."""
        self.notices: list[ModelNotice] = []
        with OrderedJournal(self.folder, TABLES, SETTINGS) as self.journal:
            return asyncio.run(self._play(self.journal, closed, past))

    async def _play(self, journal: Journal, closed: Sequence[ClosedMinute], past: int) -> Engine:
        window, weights = self._begun(past)
        self.told: list[tuple[int, bool]] = []
        self.engine = engine = Engine(
            {SYMBOL: window}, {SYMBOL: self.models}, journal,
            journaled(journal, self.notices.append), weights={SYMBOL: weights},
            on_row=lambda *told: self.told.append((told[1], told[3] is not None)),
        )  # fmt: skip
        running = asyncio.ensure_future(engine.run())
        for place, one in enumerate(closed):
            engine.closed(SYMBOL, one, now())
            await until(lambda: not engine._unanswered)
            await engine._idle()
            self.after(place)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return engine

    def _begun(self, past: int) -> tuple[Window, SymbolWeights]:
        window, weights = Window(BRIDGE, kept=200), SymbolWeights(SYMBOL, self.folder, BRIDGE)
        bars = market()[0].iloc[:past]
        epoch = pd.DatetimeIndex(bars.index).as_unit("s").asi8 // 60
        own = read_history(SYMBOL, self.folder)
        rows = np.vstack([bars[list(FEATURES)].to_numpy(), own.features])
        window.fill(MinuteRows(np.concatenate([epoch, own.minutes]), rows))
        weights.closes.fill(own.minutes, own.close)
        weights.remember("quantgod", 1)
        return window, weights

    def votes(self, role: str = "Production") -> pd.DataFrame:
        """The journaled votes by minute."""
        rows = read_table(self.folder, "VOTES").to_pandas()
        return rows[rows["role"] == role].set_index("minute")

    def signals(self) -> pd.DataFrame:
        return read_table(self.folder, "SIGNALS").to_pandas().set_index("minute")


def main(package: str, folder: str, first: str, count: str) -> None:
    """Answer so many minutes, tell of it, and wait to be killed."""
    rows = range(int(first), int(first) + int(count))

    def after(place: int) -> None:
        if place == len(rows) - 1:
            while live.journal.acknowledged("SIGNALS") < len(rows):
                time.sleep(0.005)  # it is written in a thread
            sys.stdout.write("answered\n")
            sys.stdout.flush()
            sys.stdin.readline()

    models = Deployed(loaded(Path(package)))  # type: ignore[arg-type]
    live = Session(Path(folder), models, after)
    live.play(minutes(rows), past=int(first))


if __name__ == "__main__":
    main(*sys.argv[1:])
