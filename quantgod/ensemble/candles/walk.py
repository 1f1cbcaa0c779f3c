"""Go through members' forecasts date by date, as live use does: absorb what has matured, issue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from quantgod.contracts import Floats, Integers, Progress, silent
from quantgod.ensemble.candles.stacked import fit_stack
from quantgod.served.candles.state import Issued, Rules, joined
from quantgod.served.candles.timeline import Timeline


@dataclass(frozen=True, eq=False)
class Moments:
    """What members said, and what came: n moments of all coins, in order of date.

    Attributes:
        members: their names; the first is the random walk.
        horizons: steps ahead.
        date: (n,) rising; moments of one date are neighbours.
        coin: (n,).
        regime: (n,); -1 where unknown.
        mean: (n, members, horizons).
        quantiles: (n, members, horizons, levels).
        outcomes: (n, horizons); NaN where unknown.
    """

    members: tuple[str, ...]
    horizons: tuple[int, ...]
    date: Integers
    coin: Integers
    regime: Integers
    mean: Floats
    quantiles: Floats
    outcomes: Floats

    def __len__(self) -> int:
        return len(self.date)

    def take(self, index: Integers | slice) -> Moments:
        """Return these moments."""
        kept = {name: getattr(self, name)[index] for name in _OF_MOMENTS}
        return Moments(self.members, self.horizons, **kept)


_OF_MOMENTS = ("date", "coin", "regime", "mean", "quantiles", "outcomes")


@dataclass(frozen=True, eq=False)
class Walked:
    """What an ensemble made of moments.

    Attributes:
        issued: of all moments, by horizon.
        timeline: after the last date: what is served goes on with it.
        stacks: dates at which the stacked mean was fitted anew, and coefficients (members,
            horizons) from then on.
    """

    issued: tuple[Issued, ...]
    timeline: Timeline
    stacks: tuple[tuple[int, Floats], ...]


OnDate = Callable[[int, Timeline], None]


def unheard(now: int, timeline: Timeline) -> None:
    """Ignore a date."""


def walk(
    rules: Rules,
    moments: Moments,
    refits: Sequence[int],
    progress: Progress = silent,
    on_date: OnDate = unheard,
) -> Walked:
    """Issue a forecast of every moment by what had matured before it.

    Args:
        rules: of the ensemble.
        moments: out of fold and on the test part, one after the other.
        refits: dates at which the stacked mean is fitted anew: borders of folds.
        progress: of dates.
        on_date: called at each date with all that its forecasts are issued by.
    """
    timeline = Timeline.begin(rules, moments.horizons, len(moments.members))
    issued: list[list[Issued]] = [[] for _ in moments.horizons]
    stacks: list[tuple[int, Floats]] = []
    due, place_of = sorted(refits), dict(_dates(moments))

    def outcome(date: int, coins: Integers, place: int) -> Floats:
        return moments.outcomes[place_of[date], place]

    for number, (now, rows) in enumerate(_dates(moments)):
        timeline.absorb(now, outcome)
        while due and due[0] <= now:
            stacks.append((due.pop(0), _restacked(moments, now)))
            timeline.restack(stacks[-1][1])
        on_date(now, timeline)
        said = timeline.issue(
            now, moments.coin[rows], moments.regime[rows], moments.mean[rows],
            moments.quantiles[rows],
        )  # fmt: skip
        for place, one in enumerate(said):
            issued[place].append(one)
        if number % 50 == 0:
            progress(rows.stop, len(moments), "ensemble")
    return Walked(tuple(joined(each) for each in issued), timeline, tuple(stacks))


def _restacked(moments: Moments, now: int) -> Floats:
    """Return coefficients (members, horizons) fitted to what had matured by `now`."""
    fitted = []
    for place, steps in enumerate(moments.horizons):
        came = moments.outcomes[:, place]
        known = (moments.date + steps <= now) & np.isfinite(came)
        mean, dates = moments.mean[known][:, :, place], moments.date[known]
        fitted.append(fit_stack(mean, came[known], dates, steps))
    return np.stack(fitted, axis=1)


def _dates(moments: Moments) -> Iterator[tuple[int, slice]]:
    begins = np.flatnonzero(np.diff(moments.date, prepend=moments.date[:1] - 1))
    for begin, end in zip(begins, [*begins[1:], len(moments)], strict=True):
        yield int(moments.date[begin]), slice(int(begin), int(end))
