"""The words and figures of a session's parts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from quantgod.live.engine.engine import AnswerState
from quantgod.live.feed.state import BookState, ConnectionState, FeedState
from quantgod.live.journal import JournalState
from quantgod.live.journal.journal import TableState
from quantgod.live.view import overview
from quantgod.live.view.overview import (
    answer_metrics,
    book_in_words,
    journal_in_words,
    minute_in_words,
    minute_metrics,
    minute_values,
    symbol_status,
    trouble_of,
    warming_in_words,
)
from quantgod.live.view.status import SymbolStatus
from tests.live.engine.answering import minute_of, minute_without, said_of

MINUTE = 28_401_120


def test_a_journal_tells_what_it_wrote_and_what_it_lost_unless_it_is_in_trouble() -> None:
    tables = {"BARS": TableState(5, 1, 0, 0), "RAW": TableState(7, 2, 0, 0)}
    assert journal_in_words(JournalState(tables, {})) == "12 rows"
    tables |= {"RAW": TableState(7, 2, 4, 3)}
    assert journal_in_words(JournalState(tables, {})) == "12 rows, 7 lost"
    troubles = {"RAW": "disk_full: no room", "BARS": "disk_failed"}
    told = "RAW: disk_full: no room; BARS: disk_failed"
    assert journal_in_words(JournalState(tables, troubles)) == told


def test_a_book_tells_since_when_it_stands_and_how_often_it_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overview, "time", SimpleNamespace(time=lambda: 1_000.0))
    stands = BookState(is_synced=True, since=970.0, syncs=3, problem="gap: 7: 8 expected")
    assert book_in_words(stands) == "synced for 30 s, 2 resyncs"
    assert book_in_words(BookState(is_synced=True, since=1_007.0, syncs=1)) == "synced for 0 s"
    away = BookState(since=990.0, syncs=1, problem="gap: 7: 8 expected")
    assert book_in_words(away) == "out of sync for 10 s (gap)"


def test_a_silent_stream_is_the_trouble_that_comes_first() -> None:
    feed = FeedState(ConnectionState("wss://host"), {})
    assert trouble_of(feed, "12:00 gap") == "12:00 gap"
    feed.connection.is_silent = True
    told = "silent_stream: wss://host was opened and says nothing"
    assert trouble_of(feed, "12:00 gap") == told


def test_a_symbols_status_is_that_of_its_parts() -> None:
    state = AnswerState(missing=3)
    assert minute_in_words("X", MINUTE, state, None, 1) == "X 01-01 00:00: 3 minutes missing"
    book = BookState(is_synced=True, lag_ms=7.0)
    empty = symbol_status("X", book, state, "")
    assert empty == SymbolStatus("X", book_in_words(book), True, 7.0, "none yet", 3, "none yet", "")
    state.last, state.said, state.version = minute_of(MINUTE), said_of(MINUTE), 4
    told = symbol_status("X", book, state, "drift: body")
    assert (told.last_bar, told.signal) == ("01-01 00:00 close 100.5", "BUY 0.60 (version 4)")
    assert told.drift == "drift: body"
    state.said = said_of(MINUTE, confidence=0.478)
    trusted = "BUY 0.60, base confidence 0.48 (version 4)"
    assert symbol_status("X", book, state, "").signal == trusted
    assert minute_in_words("X", MINUTE, state, state.said, 4).endswith(f": {trusted}")
    state.latency_ms, state.last = 12.4, minute_without(MINUTE + 1, "gap")
    told = symbol_status("X", book, state, "")
    assert (told.last_bar, told.signal) == (
        "01-01 00:01 no row: gap",
        "BUY 0.60, base confidence 0.48 (version 4, 12 ms)",
    )


def test_what_a_version_of_112_features_waits_for_is_told() -> None:
    state = AnswerState(missing=524, warming=479, shadow_missing=7)
    awaited = "524 minutes missing, 479 of them for the past of its 112 features"
    assert minute_in_words("X", MINUTE, state, None, 1) == f"X 01-01 00:00: {awaited}"
    told = symbol_status("X", BookState(), state, "")
    assert (told.missing, told.warming, told.shadow_missing) == (524, 479, 7)
    text = warming_in_words(524, 479, 3)
    assert text.startswith("version 3 takes the 112 features, which look back at 480 minutes: 524")
    assert f"{awaited}, so no signal for 8.7 h. A journal or --history with levels" in text


def test_a_minute_is_tracked_by_what_is_known_of_it() -> None:
    state, book = AnswerState(missing=3), BookState(syncs=3, gaps=1)
    known = {"resyncs": 2.0, "gaps": 1.0, "missing_minutes": 3.0, "blockless_minutes": 0}
    assert minute_metrics(MINUTE, book, state) == known
    book.lag_ms, state.last = -7.0, minute_of(MINUTE)
    assert minute_metrics(MINUTE, book, state) == known | {"lag_ms": -7.0, "close": 100.5}
    assert minute_metrics(MINUTE - 1, book, state) == known | {"lag_ms": -7.0}


@pytest.mark.parametrize(("action", "side"), [("SELL", -1.0), ("NEUTRAL", 0.0), ("BUY", 1.0)])
def test_an_action_is_tracked_as_a_side(action: str, side: float) -> None:
    chances = {"prob_sell": 0.1, "prob_neutral": 0.3, "prob_buy": 0.6}
    found = answer_metrics(said_of(MINUTE, action=action))
    assert found == {**chances, "uncertainty": 0.5, "side": side}
    trusted = answer_metrics(said_of(MINUTE, action=action, confidence=0.478))
    assert trusted == found | {"base_confidence": 0.478}


def test_times_are_those_of_the_minute() -> None:
    values = minute_values("X", MINUTE + 61, AnswerState(missing=0), None, 3)
    assert values == {"symbol": "X", "minute": "2024-01-01T01:01:00+00:00", "missing": 0}
