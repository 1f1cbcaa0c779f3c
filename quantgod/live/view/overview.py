"""Collect the status of a live session from its parts."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any

from quantgod.contracts import CLASSES, MS_PER_MINUTE
from quantgod.contracts.panel import Panel
from quantgod.contracts.prediction import Prediction
from quantgod.live.engine.engine import AnswerState
from quantgod.live.feed.state import BookState, FeedState
from quantgod.live.journal import JournalState
from quantgod.live.view.status import SymbolStatus, cold_in_words, in_time, missing_in_words
from quantgod.served.features import sets


def symbol_status(symbol: str, book: BookState, engine: AnswerState, drift: str) -> SymbolStatus:
    """Return one symbol's status."""
    bar = None if engine.last is None else engine.last.bar
    return SymbolStatus(
        symbol=symbol,
        book=book_in_words(book, engine.blockless),
        is_synced=book.is_synced,
        lag_ms=book.lag_ms,
        last_bar=_bar(engine),
        missing=engine.missing,
        signal=_signal(engine),
        drift=drift,
        warming=engine.warming,
        shadow_missing=engine.shadow_missing,
        blockless=engine.blockless,
        cold=engine.cold,
        votes={} if engine.panel is None else votes_in_words(engine.panel),
        minute=None if bar is None else bar.minute,
        close=None if bar is None or bar.features is None else bar.close,
    )


def book_in_words(book: BookState, blockless: int = 0) -> str:
    """Describe a book: valid since when, or why not, its resyncs, and minutes it was not whole."""
    since = f"{max(0.0, time.time() - book.since):.0f} s"
    again = f", {book.resyncs} resyncs" if book.resyncs else ""
    again += f", {blockless} minutes without whole snapshots" if blockless else ""
    if book.is_synced:
        return f"synced for {since}{again}"
    why = book.problem.partition(":")[0] or "waiting for the first"
    return f"out of sync for {since} ({why}){again}"


def journal_in_words(state: JournalState) -> str:
    """Describe the journal: written and waiting rows, and problems."""
    if state.troubles:
        return "; ".join(f"{table}: {what}" for table, what in state.troubles.items())
    written = sum(one.acknowledged for one in state.tables.values())
    lost = sum(one.dropped + one.refused for one in state.tables.values())
    return f"{written} rows" + (f", {lost} lost" if lost else "")


def history_in_words(last: int, first: int, bridge: int, needed: int) -> str:
    """Explain that a past ends too early, so that a whole window has to be awaited.

    Args:
        last: the past's last epoch minute.
        first: the epoch minute of the first message.
        bridge: longest gap in a window, in minutes.
        needed: minutes until the model's window is full.
    """
    early = in_time((first - last) * MS_PER_MINUTE)
    return (
        f"history ends {_when(last)}, {early} before the first message; "
        f"more than {bridge} minutes are not bridged, so the window fills anew: no signal for "
        f"{in_time(needed * MS_PER_MINUTE)}. A journal or --history that goes on until now spares "
        "that"
    )


def warming_in_words(missing: int, warming: int, version: int) -> str:
    """Explain that a version waits until its 112 features are known."""
    return (
        f"version {version} takes the 112 features, which look back at {sets.REACH} minutes: "
        f"{missing_in_words(missing, warming)}, so no signal for "
        f"{in_time(missing * MS_PER_MINUTE)}. A journal or --history with levels and figures "
        "of seconds spares that"
    )


def minute_in_words(
    symbol: str, minute: int, engine: AnswerState, said: Prediction | None, version: int
) -> str:
    """Describe a minute with a row and its prediction, for the log."""
    if said is not None:
        told = f"{_chosen(said)}{_trust(said)} (version {version})"
    else:
        awaited = missing_in_words(engine.missing, engine.warming)
        told = awaited if engine.missing else "no signal"
        if engine.lacks and not engine.missing and _is_newest(minute, engine):
            told = f"no signal: {engine.lacks}"
    bar = _bar(engine) if _is_newest(minute, engine) else _when(minute)
    cold = f"; {cold_in_words(engine.cold)}" if engine.cold else ""
    return f"{symbol} {bar}: {told}{cold}"


def minute_values(
    symbol: str, minute: int, engine: AnswerState, said: Prediction | None, version: int
) -> dict[str, Any]:
    """Return the same as values for JSON."""
    at = datetime.fromtimestamp(minute * 60, UTC).isoformat()
    values: dict[str, Any] = {"symbol": symbol, "minute": at, "missing": engine.missing}
    if said is not None:
        told = {name: getattr(said, name) for name in ("action", "signal", "abstention")}
        values |= {"version": version, **told, "decided_by": said.decided_by}
        values |= answer_metrics(said)
    if engine.panel is not None and engine.panel.minute == minute:
        values["votes"] = votes_in_words(engine.panel)
    return values


def trouble_of(feed: FeedState, last: str) -> str:
    """Return the most important problem: a silent stream before past ones."""
    if feed.connection.is_silent:
        return f"silent_stream: {feed.connection.url} was opened and says nothing"
    return last


def votes_in_words(panel: Panel) -> dict[str, str]:
    """Return what each member said, `BUY 0.62`, or why it abstained."""
    return {vote.member: vote.absent or _likeliest(vote.probabilities) for vote in panel.votes}


def _likeliest(chances: tuple[float, ...]) -> str:
    return "{1} {0:.2f}".format(*max(zip(chances, CLASSES, strict=True)))


def votes_metrics(panel: Panel | None, minute: int) -> dict[str, float]:
    """Return the tracked metrics of the votes on a minute; empty if there are none."""
    if panel is None or panel.minute != minute:
        return {}
    kept = {f"{vote.member}/weight": vote.weight for vote in panel.votes}
    kept |= {name: chance for name, chance in panel.chances.items() if not math.isnan(chance)}
    return kept if math.isnan(panel.agreement) else kept | {"agreement": panel.agreement}


def _is_newest(minute: int, engine: AnswerState) -> bool:
    return engine.last is not None and engine.last.bar.minute == minute


def _when(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%m-%d %H:%M")


def _bar(engine: AnswerState) -> str:
    if engine.last is None:
        return "none yet"
    bar = engine.last.bar
    when = _when(bar.minute)
    return f"{when} no row: {bar.reason}" if bar.reason else f"{when} close {bar.close:.8g}"


def _signal(engine: AnswerState) -> str:
    if engine.said is None:
        return "none yet"
    latency = "" if engine.latency_ms is None else f", {engine.latency_ms:.0f} ms"
    told = f"{_chosen(engine.said)}{_trust(engine.said)}"
    return f"{told} (version {engine.version}{latency})"


def _chosen(said: Prediction) -> str:
    """Describe the action, and why it is not the likeliest class if it is not."""
    chances = dict(zip(CLASSES, said.audited, strict=True))
    told = f"{said.signal} {chances[said.signal]:.2f}"
    if said.decided_by:
        likeliest = max(CLASSES, key=lambda name: chances[name])
        told += f" by {said.decided_by} over {likeliest} {chances[likeliest]:.2f}"
    if said.abstention:
        return f"{said.action}: abstains from {told}, {said.abstention.replace('_', ' ')}"
    return told


def _trust(said: Prediction) -> str:
    """Describe how likely the base's own class is right, if the version tells."""
    return "" if said.confidence is None else f", base confidence {said.confidence:.2f}"


def minute_metrics(minute: int, book: BookState, engine: AnswerState) -> dict[str, float]:
    """Return the tracked metrics of a symbol's minute with a row."""
    kept: dict[str, float] = {
        "resyncs": book.resyncs,
        "gaps": book.gaps,
        "missing_minutes": engine.missing,
        "blockless_minutes": engine.blockless,
    }
    if book.lag_ms is not None:
        kept["lag_ms"] = book.lag_ms
    if engine.last is not None and _is_newest(minute, engine):
        kept["close"] = engine.last.bar.close
    return kept


def answer_metrics(said: Prediction) -> dict[str, float]:
    """Return the tracked metrics of a prediction; its action is -1 (sell), 0 or 1 (buy)."""
    names = (f"prob_{name.lower()}" for name in CLASSES)
    side = float(CLASSES.index(said.action) - CLASSES.index("NEUTRAL"))
    chances = dict(zip(names, said.audited, strict=True))
    trust = {} if said.confidence is None else {"base_confidence": said.confidence}
    return {**chances, "uncertainty": said.uncertainty, **trust, "side": side}
