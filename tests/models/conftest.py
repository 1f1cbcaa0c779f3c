"""Each test of the networks draws the same noise in every run."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def noise_is_repeatable() -> None:
    torch.manual_seed(0)
