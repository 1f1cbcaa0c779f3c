"""The map from what a booster says to a class, at the ends of its numbers and on ties."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantgod.served.calibration import calibrate, decide, log_probabilities, uncertainty, untilt
from quantgod.served.conformal import abstentions, actions, conformal_sets

SAID = np.array([[0.2, 0.5, 0.3], [0.0, 0.9, 0.1], [1 / 3, 1 / 3, 1 / 3], [1.0, 0.0, 0.0]])
KIND = {"class_weights": (0.5, 1.0, 2.0), "floor": 1e-3}


def written(row, slope, intercept):
    """The formula of the module's first lines, a number at a time, without its detour."""
    p = [q / weight for q, weight in zip(row, KIND["class_weights"], strict=True)]
    p = [max(value / sum(p), KIND["floor"]) for value in p]
    powers = [math.exp(a * math.log(q) + b) for q, a, b in zip(p, slope, intercept, strict=True)]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize(
    ("slope", "intercept"), [((1, 1, 1), (0, 0, 0)), ((1.5, 0.5, 2), (-1, 0.25, 3)), ([0] * 3,) * 2]
)
def test_it_is_the_formula_that_is_written_down(slope, intercept):
    found = calibrate(SAID, {**KIND, "slope": slope, "intercept": intercept})
    np.testing.assert_allclose(
        found, [written(row, slope, intercept) for row in SAID.tolist()], rtol=1e-12
    )
    weights = np.array(KIND["class_weights"])
    lifted = SAID / weights
    np.testing.assert_allclose(untilt(SAID, weights.tolist()), lifted / lifted.sum(1)[:, None])


@pytest.mark.parametrize("shift", [-2_000.0, 500.0, 2_000.0])
def test_a_shift_of_all_classes_changes_nothing_and_overflows_nowhere(shift):
    plain = {**KIND, "slope": [1.0] * 3, "intercept": [0.0, 0.5, 1.0]}
    shifted = {**plain, "intercept": [shift, shift + 0.5, shift + 1.0]}
    np.testing.assert_allclose(calibrate(SAID, shifted), calibrate(SAID, plain), rtol=1e-9)


def test_no_logarithm_lies_below_that_of_the_floor():
    found = log_probabilities(np.array([[0.0, 1e-3, 0.5, 1e-9]]), 1e-3)
    assert found[0].tolist() == [math.log(1e-3)] * 2 + [math.log(0.5), math.log(1e-3)]


def test_the_largest_decides_the_lower_number_on_a_tie_and_each_row_for_itself():
    probabilities = np.array([[0.4, 0.4, 0.2], [0.1, 0.3, 0.6], [0.2, 0.4, 0.4]])
    assert decide(probabilities).tolist() == [0, 2, 1]
    assert decide(probabilities, (1.0, 1.0, 1.0)).tolist() == [0, 2, 1]
    assert decide(probabilities, (1.0, 2.0, 0.5)).tolist() == [1, 1, 1]
    assert decide(probabilities, (0.1, 0.1, 4.0)).tolist() == [2, 2, 2]
    assert decide(np.empty((0, 3))).tolist() == []


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_uncertainty_is_entropy_by_its_largest_and_never_beyond(classes):
    rows = np.zeros((4, classes))
    rows[0] = 1 / classes
    rows[1, 0] = 1
    rows[2, :2] = 0.5
    rows[3, :2] = 0.25, 0.75
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    expected = [1, 0, math.log(2) / math.log(classes), quarter / math.log(classes)]
    assert uncertainty(rows) == pytest.approx(expected)
    assert uncertainty(np.full((1, classes), 0.4)).tolist() == [1]
    assert uncertainty(np.eye(classes)[:1] * (1 + 1e-9)).tolist() == [0]


def test_a_set_holds_what_reaches_the_threshold_exactly():
    below = np.nextafter(0.3, 0)
    holds = conformal_sets(np.array([[0.3, below, 0.4], [below, below, 0.3]]), 0.3)
    assert holds.tolist() == [[True, False, True], [False, False, True]]
    decided = np.array([0, 2])
    acted = actions(decided, holds, 1)
    assert acted.tolist() == [1, 2]
    why = abstentions(decided, holds, acted, has_threshold=True)
    assert why.tolist() == ["several_classes", ""] and why.dtype == object
