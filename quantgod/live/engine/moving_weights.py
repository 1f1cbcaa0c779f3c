"""The weights of a version's members, live: moved by outcomes of minutes that it has voted on.

They begin with the state at registration. What came between registration and a version's first
live minute is not known to it, since it has not voted then; nor is what comes while another version
answers. Each version has its own weights, wherever it answers: a challenger that is promoted goes
on with those that it has moved in shadow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quantgod.contracts import MS_PER_MINUTE, Booleans, Floats
from quantgod.contracts.panel import Panel
from quantgod.live.engine.closes import Closes
from quantgod.live.engine.past_votes import PastVotes, read_past_votes
from quantgod.settings import HorizonSettings


class MovingWeights:
    """The weights of one version's members on one symbol's minutes.

    Call `at` for each minute in order, and then `add` with what the members say.

    Args:
        combiner: the version's own; outcomes move its weights.
        closes: of the symbol.
        past: votes of earlier sessions, oldest first; those of the first minute or later ones are
            left out: a replay must not see its own future.
    """

    def __init__(self, combiner: Any, closes: Closes, past: Sequence[PastVotes] = ()) -> None:
        self._combiner, self._closes, self._past = combiner, closes, past
        outcome = combiner.outcome
        self._horizon = HorizonSettings(
            horizon_minutes=outcome.minutes,
            buy_above=outcome.buy_above,
            sell_below=outcome.sell_below,
        )
        self._online: Any = None
        self._last = self._newest = -1

    def at(self, minute: int) -> Floats:
        """Return the weights (members,), moved by outcomes known at the close of a minute.

        Raises:
            ValueError: for a minute before the last one: a challenger that has just been promoted
                may still be asked about one in shadow, and the weights know what came later.
        """
        if minute < self._last:
            raise ValueError(f"a minute from {self._last} on expected, got {minute}: weights moved")
        self._last = minute
        if self._online is None:
            self._online = self._started(minute)
        self._online.mature(minute * MS_PER_MINUTE, self._outcome)
        weights: Floats = np.array(self._online.weights, np.float64)
        return weights

    @property
    def state(self) -> str:
        """Return the state behind the weights of the last minute, as JSON."""
        values = {name: np.asarray(value).tolist() for name, value in self._online.state.items()}
        return json.dumps(values)

    def add(self, panel: Panel) -> None:
        """Keep votes until their outcome is known; the second ones of a minute change nothing."""
        chances = np.array([vote.probabilities for vote in panel.votes])
        self._add(panel.minute, chances, np.array([not vote.absent for vote in panel.votes]))

    def _started(self, first: int) -> Any:
        known = [votes for votes in self._past if votes.minute < first]
        self._past = ()
        if not known:
            return self._combiner.started()
        last = known[-1]
        state = {name: np.asarray(value) for name, value in json.loads(last.state).items()}
        self._online = self._combiner.started(state)
        for votes in known:
            if votes.minute + self._horizon.horizon_minutes > last.minute:
                self._add(votes.minute, votes.probabilities, votes.present)
        return self._online

    def _add(self, minute: int, chances: Floats, present: Booleans) -> None:
        if minute <= self._newest:
            return
        self._newest = minute
        time_ms = minute * MS_PER_MINUTE
        if self._combiner.moves_on(np.int64(time_ms)):
            end_ms = time_ms + self._horizon.horizon_minutes * MS_PER_MINUTE
            self._online.add(time_ms, end_ms, chances, present)

    def _outcome(self, time_ms: int) -> int | None:
        return self._closes.outcome(time_ms // MS_PER_MINUTE, self._horizon)


class SymbolWeights:
    """The weights of all versions whose members vote on a symbol's minutes.

    Args:
        symbol: of the minutes.
        journal: folder with the votes of earlier sessions; None for none.
        max_bridge_minutes: the longest gap inside a stretch.
    """

    def __init__(self, symbol: str, journal: Path | None, max_bridge_minutes: int) -> None:
        self.closes = Closes(max_bridge_minutes)
        self._symbol, self._journal = symbol, journal
        self._past: dict[tuple[str, int], list[PastVotes]] = {}
        self._moving: dict[tuple[str, int], MovingWeights] = {}

    def remember(self, name: str, version: int) -> None:
        """Read what a version's members have voted before; called in a thread.

        Raises:
            JournalError: if the journal cannot be read.
        """
        if self._journal is not None and (name, version) not in self._moving:
            self._past[name, version] = read_past_votes(self._journal, self._symbol, name, version)

    def of(self, name: str, version: int, combiner: Any) -> MovingWeights | None:
        """Return the weights of a version; None if outcomes do not move them."""
        if combiner.online is None:
            return None
        key = name, version
        if key not in self._moving:
            past = self._past.pop(key, [])
            self._moving[key] = MovingWeights(combiner, self.closes, past)
        return self._moving[key]
