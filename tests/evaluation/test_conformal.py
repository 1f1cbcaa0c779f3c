"""Coverage counts sets and what they held."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.evaluation.conformal import coverage

SELL, BUY = 0, 2


def test_coverage_counts_sets_and_what_they_held() -> None:
    holds = np.zeros((100, 3), dtype=bool)
    holds[:60, BUY] = True  # one class
    holds[60:90] = True  # all of them
    target = np.full(100, BUY)
    target[:20] = SELL
    found = coverage(target, holds, (0.9, 0.3), 50.0)
    assert found.found.value == pytest.approx(0.7)
    assert found.found.low < 0.7 < found.found.high
    assert (found.singletons, found.empty) == (0.6, 0.1)
    assert (found.promised, found.threshold) == (0.9, 0.3)
