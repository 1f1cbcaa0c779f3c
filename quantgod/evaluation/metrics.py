"""Scores of a classifier: arrays in, numbers out.

Throughout, `target` is (n,) class numbers in the order of `CLASSES`, `predicted` likewise, and
`probabilities` is (n, 3) with rows that sum to one. A class that never occurs scores 0 and still
counts in a mean, so a collapsed model cannot hide behind the classes it leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quantgod.contracts import CLASSES

CALIBRATION_BINS: Final = 15
_SMALLEST: Final = float(np.finfo(np.float64).eps)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
AnyIntegers = npt.NDArray[np.integer[Any]]
AnyFloats = npt.NDArray[np.floating[Any]]


def classification_report(
    target: AnyIntegers,
    probabilities: AnyFloats,
    decision_weights: Sequence[float] | None = None,
) -> dict[str, float]:
    """Every score under a flat name that MLflow takes as it is.

    Args:
        target: (n,) class numbers.
        probabilities: (n, 3).
        decision_weights: as in `decide`; none means the likeliest class. They move the scores of
            decided classes and leave log-loss, Brier score and calibration error alone.

    Returns:
        `macro_f1, mcc, accuracy, log_loss, brier, ece`, and `precision_`, `recall_` and `f1_` of
        each class (`precision_sell`, ...).

    Raises:
        ValueError: for no rows, unequal lengths, or what are no probabilities.
    """
    target, probabilities = checked(target, probabilities)
    matrix = confusion_matrix(target, decide(probabilities, decision_weights))
    precision, recall, f1 = precision_recall_f1(matrix)
    report = {
        "macro_f1": float(f1.mean()),
        "mcc": matthews_correlation(matrix),
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "log_loss": log_loss(target, probabilities),
        "brier": brier_score(target, probabilities),
        "ece": calibration_error(target, probabilities),
    }
    for number, name in enumerate(CLASSES):
        report[f"precision_{name.lower()}"] = float(precision[number])
        report[f"recall_{name.lower()}"] = float(recall[number])
        report[f"f1_{name.lower()}"] = float(f1[number])
    return report


def decide(probabilities: AnyFloats, weights: Sequence[float] | None = None) -> Integers:
    """The class of each row: argmax of probability times weight; on a tie the lower number."""
    scores = probabilities if weights is None else probabilities * np.asarray(weights, np.float64)
    decided: Integers = np.argmax(scores, axis=1).astype(np.int64)
    return decided


def confusion_matrix(target: AnyIntegers, predicted: AnyIntegers) -> Integers:
    """(3, 3) counts: row = what was, column = what was said."""
    classes = len(CLASSES)
    pairs = target.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def macro_f1(target: AnyIntegers, predicted: AnyIntegers) -> float:
    """The mean F1 of the three classes, each counting alike."""
    return float(precision_recall_f1(confusion_matrix(target, predicted))[2].mean())


def precision_recall_f1(matrix: Integers) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1, (3,) each; 0 for a class that never was or was never said."""
    hits = np.diag(matrix).astype(np.float64)
    said, was = matrix.sum(axis=0), matrix.sum(axis=1)
    return _ratio(hits, said), _ratio(hits, was), _ratio(2 * hits, said + was)


def matthews_correlation(matrix: Integers) -> float:
    """The multi-class Matthews correlation (R_K of Gorodkin, 2004); 0 where a side is constant."""
    total = float(matrix.sum())
    said, was = matrix.sum(axis=0).astype(np.float64), matrix.sum(axis=1).astype(np.float64)
    covariance = np.trace(matrix) * total - said @ was
    spread = (total**2 - said @ said) * (total**2 - was @ was)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def log_loss(target: AnyIntegers, probabilities: AnyFloats) -> float:
    """Mean of -ln p(what happened), in nats.

    p is held above 2.2e-16, so that a certainty that fails costs 36 and not infinity.
    """
    happened = probabilities[np.arange(len(target)), target].astype(np.float64)
    return float(-np.log(np.maximum(happened, _SMALLEST)).mean())


def brier_score(target: AnyIntegers, probabilities: AnyFloats) -> float:
    """Mean squared distance to the one-hot truth, summed over classes: 0 to 2 (Brier, 1950)."""
    truth = np.eye(len(CLASSES))[target]
    return float(np.square(probabilities - truth).sum(axis=1).mean())


def calibration_error(
    target: AnyIntegers, probabilities: AnyFloats, bins: int = CALIBRATION_BINS
) -> float:
    """Expected calibration error of the likeliest class (Guo et al., 2017).

    Rows fall into `bins` bins of equal width by their highest probability, bin k holding
    (k/bins, (k+1)/bins]; the error is the mean over rows of their bin's |accuracy - confidence|.
    It is never negative, so chance alone lifts it: about 0.4/sqrt(rows a bin) where calibration is
    perfect and confidence near one half.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == target
    bin_of = np.searchsorted(np.arange(1, bins) / bins, confidence)
    gap = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(target))


def checked(target: AnyIntegers, probabilities: AnyFloats) -> tuple[Integers, Floats]:
    """The same two as int64 and float64, once they are known to fit together.

    Raises:
        ValueError: saying what does not fit.
    """
    if not len(target) or probabilities.shape != (len(target), len(CLASSES)):
        raise ValueError(
            f"one row of {len(CLASSES)} probabilities a target is needed, and at least one; got "
            f"{len(target)} targets and probabilities of shape {probabilities.shape}"
        )
    if target.min() < 0 or target.max() >= len(CLASSES):
        raise ValueError(
            f"classes are 0 to {len(CLASSES) - 1}; got {target.min()} to {target.max()}"
        )
    sums = probabilities.sum(axis=1)
    if not (probabilities >= 0).all() or not (np.abs(sums - 1) < 1e-4).all():
        raise ValueError("probabilities must not be negative or NaN, and each row must sum to one")
    return target.astype(np.int64), probabilities.astype(np.float64)


def _ratio(part: Floats, whole: Integers) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
