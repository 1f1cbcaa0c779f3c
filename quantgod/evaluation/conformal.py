"""Conformal sets: the classes that cannot be ruled out without erring more often than promised.

Split conformal prediction with the score of Sadinle, Lei and Wasserman (2019), "Least ambiguous
set-valued classifiers with bounded error levels": a class is in the set if its probability reaches
a threshold, which is such that on rows kept back for this the class that came was in the set as
often as promised. Where new rows are exchangeable with those, it is so there too, whatever the
model. A model that is sure gives sets of one class; where its set has none or several, it abstains.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.auditor.audit import CALIBRATION, STOPPING
from quantgod.contracts import CLASSES
from quantgod.evaluation.bootstrap import ratio_intervals
from quantgod.evaluation.evidence import Coverage

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

NEUTRAL = CLASSES.index("NEUTRAL")


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """The set of each row.

    Attributes:
        holds: (n, 3) whether a class is in it.
        threshold: the probability from which on it is; 0 where too few rows were kept back.
    """

    holds: Booleans
    threshold: float


def kept_back(out_of_fold: pd.DataFrame) -> pd.DataFrame:
    """The out-of-fold rows that a threshold is taken from: those that no tree was fitted on.

    They have stopped the booster, or the calibrator's six numbers were fitted on them, purged from
    one another. Rows of the first kind alone have been fitted to by nothing, and are half as many:
    on simulated overlapping labels the coverage of the next rows lay 4.3 points (root mean square)
    off 90 % with 150 rows of one kind and 2.1 points with 600; with both kinds 3.2 and 1.5, of
    which 0.9 and 0.3 are what the six numbers flatter themselves.
    """
    return out_of_fold[out_of_fold["part"].isin([STOPPING, CALIBRATION])]


def conformal_sets(target: Integers, said: Floats, asked: Floats, level: float) -> ConformalSets:
    """Sets for `asked`, by what was said of rows kept back and what came of them.

    With no more than 1 / (1 - level) rows kept back no threshold can promise the level. Then every
    set holds every class: the promise is kept by never saying anything.

    Args:
        target: (m,) classes of the rows kept back.
        said: (m, 3) their probabilities.
        asked: (n, 3) probabilities of the rows whose sets are wanted.
        level: the share of rows whose set is to hold their class.
    """
    if len(target) <= max(1 / level, 1 / (1 - level)):
        return ConformalSets(np.ones(asked.shape, dtype=bool), 0.0)
    # Imported here, since it takes a second and only an evaluation needs it.
    from mapie.classification import (  # type: ignore[import-untyped]  # noqa: PLC0415
        SplitConformalClassifier,
    )
    from mapie.conformity_scores import (  # type: ignore[import-untyped]  # noqa: PLC0415
        LACConformityScore,
    )

    score = LACConformityScore()
    classifier = SplitConformalClassifier(_Said(), level, score, prefit=True)
    with warnings.catch_warnings():
        # The threshold is one for all classes, so a class that is missing takes nothing from it.
        warnings.filterwarnings("ignore", "WARNING: your conformalization dataset has less labels")
        classifier.conformalize(said, target)
    _, sets = classifier.predict_set(asked)
    return ConformalSets(sets[:, :, 0], float(1 - score.quantiles_[0]))


def actions(decided: Integers, holds: Booleans) -> Integers:
    """The decided class (n,) where the set (n, 3) holds it and no other, else NEUTRAL."""
    alone = holds[np.arange(len(decided)), decided] & (holds.sum(axis=1) == 1)
    return np.where(alone, decided, NEUTRAL)


def coverage(
    target: Integers, sets: ConformalSets, level: float, block: int, rounds: int, seed: int
) -> Coverage:
    """How often the sets held the class that came, beside what was promised.

    Args:
        target: (n,) what came.
        sets: of the same rows, in order of time.
        level: what was promised.
        block: rows a block of the bootstrap.
        rounds: redraws.
        seed: of the redraws.
    """
    held = sets.holds[np.arange(len(target)), target].astype(np.float64)
    sizes = sets.holds.sum(axis=1)
    found = ratio_intervals({"": (held, np.ones(len(held)))}, block, rounds, seed)[""]
    return Coverage(
        promised=level,
        found=found,
        threshold=sets.threshold,
        singletons=float((sizes == 1).mean()),
        empty=float((sizes == 0).mean()),
    )


class _Said:
    """What the library takes for a fitted classifier: its features are the probabilities."""

    def __init__(self) -> None:
        self.classes_ = np.arange(len(CLASSES))

    def fit(self, probabilities: Floats, target: Integers) -> _Said:
        return self

    def predict(self, probabilities: Floats) -> Integers:
        return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)

    def predict_proba(self, probabilities: Floats) -> Floats:
        return probabilities

    def __sklearn_is_fitted__(self) -> bool:
        return True
