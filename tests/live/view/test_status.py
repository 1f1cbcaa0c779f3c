"""What people read of a running session, in a line and on a terminal."""

from __future__ import annotations

import io
import json

import numpy as np
from rich.console import Console

from quantgod.live.engine.engine import AnswerState
from quantgod.live.feed.state import BookState
from quantgod.live.listener import LiveListener
from quantgod.live.view.logs import logging_to
from quantgod.live.view.overview import (
    book_in_words,
    history_in_words,
    minute_in_words,
    minute_values,
)
from quantgod.live.view.status import Status, SymbolStatus
from quantgod.live.view.terminal import view
from quantgod.market.book_bars import ClosedMinute, Effect
from quantgod.market.minute_bars import MinuteBar
from quantgod.market.sync_events import OutOfSync
from tests.live.engine.answering import said_of

SAID = said_of(7)
DAYS = 86_400_000.0


def closed(minute: int, reason: str = "") -> ClosedMinute:
    return ClosedMinute(MinuteBar(minute, reason, None if reason else np.zeros(9), 100.5), [], [])


class Deaf:
    """An engine and a journal that take everything."""

    def closed(self, *_: object) -> None: ...

    def append(self, *_: object) -> None: ...

    append_now = append


def test_the_lag_is_shown_as_people_say_it_in_both_views() -> None:
    one = SymbolStatus("BTCUSDT", "synced for 4 s", is_synced=True, lag_ms=1_000 * DAYS)
    status = Status("quantgod live on simulated", (one,), 4.0, "82 rows")
    out = io.StringIO()
    Console(file=out, width=120).print(view(status))
    assert "1000.0 days" in out.getvalue()
    assert "synced for 4 s, lag 1000.0 days; bar" in status.as_line()


def test_a_history_that_ends_too_early_says_when_and_what_that_means() -> None:
    assert history_in_words(29_000_000, 29_000_200, 5, 30) == (
        "history ends 02-19 21:20, 3.3 h before the first message; more than 5 minutes are not "
        "bridged, so the window fills anew: no signal for 30.0 min. A journal or --history that "
        "goes on until now spares that"
    )


def shown(one: SymbolStatus) -> tuple[str, str]:
    """A symbol in a line, and on a terminal."""
    status, out = Status("quantgod live on binance", (one,), 4.0, "82 rows"), io.StringIO()
    Console(file=out, width=250).print(view(status))
    return status.as_line(), out.getvalue()


def test_both_views_tell_what_champion_and_challenger_wait_for() -> None:
    parts = "BTCUSDT", "synced for 4 s", True, 87.0, "12:00 close 1"
    for text in shown(SymbolStatus(*parts, missing=524, warming=479, signal="BUY")):
        assert "524 minutes missing, 479 of them for the past of its 112 features" in text
        assert "BUY" not in text
    for text in shown(SymbolStatus(*parts, signal="BUY 0.60", shadow_missing=482)):
        assert "BUY 0.60; shadow: 482 minutes missing" in text
    for text in shown(SymbolStatus(*parts, signal="BUY 0.60")):
        assert "missing" not in text


def test_a_recording_shows_neither_bars_nor_signals() -> None:
    one = SymbolStatus("BTCUSDT", "synced for 4 s", True, 87.0, "", 0, "")
    status = Status("quantgod collect on binance", (one,), 4.0, "82 rows")
    out = io.StringIO()
    Console(file=out, width=120).print(view(status))
    assert "87 ms" in out.getvalue()
    assert "signal" not in out.getvalue()
    assert status.as_line().startswith("BTCUSDT synced for 4 s, lag 87 ms | loop lag")


def test_why_a_book_is_away_takes_a_word_and_no_more() -> None:
    book = BookState(syncs=2, problem="gap: pu 7 expected, got 9")
    assert book_in_words(book) == "out of sync for 0 s (gap), 1 resyncs"
    assert book_in_words(BookState()) == "out of sync for 0 s (waiting for the first)"


def test_an_answer_is_told_of_the_minute_that_it_judges_whatever_closed_since() -> None:
    state = AnswerState(missing=0, last=closed(8))
    assert minute_in_words("X", 7, state, SAID, 3) == "X 01-01 00:07: BUY 0.60 (version 3)"
    assert minute_in_words("X", 8, state, None, 3) == "X 01-01 00:08 close 100.5: no signal"
    values = minute_values("X", 7, state, SAID, 3)
    assert json.loads(json.dumps(values)) == {
        **{"symbol": "X", "minute": "1970-01-01T00:07:00+00:00", "missing": 0, "version": 3},
        **{"action": "BUY", "signal": "BUY", "decided_by": "", "abstention": ""},
        **{"prob_sell": 0.1, "prob_neutral": 0.3, "prob_buy": 0.6, "uncertainty": 0.5},
        "side": 1.0,
    }


def test_an_answer_that_is_not_the_likeliest_class_or_not_acted_on_says_why() -> None:
    """SELL at 0.35 beside NEUTRAL at 0.60 would be a riddle."""
    state, by = (
        AnswerState(missing=0),
        {"label": 0, "signal": "SELL", "decided_by": "weights 2:1:2"},
    )
    sells = said_of(7, **by, action="SELL", audited=(0.35, 0.6, 0.05), in_set=(True, False, False))
    told = "SELL 0.35 by weights 2:1:2 over NEUTRAL 0.60"
    assert minute_in_words("X", 7, state, sells, 3) == f"X 01-01 00:07: {told} (version 3)"
    both = (True, True, False)
    waits = sells._replace(in_set=both, action="NEUTRAL", abstention="several_classes")
    told = f"NEUTRAL: abstains from {told}, several classes"
    assert minute_in_words("X", 7, state, waits, 3) == f"X 01-01 00:07: {told} (version 3)"
    values = minute_values("X", 7, state, waits, 3)
    assert (values["action"], values["signal"], values["side"]) == ("NEUTRAL", "SELL", 0.0)


def test_minutes_without_a_row_get_a_line_that_says_why() -> None:
    out = io.StringIO()
    listener = LiveListener(Deaf(), Deaf())  # type: ignore[arg-type]
    with logging_to("text", out):
        listener.taken("X", Effect([], [closed(1), closed(2, "gap")]), 0.0)
        gap = [closed(minute, "silence") for minute in range(3, 63)]
        listener.taken("X", Effect([], gap), 0.0)
    first, second = out.getvalue().splitlines()
    assert first.endswith("no_row: X: 01-01 00:02 has no row: gap")
    assert second.endswith("X: 60 minutes from 01-01 00:03 to 01-01 01:02 have no row: silence")


def test_the_last_trouble_says_when_it_was() -> None:
    listener = LiveListener(Deaf(), Deaf())  # type: ignore[arg-type]
    with logging_to("text", io.StringIO()):
        listener.taken("X", Effect([OutOfSync("gap", "pu 7 expected, got 9")], []), 0.0)
    at, _, what = listener.last_trouble.partition(" ")
    assert len(at) == len("07:46:35")
    assert what.startswith("gap: X: the book is withdrawn")
