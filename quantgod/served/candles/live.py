"""Forecast candles as they come: members asked, and the ensemble's timeline led on.

What is done here date by date is what the walk of training did: absorb what has matured, ask the
members, issue. No value depends on more than a coin's last candles, so a few hundred of them give
the bits that all of them gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .contract import Contract
from .members import Said
from .rows import NAMES, rows_of
from .scaling import RobustScale
from .state import Issued
from .timeline import Timeline

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Seen = npt.NDArray[np.float32]


class Speaker(Protocol):
    """A member in use."""

    def say(self, windows: Seen) -> Said:
        """Return what it says of scaled windows (n, window, features)."""


class Part(NamedTuple):
    """Members that were fitted to some coins: to all of them, or to each its own.

    Attributes:
        coins: their numbers.
        scale: of the features that they see.
        members: in the order of the contract.
    """

    coins: tuple[int, ...]
    scale: RobustScale
    members: Sequence[Speaker]


class Past(NamedTuple):
    """Closed candles of one coin, oldest first; a hole stays a hole.

    Attributes:
        time_ms: (n,) open times, rising.
        values: (n, 5) open, high, low, close, volume.
    """

    time_ms: Integers
    values: Floats


class Dated(NamedTuple):
    """Forecasts that were issued at the close of one date.

    Attributes:
        date: open time of the newest candle, in steps since 1970.
        coins: (n,) their numbers, rising.
        close: (n,) at issue.
        sigma: (n,) deviation of one step's log return, known at the close.
        issued: by horizon.
    """

    date: int
    coins: Integers
    close: Floats
    sigma: Floats
    issued: tuple[Issued, ...]


class _Known(NamedTuple):
    """What is known of a coin at each of its closes, (n,) all but the matrix, (n, features)."""

    date: Integers
    stretch: Integers
    close: Floats
    sigma: Floats
    regime: Integers
    so_far: Integers
    matrix: Seen

    def place(self, date: int) -> int | None:
        """Return where a date stands, or None."""
        at = int(np.searchsorted(self.date, date))
        return at if at < len(self.date) and self.date[at] == date else None

    def came(self, date: int, steps: int) -> float:
        """Return the scaled return to so many steps ahead; NaN where it is not known."""
        at, then = self.place(date), self.place(date + steps)
        if at is None or then is None or self.stretch[at] != self.stretch[then]:
            return np.nan
        moved = np.log(self.close[then] / self.close[at])
        return float(moved / (self.sigma[at] * np.sqrt(np.float64(steps))))


class _Moment(NamedTuple):
    """What members say at one date, as a timeline takes it."""

    coins: Integers
    close: Floats
    sigma: Floats
    regime: Integers
    said: Said


class Live:
    """The members of a version, and how its timeline goes on.

    Args:
        contract: of the version.
        parts: which members speak of which coins.
        regimes: how they are told, as `rows_of` takes it.
    """

    def __init__(
        self, contract: Contract, parts: Sequence[Part], regimes: Mapping[str, object]
    ) -> None:
        self.contract, self.parts, self.regimes = contract, tuple(parts), regimes

    def newest(self, timeline: Timeline, pasts: Mapping[int, Past]) -> list[Dated]:
        """Return forecasts of each coin's newest candle, by a timeline's states as they are.

        Args:
            timeline: is left as it is.
            pasts: by a coin's number, at least `rows` candles without a hole of each.
        """
        known = self._known(pasts)
        dates = sorted({int(one.date[-1]) for one in known.values()})
        found = []
        for date in dates:
            own = {coin: one for coin, one in known.items() if one.date[-1] == date}
            if (moment := self._moment(own, date)) is not None:
                found.append(_issued(copied(timeline), date, moment))
        return found

    def issue_from(
        self, timeline: Timeline, pasts: Mapping[int, Past]
    ) -> tuple[list[Dated], Timeline]:
        """Go on from a timeline's last date to the newest one that all these coins have.

        Args:
            timeline: is left as it is.
            pasts: by a coin's number, `back` candles or more up to the first date to come. An
                outcome of a coin that is not among them stays unknown.

        Returns:
            What was issued at each date, and the timeline after the last.
        """
        known, ahead = self._known(pasts), copied(timeline)
        until = min((int(one.date[-1]) for one in known.values()), default=-1)
        found = []
        for now in range(last_date(timeline) + 1, until + 1):
            if (moment := self._moment(known, now)) is not None:
                ahead.absorb(now, self._outcomes(known))
                found.append(_issued(ahead, now, moment))
        return found, ahead

    def _outcomes(self, known: Mapping[int, _Known]) -> Callable[[int, Integers, int], Floats]:
        def outcome(date: int, coins: Integers, place: int) -> Floats:
            steps = self.contract.horizons[place]
            own = [known.get(int(coin)) for coin in coins]
            return np.array([np.nan if one is None else one.came(date, steps) for one in own])

        return outcome

    def _known(self, pasts: Mapping[int, Past]) -> dict[int, _Known]:
        return {coin: self._known_of(coin, pasts[coin]) for coin in sorted(pasts)}

    def _known_of(self, coin: int, past: Past) -> _Known:
        step = self.contract.step_ms
        stretch = np.cumsum(np.diff(past.time_ms, prepend=past.time_ms[:1] - step) != step)
        rows = rows_of(past.time_ms, past.values, stretch, self.regimes)
        scale = next(part.scale for part in self.parts if coin in part.coins)
        matrix = scale.transform(rows.features, NAMES).astype(np.float32)
        return _Known(
            past.time_ms // step, stretch, past.values[:, 3], rows.sigma, rows.regime, rows.so_far,
            matrix,
        )  # fmt: skip

    def _moment(self, known: Mapping[int, _Known], date: int) -> _Moment | None:
        """Return what members say of the coins that have a whole window at a date, if any does."""
        window, there = self.contract.window, {}
        for coin, one in known.items():
            at = one.place(date)
            if at is not None and one.so_far[at] >= window:
                there[coin] = one, at
        if not there:
            return None
        coins, said = [], []
        for part in self.parts:
            if own := [coin for coin in part.coins if coin in there]:
                places = [there[coin] for coin in own]
                seen = np.stack([one.matrix[at - window + 1 : at + 1] for one, at in places])
                coins += own
                said.append(_of_members(part, seen))
        order = np.argsort(coins)
        rows = [there[coins[place]] for place in order]
        together = (np.concatenate(each)[order] for each in zip(*said, strict=True))
        return _Moment(
            np.array(coins, np.int64)[order],
            np.array([one.close[at] for one, at in rows]),
            np.array([one.sigma[at] for one, at in rows]),
            np.array([one.regime[at] for one, at in rows], np.int64),
            Said(*together),
        )


def last_date(timeline: Timeline) -> int:
    """Return the last date at which a timeline has issued; before any forecast -1."""
    return max((each[-1].date for each in timeline.waiting if each), default=-1)


def copied(timeline: Timeline) -> Timeline:
    """Return a timeline that goes on for itself."""
    return replace(
        timeline, states=[*timeline.states], waiting=[[*each] for each in timeline.waiting]
    )


def _of_members(part: Part, seen: Seen) -> Said:
    """Return what all members say: mean (n, members, horizons), quantiles (..., levels)."""
    said = [member.say(seen) for member in part.members]
    return Said(*(np.stack(each, axis=1) for each in zip(*said, strict=True)))


def _issued(timeline: Timeline, date: int, moment: _Moment) -> Dated:
    said = timeline.issue(date, moment.coins, moment.regime, *moment.said)
    return Dated(date, moment.coins, moment.close, moment.sigma, tuple(said))
