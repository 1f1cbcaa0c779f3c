"""From what a model trained on weighted classes says to probabilities and a class.

A calibrator is a mapping, kept as `calibrator.json`. With `q` a row of what the booster says:

    p = q / class_weights; p = p / sum(p)
    z = slope * ln(max(p, floor)) + intercept
    calibrated = exp(z - max(z)) / sum(exp(z - max(z)))
    class = argmax(calibrated * decision_weights)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def untilt(tilted: Floats, class_weights: Sequence[float]) -> Floats:
    """Undo class weights of the training loss: `p` proportional to `q / w`, rows summing to 1.

    A model that minimises `-w[y] ln q[y]` tends to `q` proportional to `w * p(y | x)`.

    Args:
        tilted: what the model says, (n, classes).
        class_weights: the loss's weight of each class, above zero.

    Raises:
        ValueError: if the weights are not one positive number a class.
    """
    said, weights = np.asarray(tilted, dtype=np.float64), np.asarray(class_weights, np.float64)
    if weights.shape != said.shape[1:] or not (weights > 0).all():
        raise ValueError(f"{said.shape[1]} class weights above zero expected, got {class_weights}")
    lifted = said / weights
    return np.asarray(lifted / lifted.sum(axis=1, keepdims=True))


def tilt(probabilities: Floats, class_weights: Sequence[float]) -> Floats:
    """Return `q` proportional to `w * p`, rows summing to 1: what `untilt` undoes.

    Args:
        probabilities: (n, classes).
        class_weights: of each class, above zero.
    """
    lifted = np.asarray(probabilities, np.float64) * np.asarray(class_weights, np.float64)
    return np.asarray(lifted / lifted.sum(axis=1, keepdims=True))


def calibrate(tilted: Floats, calibrator: Mapping[str, Any]) -> Floats:
    """Undo the booster's class weights, then scale and shift each class's log-probability."""
    logs = log_probabilities(untilt(tilted, calibrator["class_weights"]), calibrator["floor"])
    scores = np.asarray(calibrator["slope"]) * logs + np.asarray(calibrator["intercept"])
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_probabilities(probabilities: Floats, floor: float) -> Floats:
    """Return logarithms, none below that of `floor`."""
    return np.asarray(np.log(np.maximum(probabilities, floor)))


def decide(probabilities: Floats, weights: Sequence[float] | None = None) -> Integers:
    """Return each row's class, the largest probability times weight; on a tie the lower number."""
    scores = probabilities if weights is None else probabilities * np.asarray(weights, np.float64)
    return np.asarray(np.argmax(scores, axis=1), dtype=np.int64)


def uncertainty(probabilities: Floats) -> Floats:
    """Return entropy over its largest value, (n,): 0 is sure, 1 knows nothing."""
    logs = log_probabilities(probabilities, float(np.finfo(np.float64).tiny))
    entropy = -(probabilities * logs).sum(axis=1) / np.log(probabilities.shape[1])
    return np.asarray(np.clip(entropy, 0.0, 1.0))
