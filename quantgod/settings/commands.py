"""Commands as messages suggest them, with the settings file that this process was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from shlex import join

_given: list[str] = []
"""The settings file in force, as it was named; a command of the same process has one at most."""


@contextmanager
def repeating(config: str | None) -> Iterator[None]:
    """Let every command that is suggested in the block repeat `--config`; None where none is."""
    before = list(_given)
    _given[:] = [] if config is None else [config]
    try:
        yield
    finally:
        _given[:] = before


def command(step: str, *options: str) -> str:
    """How a step is called with the settings that this process was given.

    >>> with repeating("my own.yaml"):
    ...     command("gates", "--version 3")
    "python -m steps.gates --config 'my own.yaml' --version 3"
    >>> command("gates", "--version 3")
    'python -m steps.gates --version 3'
    """
    return bare_command(step, *(join(["--config", config]) for config in _given), *options)


def bare_command(step: str, *options: str) -> str:
    """How a step is called that is to take no settings file, but a version's own settings."""
    return " ".join(["python -m", f"steps.{step}", *options])
