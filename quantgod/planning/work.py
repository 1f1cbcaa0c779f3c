"""How much a stage has to do: windows that are trained on and windows that are only forecast.

Epochs are counted in full, though a training may stop before; a pruned trial ends sooner as well.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from quantgod.planning.at_hand import MINUTES_A_DAY
from quantgod.settings import Settings

NETWORK: Final = "network"
SEARCHED: Final = "searched"
SMALL: Final = "small"
"""Whose windows they are: the settings' network, one of the search's, the leak audit's."""

SHORT_ROWS: Final = 2e7
"""Rows through the network that take well under an hour with the largest networks here."""

GROUPS: Final = 9
"""Features that the permutation importance shuffles, one at a time."""


class Work(NamedTuple):
    """Windows through forward and backward pass, and windows through the forward pass alone."""

    network: str
    trained: float
    forecast: float

    @property
    def windows(self) -> float:
        """All of them, one backward pass counted as two forward ones."""
        return 3 * self.trained + self.forecast


def network_work(settings: Settings, minutes: int) -> dict[str, Work]:
    """What the stages that a network is part of have to do with so many minutes."""
    dev = minutes * (1 - settings.split.test_fraction)
    test, search = minutes - dev, settings.optimize
    return {
        "optimize": _fit(settings, SEARCHED, dev / search.stride, search.trials * search.epochs),
        "train": _fit(settings, NETWORK, dev / settings.window.stride, settings.train.epochs),
        "audit": _walk(settings, NETWORK, dev / settings.audit.stride, settings.audit.epochs),
        "evaluate": Work(
            NETWORK,
            0.0,
            test / settings.evaluate.stride
            + settings.evaluate.importance_rows * settings.evaluate.importance_repeats * GROUPS,
        ),
        "leak_audit": _leak_audit(settings, minutes),
    }


def cuts_of(settings: Settings, minutes: int) -> tuple[int, int]:
    """How many cuts the leak audit of so many minutes makes at most, and on how many days.

    Each fold has two fitted pieces and one stage of forecasts of its own. Beside them are three
    fitted pieces, the moment a stride before the first, and two stages of forecasts.
    """
    own, folds = settings.leak_audit, settings.split.folds
    cuts = len(own.at) or max(own.cuts, 3 * folds + 6)
    days = math.ceil(min(minutes, own.minutes) / MINUTES_A_DAY)
    return cuts, min(cuts, days)


def is_surely_short(settings: Settings, minutes: int) -> bool:
    """Whether so few rows go through the network that nothing need be timed to know it is short."""
    works = network_work(settings, minutes)
    return sum(work.trained for work in works.values()) * settings.window.length < SHORT_ROWS


def _fit(settings: Settings, network: str, samples: float, epochs: int) -> Work:
    held = settings.split.validation_fraction
    return Work(network, samples * (1 - held) * epochs, samples * held * epochs)


def _walk(settings: Settings, network: str, samples: float, epochs: int) -> Work:
    """Walk-forward: fold i of k trains on i parts of k + 1 and forecasts the next one."""
    folds, held = settings.split.folds, settings.audit.stopping_fraction
    trained_on = samples * folds / 2
    forecast = samples * folds / (folds + 1)
    return Work(network, trained_on * (1 - held) * epochs, trained_on * held * epochs + forecast)


def _leak_audit(settings: Settings, minutes: int) -> Work:
    """The whole way in small: once as it is, and once for each cut."""
    small = settings.leak_audit
    dev = min(minutes, small.minutes) / small.stride * (1 - settings.split.test_fraction)
    once = [_fit(settings, SMALL, dev, small.epochs), _walk(settings, SMALL, dev, small.epochs)]
    times = cuts_of(settings, minutes)[0] + 1
    return Work(
        SMALL,
        times * sum(work.trained for work in once),
        times * sum(work.forecast for work in once),
    )
