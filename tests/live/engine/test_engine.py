"""From closed minutes to journaled signals: each candle once, and nothing holds up the next."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantgod.contracts import SECOND_FIGURES
from quantgod.contracts.model_notices import ModelNotice
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.window import Window
from quantgod.live.journal import BARS, EVENTS, SIGNALS, Journal, read_table
from quantgod.live.journal.model_events import journaled
from quantgod.settings import load_settings
from tests.live.engine.answering import (
    Deployed,
    Version,
    codes,
    minute_of,
    minute_without,
    now,
    until,
)

SETTINGS = load_settings(Path("conf/demo.yaml"))
TABLES = {"BARS": BARS, "SIGNALS": SIGNALS, "EVENTS": EVENTS}
Step = Callable[[Engine], Coroutine[Any, Any, None]]


class Session:
    """One engine over a real journal; `run` lets a scenario play and then ends the engine."""

    def __init__(self, folder: Path, models: Deployed, *symbols: str, **options: Any) -> None:
        self.folder, self.models, self.options = folder, models, options
        self.symbols = symbols or ("X",)
        self.notices: list[ModelNotice] = []

    def run(self, scenario: Step) -> Engine:
        with Journal(self.folder, TABLES, SETTINGS.live.journaling) as journal:
            return asyncio.run(self._run(scenario, journal))

    async def _run(self, scenario: Step, journal: Journal) -> Engine:
        windows = {symbol: Window(5, kept=50) for symbol in self.symbols}
        report = journaled(journal, self.notices.append)
        engine = Engine(
            windows, dict.fromkeys(windows, self.models), journal, report, **self.options
        )
        running = asyncio.ensure_future(engine.run())
        await asyncio.sleep(0)
        await scenario(engine)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return engine

    def rows(self, table: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = read_table(self.folder, table).to_pylist()
        return rows

    def signals(self, role: str = "Production") -> list[tuple[int, int]]:
        """Minute and version of each signal, in the order of the journal."""
        kept = self.rows("SIGNALS")
        return [(row["minute"], row["version"]) for row in kept if row["role"] == role]


def fail_on(*minutes: int) -> Callable[[int], None]:
    def spoil(minute: int) -> None:
        if minute in minutes:
            raise RuntimeError("out of nowhere")

    return spoil


def test_bars_and_signals_are_journaled_and_a_minute_without_a_row_gets_no_signal(
    tmp_path: Path,
) -> None:
    model = Version(7)
    session = Session(tmp_path, Deployed(model))

    async def play(engine: Engine) -> None:
        assert engine.symbols["X"].missing == 2
        for minute in (minute_of(1), minute_of(2), minute_without(3), minute_of(4)):
            engine.closed("X", minute, now())
            await until(lambda: not engine._unanswered)
        await until(lambda: len(engine.latencies_ms) == 2)

    engine = session.run(play)
    bars = session.rows("BARS")
    assert [(bar["minute"], bar["reason"]) for bar in bars] == [
        (1, ""),
        (2, ""),
        (3, "gap"),
        (4, ""),
    ]
    assert bars[2]["close"] is None
    assert bars[2]["book"] is None
    assert bars[0]["log_volume"] == minute_of(1).bar.features[8]  # type: ignore[index]
    figures = [[bar[name] for name in SECOND_FIGURES] for bar in bars]
    assert figures[0] == minute_of(1).bar.seconds.tolist()  # type: ignore[union-attr]
    assert figures[2] == [None] * 12
    assert bars[0]["book"][:2] == [100.0, 1.0]
    assert bars[0]["book"][400:402] == [101.0, 2.0]
    assert np.isnan(bars[0]["book"][2])
    assert bars[0]["book"][3] == 0.0
    assert session.signals() == [(2, 7), (4, 7)]
    signal = session.rows("SIGNALS")[0]
    assert [signal[f"prob_{name}"] for name in ("sell", "neutral", "buy")] == [0.1, 0.3, 0.6]
    assert (signal["class"], signal["signal"], signal["symbol"]) == (2, "BUY", "X")
    assert 0 < signal["latency_ms"] <= engine.latencies_ms[0]
    assert threading.get_ident() not in model.threads
    assert len(model.threads) == 1


def test_a_break_that_ends_the_run_empties_the_window_and_the_state_says_so(
    tmp_path: Path,
) -> None:
    session = Session(tmp_path, Deployed(Version(1)))

    async def play(engine: Engine) -> None:
        missing = []
        minutes = [minute_of(1), minute_of(2), *map(minute_without, range(3, 9))]
        for minute in [*minutes, minute_of(9), minute_of(10)]:
            engine.closed("X", minute, now())
            missing.append(engine.symbols["X"].missing)
            await until(lambda: not engine._unanswered)
        assert missing == [1, 0, 0, 0, 0, 0, 0, 2, 1, 0]

    session.run(play)
    assert session.signals() == [(2, 1), (10, 1)]


def test_who_hears_of_a_row_finds_its_minute_in_the_state(tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    engines: list[Engine] = []

    def look(symbol: str, minute: int, *_: object) -> None:
        state = engines[0].symbols[symbol]
        assert state.last is not None
        seen.append((minute, state.last.bar.minute, state.missing))

    async def play(engine: Engine) -> None:
        engines.append(engine)
        for minute in range(1, 5):
            engine.closed("X", minute_of(minute), now())
            await until(lambda: not engine._unanswered)

    Session(tmp_path, Deployed(Version(1, window=3)), on_row=look).run(play)
    assert seen == [(1, 1, 2), (2, 2, 1), (3, 3, 0), (4, 4, 0)]


def test_a_candle_is_answered_by_the_version_that_stood_at_its_close(tmp_path: Path) -> None:
    """Ten candles in line while versions change under them."""
    models = Deployed(Version(0, spoil=lambda minute: time.sleep(0.01)))
    session = Session(tmp_path, models)

    async def play(engine: Engine) -> None:
        engine.closed("X", minute_of(0), now())
        for minute in range(1, 11):
            models.now = Version(minute, spoil=lambda minute: time.sleep(0.01))
            engine.closed("X", minute_of(minute), now())
            await until(lambda: engine._unanswered < 2)

    session.run(play)
    assert session.signals() == [(minute, minute) for minute in range(1, 11)]
    assert models.times == 12  # once at the start, once a candle


def test_where_answers_are_slower_than_minutes_the_oldest_that_waits_is_refused_by_name(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    told: list[tuple[int, bool]] = []
    session = Session(
        tmp_path,
        Deployed(Version(1, spoil=lambda minute: gate.wait(20) and None)),
        on_row=lambda symbol, minute, row, said, model: told.append((minute, said is not None)),
    )

    async def play(engine: Engine) -> None:
        engine.closed("X", minute_of(0), now())
        engine.closed("X", minute_of(1), now())
        await asyncio.sleep(0.05)  # the first candle is with the model
        for minute in range(2, 7):
            engine.closed("X", minute_of(minute), now())
        gate.set()
        await until(lambda: not engine._unanswered)

    session.run(play)
    assert [minute for minute, _ in session.signals()] == [1, 5, 6]
    assert codes(session.notices) == ["late"] * 3
    assert "minute 2: version 1 answers more slowly" in session.notices[0].text
    kept = [(row["kind"], row["code"], row["symbol"]) for row in session.rows("EVENTS")]
    assert kept == [("signal", "late", "X")] * 3
    answered = {0: False, 1: True, 2: False, 3: False, 4: False, 5: True, 6: True}
    assert told == list(answered.items())  # in order, although the refusals came first


def test_two_candles_of_each_symbol_may_wait(tmp_path: Path) -> None:
    gate = threading.Event()
    slow = Version(1, spoil=lambda minute: gate.wait(20) and None)
    session = Session(tmp_path, Deployed(slow), "X", "Y", "Z")

    async def play(engine: Engine) -> None:
        for minute in range(7):
            for symbol in session.symbols:
                engine.closed(symbol, minute_of(minute), now())
            await asyncio.sleep(0.05 if minute == 1 else 0)  # the first candle is with the model
        gate.set()
        await until(lambda: not engine._unanswered)

    session.run(play)
    kept = [(row["minute"], row["symbol"]) for row in session.rows("SIGNALS")]
    assert kept == [(1, "X")] + [(minute, symbol) for minute in (5, 6) for symbol in "XYZ"]
    assert codes(session.notices) == ["late"] * (2 + 3 * 3)


def test_a_version_that_fails_costs_its_candle_and_no_other(tmp_path: Path) -> None:
    def other_minute(minute: int) -> None:
        if minute == 4:
            raise ValueError("that was not asked")

    told: list[tuple[int, bool]] = []
    session = Session(
        tmp_path,
        Deployed(Version(3, spoil=fail_on(2)), Version(4, spoil=other_minute)),
        on_row=lambda symbol, minute, row, said, model: told.append((minute, said is not None)),
    )

    async def play(engine: Engine) -> None:
        for minute in range(6):
            engine.closed("X", minute_of(minute), now())
            await until(lambda: not engine._unanswered)
            await engine._shadows.idle()

    session.run(play)
    assert session.signals() == [(1, 3), (3, 3), (4, 3), (5, 3)]
    assert session.signals("Challenger") == [(1, 4), (2, 4), (3, 4), (5, 4)]
    assert codes(session.notices) == ["prediction_failed"] * 2
    assert "minute 2, version 3 as Production: RuntimeError('out of" in session.notices[0].text
    assert told == [(minute, minute not in (0, 2)) for minute in range(6)]


def test_a_challenger_that_hangs_never_delays_the_champion(tmp_path: Path) -> None:
    gate = threading.Event()
    champion = Version(1)
    session = Session(
        tmp_path, Deployed(champion, Version(2, spoil=lambda minute: gate.wait(20) and None))
    )

    async def play(engine: Engine) -> None:
        for minute in range(8):
            engine.closed("X", minute_of(minute), now())
            await until(lambda: not engine._unanswered)
        await until(lambda: len(engine.latencies_ms) == 7)
        gate.set()

    session.run(play)
    assert [minute for minute, _ in session.signals()] == list(range(1, 8))
    assert [minute for minute, _ in session.signals("Challenger")] == [1, 6, 7]
    assert codes(session.notices) == ["late"] * 4
    assert "no signal as Challenger" in session.notices[0].text


def test_a_challenger_is_not_asked_while_an_answer_of_the_champion_is_due(tmp_path: Path) -> None:
    """All symbols close their minute at the same moment."""
    asked: list[str] = []

    def champion(minute: int) -> None:
        time.sleep(0.01)
        asked.append("champion")

    models = Deployed(
        Version(1, spoil=champion), Version(2, spoil=lambda _: asked.append("shadow"))
    )
    session = Session(tmp_path, models, "X", "Y", "Z")

    async def play(engine: Engine) -> None:
        for minute in range(2):
            for symbol in session.symbols:
                engine.closed(symbol, minute_of(minute), now())
        await until(lambda: len(asked) == 6)

    session.run(play)
    assert asked == ["champion"] * 3 + ["shadow"] * 3


def test_a_challenger_with_a_longer_window_waits_until_it_is_full(tmp_path: Path) -> None:
    session = Session(tmp_path, Deployed(Version(1, window=2), Version(2, window=4)))

    async def play(engine: Engine) -> None:
        for minute in range(6):
            engine.closed("X", minute_of(minute), now())
            await until(lambda: not engine._unanswered)
            await engine._shadows.idle()

    session.run(play)
    assert session.signals() == [(minute, 1) for minute in range(1, 6)]
    assert session.signals("Challenger") == [(minute, 2) for minute in range(3, 6)]


def test_a_minute_that_closes_twice_is_answered_once(tmp_path: Path) -> None:
    session = Session(tmp_path, Deployed(Version(1)))

    async def play(engine: Engine) -> None:
        for minute in (0, 1, 1, 0, 2):
            engine.closed("X", minute_of(minute), now())
            await until(lambda: not engine._unanswered)

    session.run(play)
    assert session.signals() == [(1, 1), (2, 1)]
    assert [bar["minute"] for bar in session.rows("BARS")] == [0, 1, 2]
    assert codes(session.notices) == ["old_minute"] * 2


def test_an_answer_for_another_minute_is_no_answer(tmp_path: Path) -> None:
    """A model that judges the minute before, or after, would be journaled as this one's."""
    model = Version(1)
    session = Session(tmp_path, Deployed(model))

    async def play(engine: Engine) -> None:
        for minute, off in enumerate((0, 0, -1, 1, 0), start=1):
            model.off = off
            engine.closed("X", minute_of(minute), now())
            await until(lambda: not engine._unanswered)

    session.run(play)
    assert session.signals() == [(2, 1), (5, 1)]
    assert codes(session.notices) == ["prediction_failed"] * 2
    assert "minute 3 was asked about, it judged 2" in session.notices[0].text


def test_a_hook_that_fails_keeps_no_signal_from_being_given(tmp_path: Path) -> None:
    def hook(*_: object) -> None:
        raise KeyError("drift")

    session = Session(tmp_path, Deployed(Version(1)), on_row=hook)

    async def play(engine: Engine) -> None:
        for minute in range(3):
            engine.closed("X", minute_of(minute), now())
            await until(lambda: not engine._unanswered)

    session.run(play)
    assert session.signals() == [(1, 1), (2, 1)]
    assert codes(session.notices) == ["row_hook_failed"] * 3


@pytest.mark.parametrize(
    ("symbols", "before", "last"),
    [
        (("X",), [("X", 0), ("X", 1)], ("X", 2)),
        (("X", "Y"), [("X", 0), ("Y", 0), ("X", 1), ("Y", 1), ("X", 2)], ("Y", 2)),
        (("X", "Y"), [("X", 0), ("X", 1), ("X", 2)], ("X", 3)),  # Y is dead
    ],
)
def test_it_ends_after_as_many_candles_as_were_asked_for_once_they_are_answered(
    tmp_path: Path, symbols: tuple[str, ...], before: list[tuple[str, int]], last: tuple[str, int]
) -> None:
    slow = Version(1, spoil=lambda minute: time.sleep(0.02))
    session = Session(tmp_path, Deployed(slow), *symbols, max_candles=3)

    async def play(engine: Engine) -> None:
        for symbol, minute in before:
            engine.closed(symbol, minute_of(minute), now())
            engine.closed(symbol, minute_of(minute), now())
            await until(lambda: not engine._unanswered)
        engine.closed("X", minute_of(last[1]), now())
        assert not engine.done.is_set()
        if last[0] == "Y":
            engine.closed("Y", minute_of(last[1]), now())
        await asyncio.wait_for(engine.done.wait(), 20)
        assert not engine._unanswered

    session.run(play)


def test_what_waits_when_the_session_ends_is_still_answered(tmp_path: Path) -> None:
    session = Session(
        tmp_path, Deployed(Version(1, spoil=lambda minute: time.sleep(0.05)), Version(2))
    )

    async def play(engine: Engine) -> None:
        for minute in range(3):
            engine.closed("X", minute_of(minute), now())
        await asyncio.sleep(0)

    session.run(play)
    assert session.signals() == [(1, 1), (2, 1)]
    assert session.signals("Challenger") == [(1, 2), (2, 2)]


@pytest.mark.long
def test_a_version_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    gate = threading.Event()
    session = Session(tmp_path, Deployed(Version(1, spoil=lambda minute: gate.wait(20) and None)))
    begun = time.monotonic()

    async def play(engine: Engine) -> None:
        engine.closed("X", minute_of(0), now())
        engine.closed("X", minute_of(1), now())
        await asyncio.sleep(0.02)

    try:
        session.run(play)
        assert time.monotonic() - begun < 5
    finally:
        gate.set()
    assert session.signals() == []


class FullDisk:
    """A journal whose disk is full: what is to be written at once is never done, or refused."""

    def __init__(self) -> None:
        self.promises: list[Future[None]] = []
        self.rows: list[Mapping[str, Any]] = []

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Keep nothing."""

    def append_now(self, table: str, row: Mapping[str, Any]) -> Future[None]:
        self.promises.append(Future())
        self.rows.append(row)
        return self.promises[-1]


def test_a_full_disk_holds_up_no_answer_and_a_lost_signal_is_told() -> None:
    disk, notices = FullDisk(), list[ModelNotice]()

    async def play() -> None:
        engine = Engine({"X": Window(5, kept=9)}, {"X": Deployed(Version(1))}, disk, notices.append)
        running = asyncio.ensure_future(engine.run())
        for minute in range(4):
            engine.closed("X", minute_of(minute), now())
            await until(lambda: not engine._unanswered)
        assert len(disk.promises) == 3
        assert not engine.latencies_ms
        disk.promises[0].set_exception(OSError("no space left"))
        disk.promises[1].set_result(None)
        await until(lambda: len(engine.latencies_ms) == 1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(play())
    assert codes(notices) == ["not_journaled"]
    assert "minute 1: the signal as Production is not journaled: no space left" in notices[0].text


def test_latencies_are_milliseconds_from_the_closing_message_to_the_answer_and_to_the_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock that the test sets: answered a quarter of a second late, kept two seconds late."""
    disk, clock = FullDisk(), SimpleNamespace(monotonic=lambda: 1_000.25)
    models = Deployed(Version(1), Version(2))

    async def play() -> None:
        engine = Engine({"X": Window(5, kept=9)}, {"X": models}, disk, print)
        running = asyncio.ensure_future(engine.run())
        for minute in range(2):
            engine.closed("X", minute_of(minute), 1_000.0)
        await until(lambda: len(disk.promises) == 2)
        clock.monotonic = lambda: 1_002.0
        for promise in disk.promises:
            promise.set_result(None)
        await until(lambda: len(engine.latencies_ms) > 0)
        await asyncio.sleep(0)
        assert [*engine.latencies_ms] == [2_000.0], "a challenger's is nobody's wait"
        assert engine.symbols["X"].latency_ms == 2_000.0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    monkeypatch.setattr("quantgod.live.engine.engine.time", clock)
    asyncio.run(play())
    assert [(row["role"], row["latency_ms"]) for row in disk.rows] == [
        ("Production", 250.0), ("Challenger", 250.0)
    ]  # fmt: skip
