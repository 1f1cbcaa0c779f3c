"""Compute the confusion matrix, and precision, recall and F1 from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quantgod.contracts import CLASSES, Floats, Integers


def confusion_matrix(
    target: npt.NDArray[np.integer[Any]], predicted: npt.NDArray[np.integer[Any]]
) -> Integers:
    """Return counts (3, 3): row = true class, column = predicted class."""
    classes = len(CLASSES)
    pairs = target.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def precision_recall_f1(matrix: npt.NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1 of each class, (..., 3) each, of matrices (..., 3, 3).

    A class that never occurs or is never predicted has 0, and still counts in a mean over classes.
    """
    hits = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    said, was = matrix.sum(axis=-2), matrix.sum(axis=-1)
    return share(hits, said), share(hits, was), share(2 * hits, said + was)


def share(part: Any, whole: Any) -> Any:
    """Return part / whole of arrays or numbers, and 0 where whole is not above 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
