from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.training.problems import Problem, problem


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small() -> Problem:
    """About 240 training windows: a fit of three epochs takes a fraction of a second."""
    return problem(4_000, 10, seed=3, signal=0.6)
