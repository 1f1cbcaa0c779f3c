"""The function by which long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with the steps done, the steps in all (0 = unknown) and a short note."""


def silent(done: int, total: int, note: str) -> None:
    """Ignore the report: the default of every function that takes a `Progress`."""
