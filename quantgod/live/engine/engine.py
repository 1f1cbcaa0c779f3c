"""From a closed minute to a journaled signal, off the event loop.

A minute is journaled as it closes. If it has a row and the window is full, it is a candle: the
version that answers it is chosen then, so that a swap falls between two candles, and one worker
thread asks it. Then the challenger, in a thread of its own, is asked about the same minute, while
no answer of the champion is due; whatever it does, the champion does not wait for it.

Every candle gets one signal of the champion, or one notice that says why not.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

from quantgod.contracts import Floats
from quantgod.contracts.minute_rows import MinuteRows, as_frame
from quantgod.contracts.model_notices import Level, ModelNotice, Report, SignalCode
from quantgod.contracts.prediction import Prediction
from quantgod.contracts.row_sink import RowSink
from quantgod.evaluation.drift import Reference
from quantgod.live.engine.journal_rows import bar_row, signal_row
from quantgod.live.engine.lane import Lane
from quantgod.live.engine.window import Window
from quantgod.market.book_bars import ClosedMinute

WAITING: Final = 2
"""Candles a symbol that may wait: those of one minute, while those of the last are answered."""

END_SECONDS: Final = 2.0
"""How long the end of a run waits for answers that are still to come."""

LATENCIES: Final = 1_000

Role = Literal["Production", "Challenger"]


class Model(Protocol):
    """A version that can be asked; `LoadedModel` is one."""

    @property
    def name(self) -> str:
        """The registered model's."""

    @property
    def version(self) -> int:
        """Its number."""

    @property
    def window(self) -> int:
        """MinuteRows that one question needs."""

    @property
    def reference(self) -> Reference | None:
        """What it was made on, if it brought that."""

    def predict(self, rows: Any) -> Prediction:
        """Judge the newest minute; called in a worker thread."""


class Models(Protocol):
    """Who answers a symbol's next candle; `Deployment` says it."""

    def champion(self) -> Model:
        """The version that answers; called once for each candle."""

    def challenger(self) -> Model | None:
        """The version that answers in shadow, if any."""


OnRow = Callable[[str, int, Floats, Prediction | None, Model], None]
"""Told of every row, each symbol's in order: symbol, epoch minute, features (9), what the champion
said of it (`None` while its window is not full, or where it gave no answer), and which that is."""


class Question(NamedTuple):
    """A closed minute, who is asked about it, and who after that."""

    symbol: str
    minute: int
    features: Floats
    received: float
    role: Role
    model: Model
    rows: MinuteRows
    shadow: Question | None


@dataclass
class AnswerState:
    """What a status view says of a symbol.

    Attributes:
        missing: minutes until the window is full.
        last: the last minute that closed.
        said: the champion's last answer.
        version: whose it was.
        latency_ms: from the arrival of what closed the minute to the journaled signal.
    """

    missing: int
    last: ClosedMinute | None = None
    said: Prediction | None = None
    version: int | None = None
    latency_ms: float | None = None


class Engine:
    """Windows and answers of all symbols.

    Args:
        windows: one each symbol, filled from history where there is any.
        models: who answers each symbol.
        journal: where bars and signals go.
        report: told of what goes wrong.
        on_row: told of every row; it must be quick.
        max_candles: `done` is set when every symbol has had so many, or one of them more.
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
    ) -> None:
        self.done = asyncio.Event()
        self.latencies_ms: deque[float] = deque(maxlen=LATENCIES)
        self._length = {name: models[name].champion().window for name in windows}
        self.symbols = {
            name: AnswerState(one.missing(self._length[name])) for name, one in windows.items()
        }
        self._windows = windows
        self._models = models
        self._journal = journal
        self._report = report
        self._on_row = on_row
        self._max_candles = max_candles
        self._candles = dict.fromkeys(windows, 0)
        self._unanswered = 0
        self._given_up: deque[Question] = deque(maxlen=LATENCIES)
        limit = WAITING * len(windows)
        self._champions = Lane("champion", limit, self._answer, self._give_up)
        self._shadows = Lane("challenger", limit, self._answer_in_shadow, self._give_up)

    def closed(self, symbol: str, closed: ClosedMinute, received: float) -> None:
        """Take a minute that closed; called in the event loop, and quick.

        Args:
            symbol: whose.
            closed: the minute, with its row or without.
            received: `time.monotonic()` when the message that closed it arrived.
        """
        minute, features = closed.bar.minute, closed.bar.features
        if not self._windows[symbol].close(minute, features):
            self._tell("warning", "old_minute", symbol, f"minute {minute} has closed already")
            return
        self._journal.append("BARS", bar_row(symbol, closed))
        state = self.symbols[symbol]
        state.last = closed
        state.missing = self._windows[symbol].missing(self._length[symbol])
        if features is not None:
            self._candles[symbol] += 1
            self._ask(symbol, minute, features, received)
            self._end_if_all_are_answered()

    async def run(self) -> None:
        """Answer until cancelled; what waits then is still answered, for a moment."""
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
        """Let the candle wait for its turn, if the champion's window is full."""
        window, models = self._windows[symbol], self._models[symbol]
        champion, challenger = models.champion(), models.challenger()
        self._length[symbol] = champion.window
        self.symbols[symbol].missing = window.missing(champion.window)
        if window.missing(champion.window):
            self._tell_row(symbol, minute, features, None, champion)
            return
        candle = symbol, minute, features, received
        shadow = None
        if challenger is not None and not window.missing(challenger.window):
            rows = window.newest(challenger.window)
            shadow = Question(*candle, "Challenger", challenger, rows, None)
        rows = window.newest(champion.window)
        self._unanswered += 1
        self._champions.put(Question(*candle, "Production", champion, rows, shadow))

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
        """The champion has answered, or failed; the challenger's turn."""
        self._unanswered -= 1
        for one in sorted([*self._given_up, asked], key=lambda question: question.minute):
            answer = said if one is asked else None
            self._tell_row(one.symbol, one.minute, one.features, answer, one.model)
        self._given_up.clear()
        if asked.shadow is not None:
            self._shadows.put(asked.shadow)
        self._end_if_all_are_answered()

    async def _predict(self, lane: Lane[Question], asked: Question) -> Prediction | None:
        """Ask in the lane's thread and journal the answer; None and a notice if there is none."""
        try:
            said = await lane.compute(functools.partial(_judge, asked))
        except Exception as error:
            # A version may raise anything; the next candle is a new chance.
            text = f"minute {asked.minute}, version {asked.model.version} as {asked.role}"
            self._tell("error", "prediction_failed", asked.symbol, f"{text}: {error!r}")
            return None
        self._keep(asked, said)
        return said

    def _keep(self, asked: Question, said: Prediction) -> None:
        if asked.role == "Production":
            state = self.symbols[asked.symbol]
            state.said, state.version = said, asked.model.version
        latency_ms = (time.monotonic() - asked.received) * 1e3
        row = signal_row(asked.symbol, asked.role, asked.model, said, latency_ms)
        promise = self._journal.append_now("SIGNALS", row)
        # Not awaited: on a full disk it may never be done, and signals go on.
        loop = asyncio.get_running_loop()
        promise.add_done_callback(functools.partial(_in_loop, loop, self._kept, asked))

    def _kept(self, asked: Question, arrived: float, error: BaseException | None) -> None:
        """The journal has the signal, since `arrived`, or has refused it."""
        if error is not None:
            text = f"minute {asked.minute}: the signal as {asked.role} is not journaled: {error}"
            self._tell("error", "not_journaled", asked.symbol, text)
        elif asked.role == "Production":
            latency_ms = (arrived - asked.received) * 1e3
            self.latencies_ms.append(latency_ms)
            self.symbols[asked.symbol].latency_ms = latency_ms

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
            # What watches the rows must not keep signals from being given.
            self._tell("error", "row_hook_failed", symbol, f"minute {minute}: {error!r}")

    def _end_if_all_are_answered(self) -> None:
        wanted, counts = self._max_candles, self._candles.values()
        if wanted is None or self._unanswered:
            return
        if min(counts) >= wanted or max(counts) > wanted:
            self.done.set()

    def _tell(self, level: Level, code: SignalCode, symbol: str, text: str) -> None:
        self._report(ModelNotice(level, "signal", code, symbol, text))


def _judge(asked: Question) -> Prediction:
    said = asked.model.predict(as_frame(asked.rows))
    if said.minute != asked.minute:
        raise ValueError(f"minute {asked.minute} was asked about, it judged {said.minute}")
    return said


def _in_loop(
    loop: asyncio.AbstractEventLoop,
    kept: Callable[[Question, float, BaseException | None], None],
    asked: Question,
    promise: Future[None],
) -> None:
    """Called in the journal's thread."""
    arrived, error = time.monotonic(), promise.exception()
    with suppress(RuntimeError):  # the loop was closed: nobody listens any more
        loop.call_soon_threadsafe(kept, asked, arrived, error)
