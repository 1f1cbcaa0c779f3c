"""Compute scores of a classifier.

`target` and `predicted` are class numbers (n,) in the order of `CLASSES`, and `probabilities` is
(n, 3) with rows that sum to one. A class that never occurs scores 0 and still counts in a mean, so
a collapsed model cannot hide the classes it leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quantgod.contracts import CLASSES, Floats, Integers
from quantgod.served.calibration import decide
from quantgod.training.confusion import confusion_matrix, precision_recall_f1, share

KEY_SCORES: Final = ("macro_f1", "mcc", "log_loss")
"""Scores that compare runs and versions. MLflow draws a chart of each metric, so the other scores
are only in a run's files."""
LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "ece"})
CALIBRATION_BINS: Final = 15
CELLS: Final = len(CLASSES) ** 2
"""Number of columns of `tally` for the confusion matrix; they come first."""
TALLIED: Final = CELLS + 2 + CALIBRATION_BINS
"""Number of columns of `tally`."""

_ROUNDING: Final = 1e-12
_SMALLEST: Final = float(np.finfo(np.float64).eps)
WORST_LOSS: Final = -math.log(_SMALLEST)
"""The log-loss of a label that was given no probability."""

AnyIntegers = npt.NDArray[np.integer[Any]]
AnyFloats = npt.NDArray[np.floating[Any]]
AnyNumbers = npt.NDArray[Any]


def classification_report(
    target: AnyIntegers,
    probabilities: AnyFloats,
    decision_weights: Sequence[float] | None = None,
) -> dict[str, float]:
    """Return every score under a flat name that is valid in MLflow.

    Args:
        target: (n,) class numbers.
        probabilities: (n, 3).
        decision_weights: as in `decide`; None takes the likeliest class. They affect scores of
            decided classes, but not log-loss, Brier score and calibration error.

    Returns:
        `macro_f1, mcc, accuracy, log_loss, brier, ece`, and `precision_`, `recall_` and `f1_` of
        each class (`precision_sell`, ...).

    Raises:
        ValueError: for no rows, unequal lengths, or values that are not probabilities.
    """
    sums = tally(target, probabilities, decision_weights).sum(axis=0)
    return {name: float(score) for name, score in scores_of(sums).items()}


def tally(
    target: AnyIntegers,
    probabilities: AnyFloats,
    decision_weights: Sequence[float] | None = None,
) -> Floats:
    """Return each row's contribution to every score, (n, TALLIED); scores need only its sums.

    So weighted rows can be summed without scoring them again. Columns: the cells of the confusion
    matrix, log-loss, squared distance, and correctness minus confidence in the calibration bins.

    Raises:
        ValueError: as `classification_report` does.
    """
    target, probabilities = checked(target, probabilities)
    return tally_decided(target, probabilities, decide(probabilities, decision_weights))


def tally_decided(target: Integers, probabilities: Floats, decided: Integers) -> Floats:
    """Return the same for classes already decided, without checks."""
    cell = target * len(CLASSES) + decided
    gap, bin_of = _calibration_gap(target, probabilities, CALIBRATION_BINS)
    parts = (
        np.eye(CELLS)[cell],
        losses(target, probabilities)[:, None],
        _squares(target, probabilities)[:, None],
        np.eye(CALIBRATION_BINS)[bin_of] * gap[:, None],
    )
    return np.concatenate(parts, axis=1)


def scores_of(sums: Floats) -> dict[str, Floats]:
    """Return the scores of `classification_report` from sums of `tally`, (..., TALLIED)."""
    cells, gaps = sums[..., :CELLS], sums[..., CELLS + 2 :]
    rows = cells.sum(axis=-1)
    matrix = cells.reshape(*sums.shape[:-1], len(CLASSES), len(CLASSES))
    precision, recall, f1 = precision_recall_f1(matrix)
    scores = {
        "macro_f1": f1.mean(axis=-1),
        "mcc": matthews_correlations(matrix),
        "accuracy": np.trace(matrix, axis1=-2, axis2=-1) / rows,
        "log_loss": sums[..., CELLS] / rows,
        "brier": sums[..., CELLS + 1] / rows,
        "ece": np.abs(gaps).sum(axis=-1) / rows,
    }
    for number, name in enumerate(CLASSES):
        scores[f"precision_{name.lower()}"] = precision[..., number]
        scores[f"recall_{name.lower()}"] = recall[..., number]
        scores[f"f1_{name.lower()}"] = f1[..., number]
    return scores


def macro_f1(target: AnyIntegers, predicted: AnyIntegers) -> float:
    """Return the unweighted mean of the F1 of the three classes."""
    return float(precision_recall_f1(confusion_matrix(target, predicted))[2].mean())


def matthews_correlation(matrix: AnyNumbers) -> float:
    """Return the multi-class Matthews correlation (R_K of Gorodkin, 2004), or 0 if undefined."""
    return float(matthews_correlations(matrix))


def matthews_correlations(matrices: AnyNumbers) -> Floats:
    """Return the same for many confusion matrices, (..., 3, 3)."""
    matrices = matrices.astype(np.float64)
    hits, total = np.trace(matrices, axis1=-2, axis2=-1), matrices.sum(axis=(-2, -1))
    said, was = matrices.sum(axis=-2), matrices.sum(axis=-1)
    covariance = hits * total - (said * was).sum(axis=-1)
    spread = (total**2 - (said**2).sum(axis=-1)) * (total**2 - (was**2).sum(axis=-1))
    # Weighted counts are not whole numbers: with one class only rounding errors remain.
    is_constant = spread <= _ROUNDING * total**4
    correlations: Floats = share(covariance, np.where(is_constant, 0.0, np.sqrt(np.abs(spread))))
    return correlations


def log_loss(target: AnyIntegers, probabilities: AnyFloats) -> float:
    """Return the mean of -ln p(true class), in nats.

    p is at least 2.2e-16, so that a wrong certainty costs 36 and not infinity.
    """
    return float(losses(target, probabilities).mean())


def brier_score(target: AnyIntegers, probabilities: AnyFloats) -> float:
    """Return the mean squared distance to the one-hot truth, 0 to 2 (Brier, 1950)."""
    return float(_squares(target, probabilities).mean())


def calibration_error(
    target: AnyIntegers, probabilities: AnyFloats, bins: int = CALIBRATION_BINS
) -> float:
    """Return the expected calibration error of the likeliest class (Guo et al., 2017).

    Rows are put into `bins` bins of equal width by their highest probability, bin k being
    (k/bins, (k+1)/bins]; the error is the mean over rows of their bin's |accuracy - confidence|. It
    is never negative, so chance alone raises it: by about 0.4/sqrt(rows per bin) under perfect
    calibration and confidence near one half.
    """
    gap, bin_of = _calibration_gap(target, probabilities, bins)
    return float(np.abs(np.bincount(bin_of, gap, minlength=bins)).sum() / len(target))


def checked(target: AnyIntegers, probabilities: AnyFloats) -> tuple[Integers, Floats]:
    """Check that both arrays fit together and return them as int64 and float64.

    Raises:
        ValueError: naming what does not fit.
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


def losses(target: AnyIntegers, probabilities: AnyFloats) -> Floats:
    """Return -ln p(true class) of each row, (n,); see `log_loss`."""
    happened = probabilities[np.arange(len(target)), target].astype(np.float64)
    losses: Floats = -np.log(np.maximum(happened, _SMALLEST))
    return losses


def _squares(target: AnyIntegers, probabilities: AnyFloats) -> Floats:
    squares: Floats = np.square(probabilities - np.eye(len(CLASSES))[target]).sum(axis=1)
    return squares


def _calibration_gap(
    target: AnyIntegers, probabilities: AnyFloats, bins: int
) -> tuple[Floats, Integers]:
    """Return correctness minus confidence of each row's likeliest class, and its bin."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == target
    return correct - confidence, np.searchsorted(np.arange(1, bins) / bins, confidence)
