"""Two versions on the same minutes: what a challenger must show to take the champion's place.

Both are scored on the same rows and redrawn together, so the difference is free of what those rows
had in store for either. The challenger wins where

- its log-loss is lower, the interval of the difference clear of zero: a proper score, which luck
  with a few decisions does not move far;
- its macro-F1 is not lower: better probabilities must not cost decisions, and a new calibration
  that leaves each decision as it was is allowed.

Of 400 equal challengers on synthetic forecasts (2,000 and 5,000 minutes) 11 won. What is too short
to tell is no win: 1,000 neighbouring minutes hold 17 independent hours.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quantgod.contracts import MS_PER_MINUTE, Progress, silent
from quantgod.dataset.splits import uniqueness
from quantgod.dataset.windows import Samples
from quantgod.evaluation.bootstrap import block_rows, intervals
from quantgod.evaluation.gates.report import Duel
from quantgod.evaluation.metrics import log_loss, macro_f1

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Said(NamedTuple):
    """What a version said of some rows: (n, 3) probabilities, and (n,) classes it decided on."""

    probabilities: Floats
    decided: Integers


class Truth(NamedTuple):
    """What came of those rows, in order of time; several symbols may share a minute.

    `time_ms` and `label_end_ms` are epoch milliseconds of the row's minute and its label's last.
    """

    target: Integers
    time_ms: Integers
    label_end_ms: Integers

    @property
    def effective_rows(self) -> float:
        """How many labels that share no minute they equal; symbols side by side count once."""
        nothing = np.zeros(len(self.target), np.int64)
        taken = Samples(nothing, self.time_ms, self.label_end_ms, self.target, nothing, nothing)
        return float(uniqueness(taken).sum())


class DuelSettings(NamedTuple):
    """Redraws and their seed, and how many effective rows a verdict takes at least."""

    rounds: int
    seed: int
    effective_rows: float


def duel(
    truth: Truth,
    challenger: Said,
    champion: Said,
    settings: DuelSettings,
    progress: Progress = silent,
) -> Duel:
    """Compare two versions that spoke of the same rows.

    Args:
        truth: of the rows.
        challenger: what it said of them.
        champion: likewise.
        settings: of the redraws.
        progress: how far they are.
    """
    rows, effective = len(truth.target), truth.effective_rows
    if effective < settings.effective_rows:
        worth = math.floor(effective * 10) / 10
        left = f"{rows} rows are left, worth {worth} independent ones"
        problem = f"{left}; {settings.effective_rows:g} are needed"
        return Duel(rows=rows, effective_rows=effective, problem=problem)

    def statistics(index: Integers) -> dict[str, float]:
        ours, theirs = (_scores(truth.target, said, index) for said in (challenger, champion))
        return {score: ours[score] - theirs[score] for score in ours}

    found = intervals(
        statistics, rows, _block(truth), settings.rounds, settings.seed, progress=progress
    )
    return Duel(rows=rows, effective_rows=effective, **found)  # type: ignore[arg-type]


def _scores(target: Integers, said: Said, index: Integers) -> dict[str, float]:
    return {
        "log_loss": log_loss(target[index], said.probabilities[index]),
        "macro_f1": macro_f1(target[index], said.decided[index]),
    }


def _block(truth: Truth) -> int:
    """Rows a block: three horizons, whatever the stride and however many symbols share a minute."""
    minutes = np.unique(truth.time_ms) // MS_PER_MINUTE
    stride = float(np.median(np.diff(minutes))) if len(minutes) > 1 else 1.0
    horizon = float(np.median(truth.label_end_ms - truth.time_ms)) / MS_PER_MINUTE
    beside = len(truth.time_ms) / len(minutes)
    return block_rows(math.ceil(horizon / stride * beside), 1, len(truth.time_ms))
