"""Turn closed minutes into journaled signals, off the event loop.

A minute is journaled when it closes. If it has a row and the window is full, it is a candle: the
answering version is chosen then, so that a swap falls between two candles, and runs in a worker
thread. Then the challenger predicts the same minute in another thread while the champion is idle;
the champion never waits for it.

Every candle gets one signal of the champion, or one notice with the reason. A version of the book
gets none of a minute whose snapshots are not all known: that is no opinion. Of an ensemble the
members that cannot look at a minute, or fail on it, abstain, and below the quorum there is none.
The 112 features of a minute are made before it only if the champion takes them, else when its
signal is journaled.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from quantgod.contracts import Floats
from quantgod.contracts.minute_rows import as_frame
from quantgod.contracts.model_notices import Level, ModelNotice, Report, SignalCode
from quantgod.contracts.panel import Panel
from quantgod.contracts.prediction import Prediction
from quantgod.contracts.row_sink import RowSink
from quantgod.live.engine.block import NO_BLOCK, Block, block_of, stillness
from quantgod.live.engine.feature_rows import source_row
from quantgod.live.engine.journal_rows import bar_row, signal_row
from quantgod.live.engine.lane import Lane
from quantgod.live.engine.moving_weights import SymbolWeights
from quantgod.live.engine.needs import missing, missing_by_member, warming
from quantgod.live.engine.question import Model, Question, Role, Seen
from quantgod.live.engine.voting import Voting, no_quorum
from quantgod.live.engine.window import Window
from quantgod.market.book_bars import ClosedMinute

WAITING: Final = 2
"""Candles per symbol that may wait: those of one minute while those of the last are answered."""

END_SECONDS: Final = 2.0
"""How long the end of a session waits for pending answers."""

LATENCIES: Final = 1_000


class Models(Protocol):
    """The interface that chooses a symbol's versions; `Deployment` implements it."""

    def champion(self) -> Model:
        """Return the version that answers; called once per candle."""

    def challenger(self) -> Model | None:
        """Return the version that answers in shadow, if any."""


OnRow = Callable[[str, int, Floats, Prediction | None, Model], None]
"""Called with every row, in order per symbol: symbol, epoch minute, features (9), the champion's
prediction (None while its window is not full, or without an answer), and the champion."""


@dataclass
class AnswerState:
    """A symbol's state for the status view.

    Attributes:
        missing: minutes until the champion's window is full.
        warming: those of them until a row has all features that it takes.
        shadow_missing: minutes until the challenger's window is full; 0 without one.
        lacks: what the last minute with a row lacks for a signal of the champion: a whole book, or
            a quorum.
        blockless: minutes without a signal for the book.
        last: the last closed minute.
        said: the champion's last prediction.
        version: its version.
        latency_ms: from the arrival of the closing message to the journaled signal.
        cold: rows until each member of the champion can speak, of those that cannot yet.
        panel: the champion's members' last votes.
    """

    missing: int
    last: ClosedMinute | None = None
    said: Prediction | None = None
    version: int | None = None
    latency_ms: float | None = None
    warming: int = 0
    shadow_missing: int = 0
    lacks: str = ""
    blockless: int = 0
    cold: dict[str, int] = field(default_factory=dict)
    panel: Panel | None = None


class Engine:
    """Keeps the windows of all symbols and answers their candles.

    Args:
        windows: one per symbol, filled from history if there is any.
        models: the versions of each symbol.
        journal: for bars and signals.
        report: called with problems.
        on_row: called with every row; it must be fast.
        max_candles: `done` is set when every symbol has had this many, or one of them more.
        weights: of versions whose members' weights move, by symbol; new ones by default.
    """

    def __init__(
        self,
        windows: Mapping[str, Window],
        models: Mapping[str, Models],
        journal: RowSink,
        report: Report,
        *,
        on_row: OnRow | None = None,
        max_candles: int | None = None,
        weights: Mapping[str, SymbolWeights] | None = None,
    ) -> None:
        self.done = asyncio.Event()
        self.latencies_ms: deque[float] = deque(maxlen=LATENCIES)
        self.symbols = {name: AnswerState(0) for name in windows}
        self._windows = windows
        self._weights = weights or {
            name: SymbolWeights(name, None, window.max_bridge_minutes)
            for name, window in windows.items()
        }
        self._voting = Voting(journal, report, self._weights, self._hear)
        self._champion = {name: models[name].champion() for name in windows}
        for name in windows:
            self._count_missing(name)
        self._models = models
        self._journal = journal
        self._report = report
        self._on_row = on_row
        self._max_candles = max_candles
        self._beside: dict[str, tuple[Question | None, Model | None]] = {}  # before `_settle`
        self._candles = dict.fromkeys(windows, 0)
        self._unanswered = 0
        self._given_up: deque[Question] = deque(maxlen=LATENCIES)
        limit = WAITING * len(windows)
        self._champions = Lane("champion", limit, self._answer, self._give_up)
        self._shadows = Lane("challenger", limit, self._answer_in_shadow, self._give_up)

    def closed(self, symbol: str, closed: ClosedMinute, received: float) -> None:
        """Take a closed minute; called in the event loop, and fast.

        Args:
            symbol: of the minute.
            closed: the minute, with its row or without.
            received: `time.monotonic()` at arrival of the closing message.
        """
        self._settle(symbol)
        minute, features = closed.bar.minute, closed.bar.features
        if not self._windows[symbol].close(minute, features, source_row(closed)):
            self._tell("warning", "old_minute", symbol, f"minute {minute} has closed already")
            return
        self._journal.append("BARS", bar_row(symbol, closed))
        self.symbols[symbol].last = closed
        self._count_missing(symbol)
        if features is not None:
            self._weights[symbol].closes.take(minute, closed.bar.close)
            self._candles[symbol] += 1
            self._ask(symbol, minute, features, received)
            self._end_if_all_are_answered()

    async def run(self) -> None:
        """Answer until cancelled; waiting candles are still answered for a moment."""
        lanes = [asyncio.ensure_future(lane.run()) for lane in (self._champions, self._shadows)]
        try:
            ended, _ = await asyncio.wait(lanes, return_when=asyncio.FIRST_COMPLETED)
            for lane in ended:
                lane.result()
        finally:
            idle = asyncio.ensure_future(self._idle())
            await asyncio.wait([idle], timeout=END_SECONDS)
            for task in (idle, *lanes):
                task.cancel()
            await asyncio.gather(idle, *lanes, return_exceptions=True)
            self._champions.close()
            self._shadows.close()

    async def _idle(self) -> None:
        await self._champions.idle()
        await self._shadows.idle()

    def _ask(self, symbol: str, minute: int, features: Floats, received: float) -> None:
        """Queue the candle if the champion's window is full."""
        window, models = self._windows[symbol], self._models[symbol]
        champion, challenger = models.champion(), models.challenger()
        self._champion[symbol] = champion
        self._count_missing(symbol)
        seen = self._seen(symbol, minute, champion, "Production")
        if seen is None:
            self._tell_row(symbol, minute, features, None, champion)
            self._beside[symbol] = None, challenger
            self._settle(symbol)
            window.catch_up()
            return
        question = Question(symbol, minute, features, received, "Production", champion, seen, [])
        self._beside[symbol] = question, challenger
        self._unanswered += 1
        self._champions.put(question)

    def _settle(self, symbol: str) -> None:
        """Make the challenger's question of the newest minute: its rows may take a moment."""
        if symbol not in self._beside:
            return
        question, challenger = self._beside.pop(symbol)
        state, window = self.symbols[symbol], self._windows[symbol]
        state.shadow_missing = 0 if challenger is None else missing(window, challenger)
        if question is None or challenger is None:
            return
        seen = self._seen(symbol, question.minute, challenger, "Challenger")
        if seen is not None:
            candle = symbol, question.minute, question.features, question.received
            question.shadow.append(Question(*candle, "Challenger", challenger, seen, []))

    def _seen(self, symbol: str, minute: int, model: Model, role: Role) -> Seen | None:
        """Return what a version takes of the newest minute; None if it is not all there.

        An ensemble does with what there is: members that cannot look at it abstain.
        """
        window, state = self._windows[symbol], self.symbols[symbol]
        if missing(window, model):
            return None
        needed = model.window, len(model.features)
        block = NO_BLOCK if model.book is None else _block(state.last)
        if model.members:
            return Seen(window.known(*needed), block.books, block.lacks)
        rows = window.newest(*needed)
        if model.book is not None and not block.lacks:
            block = block._replace(lacks=stillness(rows.features))
        if role == "Production":
            state.lacks = block.lacks
            state.blockless += bool(block.lacks)
        if block.lacks:
            text = f"minute {minute}: {block.lacks}, so version {model.version} as {role} gives no"
            self._tell("warning", "no_block", symbol, f"{text} signal")
            return None
        return Seen(rows, block.books)

    def _count_missing(self, symbol: str) -> None:
        champion = self._champion[symbol]
        state, window = self.symbols[symbol], self._windows[symbol]
        state.missing = missing(window, champion)
        state.warming = warming(window, champion)
        cold = missing_by_member(window, champion)
        state.cold = {name: rows for name, rows in cold.items() if rows}

    async def _answer(self, asked: Question) -> None:
        said = await self._predict(self._champions, asked)
        self._over(asked, said)

    async def _answer_in_shadow(self, asked: Question) -> None:
        await self._champions.idle()
        await self._predict(self._shadows, asked)

    def _give_up(self, asked: Question) -> None:
        text = f"minute {asked.minute}: version {asked.model.version} answers more slowly than"
        text = f"{text} minutes close, and newer ones wait; it gets no signal as {asked.role}"
        self._tell("error", "late", asked.symbol, text)
        if asked.role == "Production":
            self._unanswered -= 1
            self._given_up.append(asked)

    def _over(self, asked: Question, said: Prediction | None) -> None:
        """Handle the end of the champion's turn, and queue the challenger."""
        self._unanswered -= 1
        for one in sorted([*self._given_up, asked], key=lambda question: question.minute):
            answer = said if one is asked else None
            self._tell_row(one.symbol, one.minute, one.features, answer, one.model)
        self._given_up.clear()
        self._settle(asked.symbol)
        for shadow in asked.shadow:
            self._shadows.put(shadow)
        self._end_if_all_are_answered()

    async def _predict(self, lane: Lane[Question], asked: Question) -> Prediction | None:
        """Predict in the lane's thread and journal the answer; return None if there is none."""
        try:
            if asked.model.members:
                said = await self._voting.ask(lane, asked)
            else:
                said = await lane.compute(functools.partial(_judge, asked))
        except Exception as error:
            # A version may raise anything; the next candle is a new try.
            text = f"minute {asked.minute}, version {asked.model.version} as {asked.role}"
            self._tell("error", "prediction_failed", asked.symbol, f"{text}: {error!r}")
            return None
        if said is not None:
            self._keep(asked, said)
        return said

    def _hear(self, asked: Question, panel: Panel) -> None:
        """Keep the champion's votes for the status, and what they lack for a signal."""
        if asked.role == "Production":
            state = self.symbols[asked.symbol]
            state.panel = panel
            state.lacks = "" if panel.direction else no_quorum(panel)

    def _keep(self, asked: Question, said: Prediction) -> None:
        if asked.role == "Production":
            state = self.symbols[asked.symbol]
            state.said, state.version = said, asked.model.version
        latency_ms = (time.monotonic() - asked.received) * 1e3
        row = signal_row(asked.symbol, asked.role, asked.model, said, latency_ms)
        promise = self._journal.append_now("SIGNALS", row)
        # Not awaited: on a full disk it may never be done, and signals must go on.
        loop = asyncio.get_running_loop()
        promise.add_done_callback(functools.partial(_in_loop, loop, self._kept, asked))

    def _kept(self, asked: Question, arrived: float, error: BaseException | None) -> None:
        """Handle a signal that the journal has stored or refused; `arrived` gives its latency."""
        if error is not None:
            text = f"minute {asked.minute}: the signal as {asked.role} is not journaled: {error}"
            self._tell("error", "not_journaled", asked.symbol, text)
        elif asked.role == "Production":
            latency_ms = (arrived - asked.received) * 1e3
            self.latencies_ms.append(latency_ms)
            self.symbols[asked.symbol].latency_ms = latency_ms
            self._windows[asked.symbol].catch_up()

    def _tell_row(
        self,
        symbol: str,
        minute: int,
        features: Floats,
        said: Prediction | None,
        model: Model,
    ) -> None:
        if self._on_row is None:
            return
        try:
            self._on_row(symbol, minute, features, said, model)
        except Exception as error:
            # A failing row hook must not stop signals.
            self._tell("error", "row_hook_failed", symbol, f"minute {minute}: {error!r}")

    def _end_if_all_are_answered(self) -> None:
        wanted, counts = self._max_candles, self._candles.values()
        if wanted is None or self._unanswered:
            return
        if min(counts) >= wanted or max(counts) > wanted:
            self.done.set()

    def _tell(self, level: Level, code: SignalCode, symbol: str, text: str) -> None:
        self._report(ModelNotice(level, "signal", code, symbol, text))


def _block(closed: ClosedMinute | None) -> Block:
    return block_of(None if closed is None else closed.snapshots)


def _judge(asked: Question) -> Prediction:
    said = asked.model.predict(as_frame(asked.seen.rows, asked.seen.books))
    if said.minute != asked.minute:
        raise ValueError(f"minute {asked.minute} was asked about, it judged {said.minute}")
    return said


def _in_loop(
    loop: asyncio.AbstractEventLoop,
    kept: Callable[[Question, float, BaseException | None], None],
    asked: Question,
    promise: Future[None],
) -> None:
    """Pass the journal's result to the event loop; called in the journal's thread."""
    arrived, error = time.monotonic(), promise.exception()
    with suppress(RuntimeError):  # the loop was closed: nothing waits for the result
        loop.call_soon_threadsafe(kept, asked, arrived, error)
