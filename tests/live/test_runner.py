"""What a session says and tracks of each minute, and which past it reads."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantgod.contracts import ALL_FEATURES, BookShape
from quantgod.contracts.minute_rows import KEPT_MINUTES
from quantgod.live import runner
from quantgod.live.engine.engine import AnswerState
from quantgod.live.engine.history import History
from quantgod.live.engine.moving_weights import SymbolWeights
from quantgod.live.feed.state import BookState, ConnectionState, FeedState
from quantgod.live.runner import LiveSession, _oldest_needed, _span_of_sources
from quantgod.live.session import STOPPING, stopped_by_signals
from quantgod.live.view.logs import logging_to
from quantgod.market.book_bars import BookBars
from quantgod.settings import load_settings
from tests.live.engine.answering import Version, minute_of, said_of
from tests.live.engine.test_sources import FIRST, stored, taken
from tests.test_settings import FULL

MINUTE = 28_401_120
SETTINGS = load_settings(FULL, {"live.exchange": "binance"})
SIMULATED = load_settings(FULL, {"live.exchange": "simulated"})


class Deployed:
    name = "models"

    def __init__(self, **changes: Any) -> None:
        self.changes = changes

    def champion(self) -> Version:
        return Version(3, window=60, **self.changes)

    def numbers(self) -> tuple[int, None]:
        return 3, None

    def describe(self) -> str:
        return "models 3"


def session(settings: Any = SETTINGS, **parts: Any) -> Any:
    """A session of which only what a test needs is there."""
    made: Any = object.__new__(LiveSession)
    made._settings, made._bridge = settings, 5
    made._lag = SimpleNamespace(quantile=lambda share: share)
    made._deployments = {"X": Deployed()}
    book = BookState(is_synced=True, lag_ms=7.0, syncs=1)
    feed = FeedState(ConnectionState("wss://host"), {"X": book})
    made._feed = SimpleNamespace(state=feed)
    state = AnswerState(0, minute_of(MINUTE))
    made._engine = SimpleNamespace(symbols={"X": state})
    made._listener = SimpleNamespace(last_trouble="12:00 gap")
    journal = SimpleNamespace(tables={}, troubles={})
    made._journal = SimpleNamespace(state=lambda: journal)
    vars(made).update(parts)
    return made


def test_of_a_real_venue_as_much_past_is_read_as_window_and_drift_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "time", SimpleNamespace(time=lambda: 60.0 * MINUTE + 59.9))
    drift = SETTINGS.live.drift
    needed = max(KEPT_MINUTES, drift.past_minutes + drift.window_minutes)
    assert _oldest_needed(SETTINGS) == MINUTE - needed
    assert isinstance(_oldest_needed(SETTINGS), int)
    for past in (KEPT_MINUTES - drift.window_minutes + 7, KEPT_MINUTES):
        changed = {"live.exchange": "binance", "live.drift.past_minutes": past}
        expected = MINUTE - past - drift.window_minutes
        assert _oldest_needed(load_settings(FULL, changed)) == expected
    assert _oldest_needed(SIMULATED) is None


@pytest.mark.parametrize(("after", "is_told"), [(1, False), (5, False), (6, False), (7, True)])
def test_a_past_that_ends_more_than_the_bridge_before_the_first_minute_is_told(
    after: int, is_told: bool
) -> None:
    past = History(np.array([MINUTE - 1, MINUTE]), np.zeros((2, 9)), np.array([1.0, 2.0]))
    out = io.StringIO()
    with logging_to("text", out):
        found = session()._told("X", past)(MINUTE + after)
        assert session()._told("X", past)(MINUTE - 1) is None
    assert found == (MINUTE, 2.0)
    said = out.getvalue()
    assert bool(said) is is_told
    if is_told:
        assert "history_ended: X: history ends 01-01 00:00, 7.0 min before" in said
        assert "more than 5 minutes are not bridged" in said
        assert "no signal for 60.0 min" in said


def test_a_version_of_112_features_is_told_to_wait_for_their_past_as_well() -> None:
    wide = {"X": Deployed(features=ALL_FEATURES)}
    past = History(np.array([MINUTE]), np.zeros((1, 9)), np.array([1.0]))
    out = io.StringIO()
    with logging_to("text", out):
        session(_deployments=wide)._told("X", past)(MINUTE + 9)
        of_members = AnswerState(0, cold={"far": 15})
        for state in (AnswerState(539, warming=479), AnswerState(20), AnswerState(0), of_members):
            engine = SimpleNamespace(symbols={"X": state})
            session(_deployments=wide, _engine=engine)._tell_warming()
    ended, awaited, members = out.getvalue().splitlines()
    assert "members_awaited: X: cold members: far 15 minutes" in members
    assert "so the window fills anew: no signal for 9.0 h" in ended
    assert "features_awaited: X: version 3 takes the 112 features" in awaited
    assert "539 minutes missing, 479 of them for the past" in awaited


def test_levels_are_read_for_as_much_past_as_a_window_of_any_length_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "time", SimpleNamespace(time=lambda: 60.0 * MINUTE + 59.9))
    assert _span_of_sources(SETTINGS) == (MINUTE - 10_080 - 480, MINUTE + 1_440)
    days = {"simulate.start": "2024-01-01", "simulate.days": 3, "live.exchange": "simulated"}
    played = FIRST + 2 * 1_440
    assert _span_of_sources(load_settings(FULL, days)) == (played - 10_560, played + 1_440)


def test_a_window_begins_with_all_that_a_store_knows(tmp_path: Path) -> None:
    days = {"simulate.start": "2024-01-02", "simulate.days": 1, "live.exchange": "simulated"}
    stored(tmp_path, range(490))
    known = taken(np.arange(490))
    past = History(known.minutes, known.features, known.close)
    journal = SimpleNamespace(folder=tmp_path / "live")
    made = session(load_settings(FULL, days), _journal=journal)
    window = made._window("BTCUSDT", past, tmp_path)
    assert (window.missing(490), window.missing(11, 121)) == (0, 0)
    assert made._window("BTCUSDT", past, None).missing(1, 121) == 480


def test_each_book_is_sampled_as_the_settings_of_snapshots_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, BookBars] = {}
    monkeypatch.setattr(runner, "Feed", lambda settings, books, listener: kept.update(books))
    asked: dict[str, Any] = {"live.exchange": "binance", "snapshots.levels": 7}
    asked |= {"live.symbols": ["BTCUSDT"], "live.history": None}
    deployed: Any = Deployed()
    deployed.challenger = lambda: None
    made = session(
        load_settings(FULL, asked),
        _journal=SimpleNamespace(folder=tmp_path),
        _deployments={"BTCUSDT": deployed},
        _weights={"BTCUSDT": SymbolWeights("BTCUSDT", None, 5)},
        _track=None,
        _report=None,
        _feed_settings=None,
    )
    asyncio.run(made._build())
    sampler: Any = kept["BTCUSDT"]._sampler
    assert sampler._shape == BookShape(snapshots=100, levels=7, interval_ms=100)


def test_each_row_is_logged_tracked_and_watched() -> None:
    tracked: list[tuple[dict[str, float], int]] = []
    watched: list[tuple[Any, ...]] = []
    watch = SimpleNamespace(on_row=lambda *given: watched.append(given))
    made = session(_track=lambda *given: tracked.append(given), _watch=watch)
    out, features = io.StringIO(), np.zeros(9)
    with logging_to("json", out):
        for said in (None, said_of(MINUTE)):
            made._on_row("X", MINUTE, features, said, Version(4))
    known = {"resyncs": 0, "gaps": 0, "missing_minutes": 0, "lag_ms": 7.0, "close": 100.5}
    known |= {"loop_lag_ms": 990.0, "blockless_minutes": 0}
    chances = {"prob_sell": 0.1, "prob_neutral": 0.3, "prob_buy": 0.6}
    answered = known | chances | {"uncertainty": 0.5, "side": 1.0}
    assert tracked == [
        ({f"X/{name}": value for name, value in kept.items()}, MINUTE) for kept in (known, answered)
    ]
    assert [given[:2] + given[3:4] for given in watched] == [
        ("X", MINUTE, None),
        ("X", MINUTE, said_of(MINUTE)),
    ]
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert (first["code"], first["text"]) == ("minute", "X 01-01 00:00 close 100.5: no signal")
    assert second["text"] == "X 01-01 00:00 close 100.5: BUY 0.60 (version 4)"
    assert second["version"] == 4


@pytest.mark.parametrize(("settings", "lag"), [(SETTINGS, 7.0), (SIMULATED, None)])
def test_the_status_tells_of_all_parts_and_a_simulated_clock_has_no_lag(
    settings: Any, lag: float | None
) -> None:
    watch = SimpleNamespace(words={"X": "drift: body"}, verdicts={"X": {"body": "drift"}})
    made = session(settings, _watch=watch)
    status = made.status()
    assert status.loop_lag_ms == 990.0
    assert (status.model, status.note, status.journal) == ("models 3", "12:00 gap", "0 rows")
    assert status.title == f"quantgod live on {settings.live.exchange}"
    (one,) = status.symbols
    assert (one.symbol, one.lag_ms, one.drift, one.is_synced) == ("X", lag, "drift: body", True)
    assert (one.model, one.version, one.shadow) == ("models", 3, None)
    assert (one.minute, one.close, one.verdicts) == (MINUTE, 100.5, {"body": "drift"})


def test_versions_are_told_with_their_symbols_where_there_are_several() -> None:
    made = session()
    assert made._in_words({"X": 3}) == "models 3"
    assert made._in_words({"X": None}) == "no version"
    made._deployments["Y"] = Deployed()
    assert made._in_words({"X": 3, "Y": 4}) == "models 3 (X), models 4 (Y)"
    assert made._in_words({"X": None, "Y": 4}) == "models 4 (Y)"
    assert made._champions() == {"X": 3, "Y": 3}


def test_signals_are_taken_during_the_block_and_by_nobody_afterwards() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        with stopped_by_signals(asyncio.Event()) as came:
            assert came == []
        assert [loop.remove_signal_handler(number) for number in STOPPING] == [False, False]

    asyncio.run(play())
