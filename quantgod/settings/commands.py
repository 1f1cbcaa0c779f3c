"""Write the commands that messages suggest, with the settings file of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from shlex import join
from typing import Final

OF_A_MEMBER: Final = frozenset(
    {"main", "check", "optimize", "train", "audit", "register", "evaluate", "backtest",
     "leak_audit", "gates", "promote"}
)  # fmt: skip
"""The steps that can be told a member, whose settings they then take."""

DASK: Final = "python -m dask"
"""Before `scheduler` or `worker`; unlike `dask` it finds the code of the folder it is run in."""

_given: dict[str, str] = {}
"""The settings file and the member in force, as they were given, by option."""


@contextmanager
def repeating(config: str | None, member: str | None = None) -> Iterator[None]:
    """Add `--config` and `--member` to commands suggested in the block; None adds nothing."""
    before, told = dict(_given), {"--config": config, "--member": member}
    _given.clear()
    _given.update({option: value for option, value in told.items() if value is not None})
    try:
        yield
    finally:
        _given.clear()
        _given.update(before)


def command(step: str, *options: str) -> str:
    """Return the command line of a step with the settings file and the member of this process.

    >>> with repeating("my own.yaml", "fast"):
    ...     command("gates", "--version 3")
    ...     command("label")
    "python -m steps.gates --config 'my own.yaml' --member fast --version 3"
    "python -m steps.label --config 'my own.yaml'"
    >>> command("gates", "--version 3")
    'python -m steps.gates --version 3'
    """
    told = [
        join([option, value])
        for option, value in _given.items()
        if option != "--member" or step in OF_A_MEMBER
    ]
    return bare_command(step, *told, *options)


def bare_command(step: str, *options: str) -> str:
    """Return the command line of a step without a settings file, for a version's own settings."""
    return " ".join(["python -m", f"steps.{step}", *options])
