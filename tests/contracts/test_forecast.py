"""A forecast says the same in its parts, whoever made it."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.contracts import PRIMARY, Forecast, forecast_of
from quantgod.served.calibration import untilt

TILTED = np.random.default_rng(3).dirichlet([1, 2, 1], (5, 2))
WEIGHTS = (2.0, 1.0, 3.0)


def test_probabilities_are_untilted_at_every_horizon_and_decisions_are_by_the_tilted() -> None:
    said = forecast_of(TILTED, WEIGHTS)
    assert len(said) == 5 and said.tilted is TILTED
    for horizon in (0, 1):
        expected = untilt(TILTED[:, horizon], WEIGHTS)
        assert said.probabilities[:, horizon].tobytes() == expected.tobytes()
    assert np.array_equal(said.decided, TILTED.argmax(axis=2))
    assert (said.decided != said.probabilities.argmax(axis=2)).any()


def test_without_weights_nothing_is_undone_to_the_bit() -> None:
    said = forecast_of(TILTED)
    assert said.probabilities.tobytes() == said.tilted.tobytes() == TILTED.tobytes()


def test_who_has_no_head_is_as_confident_as_its_decided_class_is_probable() -> None:
    said = forecast_of(TILTED, WEIGHTS)
    for row in range(5):
        decided = said.decided[row, PRIMARY]
        assert said.confidence[row, PRIMARY] == said.probabilities[row, PRIMARY, decided]
    assert np.isnan(said.expected_return).all() and said.expected_return.shape == (5, 2)
    own = np.full((5, 2), 0.7)
    with_heads = forecast_of(TILTED, WEIGHTS, confidence=own, expected_return=-own)
    assert with_heads.confidence is own and (with_heads.expected_return == -own).all()


def test_parts_of_other_moments_or_horizons_are_refused() -> None:
    one = np.zeros((5, 2))
    for parts in ((TILTED, TILTED[:4], one, one), (TILTED, TILTED, one[:, :1], one)):
        with pytest.raises(ValueError, match=r"\(n, H, 3\), confidence .* expected, got"):
            Forecast(*parts)
