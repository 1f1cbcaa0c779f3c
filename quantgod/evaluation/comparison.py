"""Compare models on the same rows: every score and every difference, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from quantgod.contracts import CLASSES, Booleans, Floats, Integers
from quantgod.evaluation.intervals import (
    FEWEST_COUNTED,
    FEWEST_ROWS,
    LOSS,
    PLAIN,
    Interval,
    Replicates,
    half_width,
    interval,
    quotient,
    replicates,
    share,
    variance,
)
from quantgod.evaluation.metrics import (
    CELLS,
    TALLIED,
    WORST_LOSS,
    checked,
    scores_of,
    tally_decided,
)

LEAST_OF_A_CLASS: Final = 2.0
"""Independent rows in which each class must occur, for three-class scores to be judged."""
LEAST_DECIDED: Final = 2.0
"""Independent rows in which a class must be decided, if at all, for macro-F1 to be judged."""
LEAST_UNDECIDED: Final = 10.0
"""Independent rows of a never decided class, for macro-F1: with fewer it may still be decided."""
LEAST_BY_LUCK: Final = 1.5
"""Independent hits expected by luck among the rarer classes, for macro-F1 and MCC to be judged.
With fewer, one or two events decide; Cochran (1954) has such a rule for counts."""
LEAST_BY_LUCK_OF_ONE: Final = LEAST_BY_LUCK / 2
"""Such hits of a class, and as many misses, for its own scores to be judged."""
LEAST_BY_LUCK_EACH: Final = LEAST_BY_LUCK / 10
"""Such hits of each class, for macro-F1 to be judged."""
LEAST_APART: Final = 3.0
"""Independent rows that two models must decide differently, if any, for a difference."""

FEW_APART: Final = "few rows decided otherwise"
NO_SUCH: Final = "no interval is known"
"""Why a difference with enough rows is not judged."""

_SCALES: Final = {"macro_f1": PLAIN, "mcc": PLAIN, "log_loss": LOSS, "brier": LOSS}
_LIMITS: Final = {"mcc": (-1.0, 1.0), "log_loss": (0.0, WORST_LOSS), "brier": (0.0, 2.0)}


class ModelOutput(NamedTuple):
    """A model's output for some rows: probabilities (n, 3) and decided classes (n,)."""

    probabilities: Floats
    decided: Integers


class Comparison(NamedTuple):
    """Intervals by model and score, and of the first model's scores minus those of each other."""

    models: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]


def compare(target: Integers, models: Mapping[str, ModelOutput], effective: float) -> Comparison:
    """Return the scores of several models on the same rows, with intervals.

    All models get the same weights, so the differences are paired. A difference is the first
    model's score minus the other's.

    Args:
        target: (n,) class numbers in order of time.
        models: output by model name.
        effective: number of independent rows.

    Raises:
        ValueError: for no models, or for values that are not probabilities of these rows.
    """
    if not models:
        raise ValueError("at least one model is needed to compare")
    for said in models.values():
        checked(target, said.probabilities)
    tallies = [tally_decided(target, *said) for said in models.values()]
    lucky = [
        _lucky(target, said.decided, tallied)
        for said, tallied in zip(models.values(), tallies, strict=True)
    ]
    sums = replicates(np.concatenate(tallies, 1), effective, np.concatenate(lucky, 1)).map(
        lambda means: means.reshape(*means.shape[:-1], -1, TALLIED)
    )
    told = {
        name: _ModelScores.of(
            sums.map(partial(np.take, indices=place, axis=-2)), said.decided, effective
        )
        for place, (name, said) in enumerate(models.items())
    }
    first, *others = told.values()
    return Comparison(
        {name: one.intervals() for name, one in told.items()},
        {name: first.minus(one) for name, one in zip([*told][1:], others, strict=True)},
    )


def scores_shaken(sums: Replicates) -> dict[str, Replicates]:
    """Return the scores of `classification_report` from means of `tally`, (..., TALLIED)."""
    parts = [scores_of(part) for part in sums if part is not None]
    return {name: Replicates(*(part[name] for part in parts)) for name in next(iter(parts))}


def _lucky(target: Integers, decided: Integers, tallied: Floats) -> Floats:
    """Return the rows' tally if each had the label of the row half the sample away.

    Losses are set to their mean: the rows themselves show how much they vary.
    """
    columns = np.empty_like(tallied)
    cell = np.roll(target, len(target) // 2) * len(CLASSES) + decided
    columns[:, :CELLS] = np.eye(CELLS)[cell]
    columns[:, CELLS:] = tallied[:, CELLS:].mean(axis=0)
    return columns


@dataclass(frozen=True, eq=False)
class _ModelScores:
    """Sums and scores of one model.

    Attributes:
        sums: (TALLIED,) means of the rows.
        scores: () by name.
        decided: (n,) classes.
        effective: number of independent rows.
    """

    sums: Replicates
    scores: dict[str, Replicates]
    decided: Integers
    effective: float

    @classmethod
    def of(cls, sums: Replicates, decided: Integers, effective: float) -> _ModelScores:
        return cls(sums, scores_shaken(sums), decided, effective)

    def intervals(self) -> dict[str, Interval]:
        return {name: self._interval(name) for name in self.scores}

    def minus(self, other: _ModelScores) -> dict[str, Interval]:
        return {name: self._difference(name, other) for name in self.scores}

    def _interval(self, name: str) -> Interval:
        if name == "ece":
            return self._calibration_error()
        if name not in _SCALES:
            return self._share(name)
        unseen = self._unlucky(name)
        found = interval(self.scores[name], self.effective, _SCALES[name], unseen)
        if name == "macro_f1":
            found = found.as_odds()
        limits = _LIMITS.get(name, (0.0, 1.0))
        if self._tells(name):
            return found.within(*limits)
        return found.limited(*limits, self._why(name))

    def _difference(self, name: str, other: _ModelScores) -> Interval:
        apart = self.scores[name].join(other.scores[name], np.subtract)
        unseen = self._unlucky(name) + other._unlucky(name)
        found = interval(apart, self.effective, unseen=unseen)
        why = self._why(name) or (other._why(name) and f"{other._why(name)} by the other")
        is_told = self._tells(name) and (other._tells(name) or other._is_known(name))
        if name not in ("log_loss", "brier", "ece"):
            differing = float((self.decided != other.decided).mean()) * self.effective
            if differing == 0:
                return interval(apart, self.effective)
            if is_told and differing < LEAST_APART:
                is_told, why = False, FEW_APART
        if is_told and name != "ece":
            return found
        low, high = _LIMITS.get(name, (0.0, 1.0))
        return found.limited(low - high, high - low, NO_SUCH if is_told else why)

    def _share(self, name: str) -> Interval:
        """Return the interval of accuracy or of a class's score; F1 is 2j / (1 + j) of share j."""
        cells = self.sums.map(lambda sums: sums[..., :CELLS].reshape(*sums.shape[:-1], 3, 3))
        if name == "accuracy":
            right = cells.map(lambda matrix: np.trace(matrix, axis1=-2, axis2=-1))
            counted = cells.map(lambda matrix: matrix.sum(axis=(-2, -1)))
            return share(right, counted, self.effective) or _unknown()
        kind, label = name.split("_")
        number = CLASSES.index(label.upper())
        right = cells.map(lambda matrix: matrix[..., number, number])
        came = cells.map(lambda matrix: matrix[..., number, :].sum(axis=-1))
        said = cells.map(lambda matrix: matrix[..., :, number].sum(axis=-1))
        either = came.join(said, np.add).join(right, np.subtract)
        counted = {"precision": said, "recall": came, "f1": either}[kind]
        found = share(right, counted, self.effective) or _unknown()
        if kind == "f1":
            value, low, high = (2 * end / (1 + end) for end in found[:3])
            found = Interval(value, low, high, found.enough)
        return found._replace(enough=found.enough and self._tells(name), why=self._why(name))

    def _calibration_error(self) -> Interval:
        """Return conservative bounds (above 95 %), because the calibration error is not smooth.

        Chance raises it by the mean size of the bins' errors under perfect calibration. How much of
        the observed value this is cannot be known, so the low end subtracts all of it.
        """
        score = self.scores["ece"]
        gaps = self.sums.map(lambda sums: sums[..., CELLS + 2 :])
        chance = math.sqrt(2 / math.pi) * float(np.sqrt(variance(gaps)).sum())
        value, reach = float(score.observed), float(half_width(score))
        found = Interval(value, max(value - chance - reach, 0.0), min(value + reach, 1.0))
        return found if self._tells("ece") else found.limited(0.0, 1.0)

    @property
    def matrix(self) -> Floats:
        """Return the confusion matrix as shares of all rows, (3, 3)."""
        return self.sums.observed[:CELLS].reshape(3, 3)

    def _is_known(self, name: str) -> bool:
        """Return whether a score is known exactly, as for a model that always decides one class."""
        return name in _SCALES and bool(np.ptp(self.decided) == 0)

    def _unlucky(self, name: str) -> float:
        """Return the variance of possible future hits, which the observed misses do not show.

        Few hits of a rare class change macro-F1: if luck would have had more than twice as many
        hits as observed, the missing ones up to half of luck's are counted. It is 0 for other
        scores.
        """
        if name != "macro_f1":
            return 0.0
        came, said, hits = self.matrix.sum(axis=1), self.matrix.sum(axis=0), self.matrix.diagonal()
        short = np.maximum(came * said / 2 - hits, 0) * self.effective
        by_hit = quotient(np.full(len(CLASSES), 2 / 3), (came + said) * self.effective)
        return float((short * by_hit**2).sum())

    def _tells(self, name: str) -> bool:
        """Return whether there are enough rows of every kind for a score."""
        if self.effective < FEWEST_ROWS:
            return False
        if name not in _SCALES and name not in ("accuracy", "ece"):
            return self._tells_of(CLASSES.index(name.split("_")[1].upper()))
        came, said = self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        is_absent = (came == 0) & (said == 0)  # as NEUTRAL is, if only moves are forecast
        has_classes = is_absent | (came * self.effective >= LEAST_OF_A_CLASS)
        if not has_classes.all():
            return False
        if name not in ("macro_f1", "mcc"):
            return True
        luck = came * said * self.effective
        if float(luck.sum() - luck[came.argmax()]) < LEAST_BY_LUCK:
            return False
        told = (said * self.effective >= LEAST_DECIDED) & (luck >= LEAST_BY_LUCK_EACH)
        untold = (said == 0) & (came * self.effective >= LEAST_UNDECIDED)
        return name == "mcc" or bool((told | untold | is_absent).all())

    def _why(self, name: str) -> str:
        """Return what a score lacks besides rows: a class never decided, or one that never came.

        Empty if rows are too few, or nothing is missing.
        """
        if self.effective < FEWEST_ROWS or name in ("accuracy", "log_loss", "brier", "ece"):
            return ""
        came, said = self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        absent, untold = (came == 0) & (said > 0), (said == 0) & (came > 0)
        if name in _SCALES:
            if (said > 0).sum() == 1:
                return f"only {CLASSES[int(said.argmax())]} decided"
            untold &= came * self.effective < LEAST_UNDECIDED
            untold &= name == "macro_f1"
        else:
            own = np.arange(len(CLASSES)) == CLASSES.index(name.split("_")[1].upper())
            absent, untold = own & (came == 0), own & untold
        parts = {"never came": absent, "never decided": untold}
        return "; ".join(f"{_classes(which)} {how}" for how, which in parts.items() if which.any())

    def _tells_of(self, number: int) -> bool:
        """Return the same for a score of one class, from the hits and misses expected by luck."""
        came, said = self.matrix[number].sum(), self.matrix[:, number].sum()
        by_luck = (came * said, came * (1 - said), said * (1 - came))
        least = min(by_luck) * self.effective
        return bool(
            least >= LEAST_BY_LUCK_OF_ONE and min(came, said) * self.effective >= FEWEST_COUNTED
        )


def _classes(which: Booleans) -> str:
    """Return names of classes from a mask (3,): `SELL and BUY`."""
    return " and ".join(name for name, is_one in zip(CLASSES, which, strict=True) if is_one)


def _unknown() -> Interval:
    """Return the interval of a score without rows, which is 0 by convention."""
    return Interval(0.0, 0.0, 1.0, False)
