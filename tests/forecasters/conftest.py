from __future__ import annotations

import pytest

from tests.training.problems import Problem, problem


@pytest.fixture(scope="session")
def small() -> Problem:
    """About 240 training windows, as those of `tests/training`."""
    return problem(4_000, 10, seed=3, signal=0.6)
