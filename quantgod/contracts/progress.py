"""How long work reports itself."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""How long work reports itself: steps done, steps in all (0 = unknown), and a short note."""


def silent(done: int, total: int, note: str) -> None:
    """Report to nobody: the default of every function that takes a `Progress`."""
