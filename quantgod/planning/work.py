"""Compute the work of each stage: the number of trained and of forecast windows.

All epochs are counted, although a training may stop early and a trial may be pruned.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from heapq import heapreplace
from typing import Final, NamedTuple

from quantgod.planning.at_hand import MINUTES_A_DAY
from quantgod.settings import Settings, members_of, with_values

NETWORK: Final = "network"
SEARCHED: Final = "searched"
FOLDS: Final = "folds"
SMALL: Final = "small"
"""The network of the windows: the settings', one of the search's, the settings' as folds are
trained, or the leak audit's."""

SHORT_ROWS: Final = 2e7
"""Rows that take well under an hour even with the largest networks."""

GROUPS: Final = 9
"""Number of features that the permutation importance shuffles, one at a time."""


class Work(NamedTuple):
    """The number of windows with forward and backward pass, and with the forward pass only."""

    network: str
    trained: float
    forecast: float

    @property
    def windows(self) -> float:
        """Return all windows, counting a backward pass as two forward ones."""
        return 3 * self.trained + self.forecast


def network_work(settings: Settings, minutes: int) -> dict[str, Work]:
    """Return the network's work in each stage, for this number of minutes."""
    dev = minutes * (1 - settings.split.test_fraction)
    test, search = minutes - dev, settings.optimize
    return {
        "optimize": _fit(settings, SEARCHED, dev / search.stride, search.trials * search.epochs),
        "train": _fit(settings, NETWORK, dev / settings.window.stride, settings.train.epochs),
        "audit": _walk(settings, FOLDS, dev / settings.audit.stride, settings.audit.epochs),
        "evaluate": Work(
            NETWORK,
            0.0,
            test / settings.evaluate.stride
            + settings.evaluate.importance_rows * settings.evaluate.importance_repeats * GROUPS,
        ),
        "leak_audit": _leak_audit(settings, minutes),
    }


def cuts_of(settings: Settings, minutes: int) -> tuple[int, int]:
    """Return the maximal number of the leak audit's cuts, and their number of days.

    Each fold has two fits and one forecast stage. Besides, there are three fits, the cut a stride
    before the first fit, and two forecast stages.
    """
    own, folds = settings.leak_audit, settings.split.folds
    cuts = len(own.at) or max(own.cuts, 3 * folds + 6)
    days = math.ceil(min(minutes, own.minutes) / MINUTES_A_DAY)
    return cuts, min(cuts, days)


def longest_share(settings: Settings, workers: int) -> float:
    """Return the share of all folds' work that the busiest of these workers does.

    Fold i takes i parts of the time; the longest begin first, each with who has least to do.
    """
    busy = [0] * workers
    for fold in range(settings.split.folds, 0, -1):
        busy[busy.index(min(busy))] += fold
    return max(busy) / sum(busy)


def is_surely_short(settings: Settings, minutes: int) -> bool:
    """Return whether there are so few rows that the run is short without any timing."""
    rows = 0.0
    for own in networks_of(settings).values():
        works = network_work(own, minutes)
        if settings.ensemble is not None:
            del works["optimize"]  # members are trained as they are
        rows += sum(work.trained for work in works.values()) * own.window.length
    return rows < SHORT_ROWS


def networks_of(settings: Settings) -> dict[str, Settings]:
    """Return the settings of each network that makes a version: one, or an ensemble's members."""
    return {"": settings} if settings.ensemble is None else members_of(settings)


def side_by_side(seconds: Iterable[float], places: int) -> float:
    """Return how long jobs take, so many at a time, each of which takes the first free place.

    >>> side_by_side([3.0, 2.0, 2.0, 1.0], 2)
    4.0
    """
    free_at = [0.0] * places
    for taken in seconds:
        heapreplace(free_at, free_at[0] + taken)
    return max(free_at)


def _fit(settings: Settings, network: str, samples: float, epochs: int) -> Work:
    held, passes = settings.split.validation_fraction, epochs / settings.train.every
    return Work(network, samples * (1 - held) * passes, samples * held * passes)


def _walk(settings: Settings, network: str, samples: float, epochs: int) -> Work:
    """Return the work of all folds: fold i of k trains on i of k + 1 parts, forecasts the next."""
    folds, held = settings.split.folds, settings.audit.stopping_fraction
    trained_on, passes = samples * folds / 2, epochs / settings.train.every
    forecast = samples * folds / (folds + 1)
    return Work(network, trained_on * (1 - held) * passes, trained_on * held * passes + forecast)


def _leak_audit(settings: Settings, minutes: int) -> Work:
    """Return the work of the small pipeline: once unperturbed, and once per cut."""
    small, whole = settings.leak_audit, with_values(settings, {"train.every": 1})
    dev = min(minutes, small.minutes) / small.stride * (1 - settings.split.test_fraction)
    once = [_fit(whole, SMALL, dev, small.epochs), _walk(whole, SMALL, dev, small.epochs)]
    times = cuts_of(settings, minutes)[0] + 1
    return Work(
        SMALL,
        times * sum(work.trained for work in once),
        times * sum(work.forecast for work in once),
    )
