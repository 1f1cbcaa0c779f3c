"""Read whole numbers as JSON has them."""

from __future__ import annotations

from typing import Any


def whole(value: Any) -> Any:
    """Take 3.0 for 3, as JSON does, but neither a text nor true."""
    if isinstance(value, bool | str):
        raise ValueError("a whole number expected")
    return value
