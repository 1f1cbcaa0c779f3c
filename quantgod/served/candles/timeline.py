"""The ensemble between two dates: the state of each horizon, and what waits for its outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import online
from .state import Issued, Rules, State

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

Outcome = Callable[[int, Integers, int], Floats]
"""From a date, coins and the horizon's position to what came of them, NaN where unknown."""


class Waiting(NamedTuple):
    """What was issued at a date, of these coins (n,), at one horizon."""

    date: int
    coins: Integers
    issued: Issued


@dataclass(eq=False)
class Timeline:
    """Call `absorb` at each date, and then `issue`. Equal calls give equal bits.

    Attributes:
        rules: of the ensemble.
        horizons: steps ahead.
        states: by horizon.
        waiting: by horizon, in order of date.
    """

    rules: Rules
    horizons: tuple[int, ...]
    states: list[State]
    waiting: list[list[Waiting]]

    @classmethod
    def begin(cls, rules: Rules, horizons: Sequence[int], members: int) -> Timeline:
        """Return the ensemble before any forecast."""
        states = [State.begin(rules, members) for _ in horizons]
        return cls(rules, tuple(horizons), states, [[] for _ in horizons])

    def absorb(self, now: int, outcome: Outcome) -> None:
        """Let all that has matured by the close of `now` move the states, oldest first."""
        for place, steps in enumerate(self.horizons):
            waiting = self.waiting[place]
            while waiting and waiting[0].date + steps <= now:
                date, coins, issued = waiting.pop(0)
                came = outcome(date, coins, place)
                known = np.isfinite(came)
                self.states[place] = online.absorb(
                    self.rules, self.states[place], issued.take(known), came[known], steps
                )

    def issue(
        self, now: int, coins: Integers, regime: Integers, mean: Floats, quantiles: Floats
    ) -> list[Issued]:
        """Return what is said at the close of `now` at each horizon, and let it wait.

        Args:
            now: the date, later than all before.
            coins: (n,) numbers of the coins.
            regime: (n,).
            mean: (n, members, horizons) of the members.
            quantiles: (n, members, horizons, levels) of the same.
        """
        said = []
        for place, (state, steps) in enumerate(zip(self.states, self.horizons, strict=True)):
            own = mean[:, :, place], quantiles[:, :, place]
            issued = online.issue(self.rules, state, *own, regime, steps)
            self.waiting[place].append(Waiting(now, coins, issued))
            said.append(issued)
        return said

    def restack(self, stack: Floats) -> None:
        """Take other coefficients of the stacked mean, (members, horizons)."""
        self.states = [
            replace(state, stack=stack[:, place]) for place, state in enumerate(self.states)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, from which `from_json` makes the same bits."""
        return {
            "rules": asdict(self.rules),
            "horizons": list(self.horizons),
            "states": [state.to_json() for state in self.states],
            "waiting": [
                [[one.date, one.coins.tolist(), one.issued.to_json()] for one in each]
                for each in self.waiting
            ],
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Timeline:
        """Return what `to_json` told."""
        waiting = [
            [
                Waiting(date, np.array(coins, np.int64), Issued.from_json(issued))
                for date, coins, issued in each
            ]
            for each in told["waiting"]
        ]
        states = [State.from_json(state) for state in told["states"]]
        return cls(Rules(**told["rules"]), tuple(told["horizons"]), states, waiting)
