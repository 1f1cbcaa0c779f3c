"""Report the drift monitor's findings to log, journal and tracking, without blocking the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from quantgod.contracts import Floats
from quantgod.contracts.panel import Panel
from quantgod.contracts.prediction import Prediction
from quantgod.contracts.row_sink import RowSink
from quantgod.live.drift.check import DriftCheck, DriftRow, in_words, metrics
from quantgod.live.drift.monitor import DriftMonitor
from quantgod.live.engine.question import Model
from quantgod.live.view.logs import say

END_SECONDS: Final = 1.0
"""How long the end of a session waits for checks; one takes about 20 ms."""

Metrics = Callable[[Mapping[str, float], int], None]


class DriftWatch:
    """The engine's `on_row`: passes rows to the monitor, and reports its findings.

    Args:
        monitor: the monitor.
        journal: for DRIFT rows.
        track: takes metrics of an epoch minute.

    Attributes:
        words: the last check's summary, by symbol.
        verdicts: its verdicts by feature, probability and member, by symbol.
    """

    def __init__(
        self,
        monitor: DriftMonitor,
        journal: RowSink,
        track: Metrics,
    ) -> None:
        self.words: dict[str, str] = {}
        self.verdicts: dict[str, dict[str, str]] = {}
        self._monitor = monitor
        self._versions: dict[str, int] = {}
        self._journal, self._track = journal, track
        self._checks: set[asyncio.Task[None]] = set()

    def on_row(
        self,
        symbol: str,
        minute: int,
        features: Floats,
        said: Prediction | None,
        model: Model,
        panel: Panel | None = None,
    ) -> None:
        """Take a closed minute's row, its model and its members' last votes, in the event loop."""
        if self._versions.get(symbol) != model.version:
            self._versions[symbol] = model.version
            self._monitor.adopt(symbol, model.reference, [one.name for one in model.members])
        output = None if said is None else said.audited
        votes = panel.chances if panel is not None and panel.minute == minute else None
        watched = self._monitor.on_row(symbol, minute, features, output, votes)
        for warning in watched.warnings:
            say(logging.WARNING, "feature_far", warning.text, symbol=symbol)
        self._keep(watched.outliers)
        if watched.check is not None:
            task = asyncio.create_task(self._judge(watched.check))
            self._checks.add(task)
            task.add_done_callback(self._checks.discard)

    async def finish(self) -> None:
        """Wait for running checks while the journal is still open."""
        if self._checks:
            await asyncio.wait(self._checks, timeout=END_SECONDS)
        for check in tuple(self._checks):
            check.cancel()

    async def _judge(self, check: DriftCheck) -> None:
        try:
            rows = await asyncio.to_thread(check.judge)
        except Exception as error:
            # No candle depends on it, and nothing else would report it.
            text = f"{check.symbol}: the check of minute {check.minute} failed: {error!r}"
            say(logging.ERROR, "drift_failed", text, symbol=check.symbol)
            return
        self._keep(rows)
        self._track(metrics(rows), check.minute)
        words = self.words[check.symbol] = in_words(rows)
        self.verdicts[check.symbol] = {row.name: row.verdict for row in rows}
        worth_a_look = any(row.verdict in ("drift", "level") for row in rows)
        level = logging.WARNING if worth_a_look else logging.INFO
        say(level, "drift", f"{check.symbol}: {words}", symbol=check.symbol)

    def _keep(self, rows: list[DriftRow]) -> None:
        for row in rows:
            self._journal.append("DRIFT", row._asdict())
