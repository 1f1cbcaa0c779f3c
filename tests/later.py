"""Cases that `make proofs` runs beside those of `make test`."""

from __future__ import annotations

from typing import Any

import pytest


def later(*cases: Any) -> list[Any]:
    """Mark cases of a parametrisation as long; a tuple is a case of several values."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.long)
        for case in cases
    ]
