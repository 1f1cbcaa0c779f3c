"""What tests of the leak audit share: a pipeline whose slowest part is small, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quantgod.leakage.pipeline import PipelineResult, in_small, make
from tests.leakage.small import bars, few_trees, settings


@pytest.fixture(scope="module", autouse=True)
def quick_baseline() -> Iterator[None]:
    with few_trees():
        yield


@pytest.fixture(scope="session")
def made() -> PipelineResult:
    """Of the small market, as it is."""
    with few_trees():
        return make(bars(), in_small(settings()))
