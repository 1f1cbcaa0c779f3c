"""Ask the members of an ensemble, and journal their votes before there is a signal."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from quantgod.contracts import Floats
from quantgod.contracts.minute_rows import as_frame
from quantgod.contracts.model_notices import Level, ModelNotice, Report, SignalCode
from quantgod.contracts.panel import Panel
from quantgod.contracts.prediction import Prediction
from quantgod.contracts.row_sink import RowSink
from quantgod.live.engine.journal_rows import votes_row
from quantgod.live.engine.lane import Lane
from quantgod.live.engine.moving_weights import SymbolWeights
from quantgod.live.engine.question import Audit, Question

WRITTEN_SECONDS: Final = 2.0
"""How long a signal waits for its votes' row: on a full disk it may never be written."""

UNTOLD: Final = ("cold", "disabled")
"""Codes of members whose window is not full yet, or that are disabled: the status tells of them."""


class Voting:
    """Asks members with the weights of the minute, and keeps what they say.

    Args:
        journal: for votes.
        report: called with members that abstain, and with minutes without a quorum.
        weights: of the versions, by symbol.
        heard: called with the votes on each minute.
    """

    def __init__(
        self,
        journal: RowSink,
        report: Report,
        weights: Mapping[str, SymbolWeights],
        heard: Callable[[Question, Panel], None],
    ) -> None:
        self._journal, self._report, self._heard = journal, report, heard
        self._weights = weights

    async def ask(self, lane: Lane[Question], asked: Question) -> Prediction | None:
        """Return the answer; None below the quorum. The votes are in the journal by then.

        Raises:
            Exception: whatever the version's code raises.
        """
        model = asked.model
        moving = self._weights[asked.symbol].of(model.name, model.version, model.combiner)
        weights, state = (None, None) if moving is None else (moving.at(asked.minute), moving.state)
        panel, audit = await lane.compute(functools.partial(_vote, asked, weights))
        row = votes_row(asked.symbol, asked.role, model, panel, state)
        written = self._journal.append_now("VOTES", row)
        if moving is not None:
            moving.add(panel)
        self._heard(asked, panel)
        self._tell_of(asked, panel)
        said = None if audit is None else await lane.compute(audit)
        await self._until_written(asked, written)
        return said

    def _tell_of(self, asked: Question, panel: Panel) -> None:
        """Report who abstains unforeseen, and whether too few are left."""
        absent = {name: why for name, why in panel.absent.items() if not why.startswith(UNTOLD)}
        if absent:
            reasons = "; ".join(f"{name} abstains, {why}" for name, why in absent.items())
            self._tell("warning", "abstains", asked, reasons)
        if not panel.direction:
            self._tell("warning", "no_quorum", asked, f"{no_quorum(panel)}, so there is no signal")

    async def _until_written(self, asked: Question, written: Future[None]) -> None:
        waiting = asyncio.wrap_future(written)
        waiting.add_done_callback(_retrieve)
        await asyncio.wait([waiting], timeout=WRITTEN_SECONDS)
        error = waiting.exception() if waiting.done() else f"not within {WRITTEN_SECONDS:g} s"
        if error is not None:
            self._tell("error", "not_journaled", asked, f"its votes are not journaled: {error}")

    def _tell(self, level: Level, code: SignalCode, asked: Question, text: str) -> None:
        who = f"minute {asked.minute}, version {asked.model.version} as {asked.role}"
        self._report(ModelNotice(level, "signal", code, asked.symbol, f"{who}: {text}"))


def no_quorum(panel: Panel) -> str:
    """Return in words why members make no answer."""
    who = ", ".join(f"{name} ({why})" for name, why in panel.absent.items())
    return f"of {len(panel.votes)} members " + (f"abstain {who}" if who else "none is sure enough")


def _vote(asked: Question, weights: Floats | None) -> tuple[Panel, Audit | None]:
    rows, books, lacks = asked.seen
    panel, audit = asked.model.vote(as_frame(rows, books), weights, lacks)
    if panel.minute != asked.minute:
        raise ValueError(f"minute {asked.minute} was asked about, votes are on {panel.minute}")
    return panel, audit


def _retrieve(waiting: asyncio.Future[Any]) -> None:
    """Look at an outcome that may come too late for anybody."""
    if not waiting.cancelled():
        waiting.exception()
