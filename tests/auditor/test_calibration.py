import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import log_loss

from quantgod.auditor.calibration import (
    Calibrator,
    CalibratorError,
    _posterior,
    fit_calibrator,
    load_calibrator,
)
from quantgod.served.calibration import decide, untilt

TILT = (2.0, 1.0, 2.0)
SIMPLEX = hnp.arrays(np.float64, (5, 3), elements=st.floats(1e-6, 1.0)).map(
    lambda x: x / x.sum(axis=1, keepdims=True)
)


def known_market(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities, mostly NEUTRAL, and classes drawn from them."""
    rng = np.random.default_rng(seed)
    scores = rng.normal([0.0, 2.0, 0.0], 1.0, (rows, 3))
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    drawn = (rng.random((rows, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    return probs, np.minimum(drawn, 2)


def tilted(probs: np.ndarray) -> np.ndarray:
    said = probs * TILT
    return said / said.sum(axis=1, keepdims=True)


@given(SIMPLEX, st.tuples(*[st.floats(0.1, 10)] * 3))
def test_untilting_undoes_the_tilt(probs, weights):
    said = probs * weights
    said /= said.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(untilt(said, weights), probs, atol=1e-12)


def test_untilting_gives_back_the_neutral_share_that_the_weights_took():
    said = tilted(np.array([[0.115, 0.77, 0.115]]))
    assert said[0, 1] == pytest.approx(0.626, abs=5e-4)  # the figure of the facts
    assert untilt(said, TILT)[0, 1] == pytest.approx(0.77)


@pytest.mark.parametrize("weights", [(1.0, 2.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0)])
def test_weights_that_cannot_tilt_are_refused(weights):
    with pytest.raises(ValueError, match="class weights above zero"):
        untilt(np.full((1, 3), 1 / 3), weights)


def test_untilting_alone_improves_a_model_that_is_only_tilted():
    probs, target = known_market(8_000)
    losses = [log_loss(target, p) for p in (tilted(probs), untilt(tilted(probs), TILT))]
    assert losses[1] < losses[0] - 0.02


def test_a_tilted_and_overconfident_model_is_set_right_on_rows_it_never_saw():
    probs, target = known_market(8_000)
    sure = probs**2 / (probs**2).sum(axis=1, keepdims=True)
    said, fit, seen = tilted(sure), slice(0, 4_000), slice(4_000, None)
    calibrator = fit_calibrator(said[fit], target[fit], np.ones(4_000), TILT, TILT)
    assert calibrator.reason is None
    assert calibrator.slope == pytest.approx([0.5] * 3, abs=0.1)
    loss = [
        log_loss(target[seen], p[seen])
        for p in (said, untilt(said, TILT), calibrator.apply(said), probs)
    ]
    assert loss[2] < min(loss[0], loss[1]) - 0.05
    assert loss[2] == pytest.approx(loss[3], abs=0.005)  # as good as the truth itself


def test_what_is_already_calibrated_is_left_alone():
    probs, target = known_market(4_000)
    calibrator = fit_calibrator(tilted(probs), target, np.ones(4_000), TILT, TILT)
    np.testing.assert_allclose(calibrator.apply(tilted(probs)), probs, atol=0.04)


def test_few_effective_rows_hardly_move_the_map():
    probs, target = known_market(600)
    few, many = (
        fit_calibrator(tilted(probs[:, ::-1]), target, np.full(600, w), TILT, TILT)
        for w in (1 / 600, 1.0)
    )
    away = [np.abs(np.subtract(c.slope, 1)).max() for c in (few, many)]
    assert away[0] < 0.05 < away[1]


def test_without_a_row_of_some_class_it_is_the_identity_and_says_why():
    probs, target = known_market(300)
    calibrator = fit_calibrator(tilted(probs), np.minimum(target, 1), np.ones(300), TILT, TILT)
    assert calibrator.reason is not None
    assert "BUY" in calibrator.reason
    np.testing.assert_allclose(calibrator.apply(tilted(probs)), probs, atol=1e-9)


def test_no_rows_at_all_give_the_identity():
    calibrator = fit_calibrator(np.empty((0, 3)), np.empty(0, np.int64), np.empty(0), TILT, TILT)
    assert calibrator.slope == (1, 1, 1)
    assert calibrator.reason is not None


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(np.float64, (9, 3), elements=st.sampled_from([0.0, 1e-30, 1e-3, 0.5, 1.0])),
    st.floats(1e-6, 1e6),
)
def test_even_absurd_rows_leave_a_map_that_gives_probabilities(raw, weight):
    probs = (raw + 1e-15) / (raw + 1e-15).sum(axis=1, keepdims=True)
    calibrator = fit_calibrator(probs, np.arange(9) % 3, np.full(9, weight), TILT, TILT)
    out = calibrator.apply(np.array([[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]]))
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out.sum(axis=1), 1)


def test_the_decision_weighs_probabilities():
    probs = np.array([[0.3, 0.5, 0.2], [0.2, 0.6, 0.2], [0.25, 0.5, 0.25]])
    assert list(decide(probs, TILT)) == [0, 1, 0]  # the last is a tie: the lower number


def test_a_saved_calibrator_comes_back_and_can_be_applied_by_its_description(tmp_path):
    probs, target = known_market(500)
    calibrator = fit_calibrator(tilted(probs), target, np.ones(500), TILT, (1.0, 1.0, 1.5))
    calibrator.save(tmp_path / "calibrator.json")
    assert load_calibrator(tmp_path / "calibrator.json") == calibrator

    said = json.loads((tmp_path / "calibrator.json").read_text())
    p = tilted(probs) / said["class_weights"]
    p = p / p.sum(axis=1, keepdims=True)
    z = said["slope"] * np.log(np.maximum(p, said["floor"])) + said["intercept"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    calibrated = e / e.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(calibrated, calibrator.apply(tilted(probs)), atol=1e-14)
    chosen = np.argmax(calibrated * said["decision_weights"], axis=1)
    assert np.array_equal(chosen, calibrator.decide(calibrated))


TRIPLES = ("class_weights", "decision_weights", "slope", "intercept")
NOT_FINITE = (float("nan"), float("inf"), -float("inf"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("kind", "isotonic"),
        ("classes", ["BUY", "NEUTRAL", "SELL"]),
        ("slope", [1.0, 2.0]),
        ("slope", "111"),
        ("intercept", [1.0, 2.0, "3"]),
        *((key, [1.0, value, 2.0]) for key in TRIPLES for value in NOT_FINITE),
    ],
)
def test_a_calibrator_that_says_something_else_is_refused_by_key(tmp_path, key, value):
    path = tmp_path / "calibrator.json"
    Calibrator(TILT, TILT).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(CalibratorError, match=key):
        load_calibrator(path)


def test_a_calibrator_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "calibrator.json").write_text("{")
    with pytest.raises(CalibratorError, match="not JSON"):
        load_calibrator(tmp_path / "calibrator.json")


def test_the_posterior_is_the_one_written_out_and_its_gradient_its_slope():
    rng = np.random.default_rng(3)
    logs, target, weight = rng.normal(size=(7, 3)), np.arange(7) % 3, rng.uniform(0.1, 2, 7)
    prior = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])

    def written_out(theta):
        loss = 0.0
        for row, truth, weighs in zip(logs, target, weight, strict=True):
            scores = [theta[k] * row[k] + theta[3 + k] for k in range(3)]
            loss -= weighs * (scores[truth] - np.log(np.exp(scores).sum()))
        return loss + ((theta - prior) ** 2 / (2 * 0.5**2)).sum()

    theta = prior + rng.normal(size=6)
    loss, gradient = _posterior(theta, logs, target, weight, prior)
    assert loss == pytest.approx(written_out(theta))
    for place in range(6):
        step = 1e-6 * np.eye(6)[place]
        slope = (written_out(theta + step) - written_out(theta - step)) / 2e-6
        assert gradient[place] == pytest.approx(slope, rel=1e-5)
