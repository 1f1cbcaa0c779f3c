"""Write the commands that messages suggest, with the settings file of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from shlex import join

_given: list[str] = []
"""The settings file in force, as it was given; at most one."""


@contextmanager
def repeating(config: str | None) -> Iterator[None]:
    """Add `--config` to every command suggested in the block; None adds nothing."""
    before = list(_given)
    _given[:] = [] if config is None else [config]
    try:
        yield
    finally:
        _given[:] = before


def command(step: str, *options: str) -> str:
    """Return the command line of a step with the settings file of this process.

    >>> with repeating("my own.yaml"):
    ...     command("gates", "--version 3")
    "python -m steps.gates --config 'my own.yaml' --version 3"
    >>> command("gates", "--version 3")
    'python -m steps.gates --version 3'
    """
    return bare_command(step, *(join(["--config", config]) for config in _given), *options)


def bare_command(step: str, *options: str) -> str:
    """Return the command line of a step without a settings file, for a version's own settings."""
    return " ".join(["python -m", f"steps.{step}", *options])
