"""Fit, save and load the map from the booster's output to calibrated probabilities.

`served/calibration.py` applies it: undo the tilt of the class weights in the training loss, then
correct the rest with a small map fitted on rows that no model was fitted on.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from quantgod.contracts import CLASSES, Floats, Integers
from quantgod.files import write_json
from quantgod.served.calibration import calibrate, decide, log_probabilities, untilt

Weights = tuple[float, float, float]

FORMAT = 1
FLOOR = 1e-12
"""Smaller probabilities are raised to this: a logarithm of zero would rule out a class for good."""

PRIOR_DEVIATION = 0.5
"""Prior standard deviation of slopes and intercepts around the identity."""


class CalibratorError(ValueError):
    """A calibrator file does not hold what this version expects."""


@dataclass(frozen=True)
class Calibrator:
    """Untilting, then vector scaling: a slope and an intercept for each class's log-probability.

    Vector scaling as in Guo et al. (2017), "On Calibration of Modern Neural Networks", section 4.2,
    on log-probabilities in place of logits.
    """

    class_weights: Weights
    decision_weights: Weights
    slope: Weights = (1.0, 1.0, 1.0)
    intercept: Weights = (0.0, 0.0, 0.0)
    reason: str | None = None
    """Why this is the identity, or None when it was fitted."""

    def apply(self, probs: Floats) -> Floats:
        """Turn the booster's probabilities into calibrated ones."""
        return calibrate(probs, {**asdict(self), "floor": FLOOR})

    def decide(self, calibrated: Floats) -> Integers:
        """Class of each row of calibrated probabilities."""
        return decide(calibrated, self.decision_weights)

    def save(self, path: Path) -> None:
        """Write `calibrator.json`, atomically."""
        value = {
            "format": FORMAT,
            "kind": "vector_scaling",
            "classes": list(CLASSES),
            "class_weights": list(self.class_weights),
            "slope": list(self.slope),
            "intercept": list(self.intercept),
            "floor": FLOOR,
            "decision_weights": list(self.decision_weights),
            "reason": self.reason,
        }
        write_json(path, value)


def fit_calibrator(
    probs: Floats,
    target: Integers,
    weight: Floats,
    class_weights: Weights,
    decision_weights: Weights,
) -> Calibrator:
    """Fit the calibrator on held-out rows; with too few rows it stays near the identity.

    Slopes and intercepts are the maximum a posteriori under normal priors around the identity
    (standard deviation `PRIOR_DEVIATION`), with each row weighted by `weight`. Uniqueness as weight
    makes overlapping rows count by their information: a few independent hours move the map a
    little, many move it freely. The problem is convex.

    Args:
        probs: the booster's tilted probabilities.
        target: class numbers.
        weight: uniqueness of each row; their sum is the effective sample size.
        class_weights: of the loss that tilted `probs`.
        decision_weights: see `decide`; stored with the map, not fitted.
    """
    missing = [name for number, name in enumerate(CLASSES) if not (target == number).any()]
    if missing:
        reason = f"no held-out row of class {', '.join(missing)}: nothing to calibrate on"
        return Calibrator(class_weights, decision_weights, reason=reason)
    logs = log_probabilities(untilt(probs, class_weights), FLOOR)
    start = np.concatenate([np.ones(len(CLASSES)), np.zeros(len(CLASSES))])
    found = minimize(
        _posterior, start, args=(logs, target, weight, start), jac=True, method="L-BFGS-B"
    )
    if not (found.success and np.isfinite(found.x).all()):
        reason = f"the fit did not settle: {found.message}"
        return Calibrator(class_weights, decision_weights, reason=reason)
    slope, intercept = found.x[: len(CLASSES)], found.x[len(CLASSES) :]
    return Calibrator(class_weights, decision_weights, _triple(slope), _triple(intercept))


def load_calibrator(path: Path) -> Calibrator:
    """Read what `Calibrator.save` wrote.

    Raises:
        CalibratorError: if it is not JSON, or a key or number is not as expected.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CalibratorError(f"{path}: is not JSON: {error}") from None
    known = {"format": FORMAT, "kind": "vector_scaling", "classes": list(CLASSES), "floor": FLOOR}
    if not isinstance(value, dict):
        raise CalibratorError(f"calibrator: a mapping was expected, got {type(value).__name__}")
    for key, expected in known.items():
        if value.get(key) != expected:
            raise CalibratorError(
                f"calibrator {key}: {expected!r} expected, got {value.get(key)!r}"
            )
    names = ("class_weights", "decision_weights", "slope", "intercept")
    triples = {name: _checked_triple(name, value.get(name)) for name in names}
    return Calibrator(**triples, reason=value.get("reason"))


def _posterior(
    theta: Floats, logs: Floats, target: Integers, weight: Floats, prior: Floats
) -> tuple[float, Floats]:
    """Return the negative log posterior (up to a constant) and its gradient."""
    slope, intercept = np.split(theta, 2)
    said = log_softmax(slope * logs + intercept, axis=1)
    error = np.exp(said) - np.eye(len(CLASSES))[target]
    weighted = error * weight[:, None]
    away = (theta - prior) / PRIOR_DEVIATION
    loss = -(weight * said[np.arange(len(target)), target]).sum() + (away**2).sum() / 2
    gradient = np.concatenate([(weighted * logs).sum(axis=0), weighted.sum(axis=0)])
    return float(loss), gradient + away / PRIOR_DEVIATION


def _triple(values: Floats) -> Weights:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _checked_triple(name: str, values: Any) -> Weights:
    numbers = isinstance(values, list) and all(isinstance(value, int | float) for value in values)
    if not numbers or len(values) != len(CLASSES) or not np.isfinite(values).all():
        raise CalibratorError(f"calibrator {name}: three finite numbers expected, got {values!r}")
    return _triple(np.asarray(values, dtype=np.float64))
