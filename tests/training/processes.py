"""Processes of their own that start fast: forked from one that has the heavy imports already."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

PRELOADED = [
    "pytest",  # of whose process each of them imports the main module
    "tests.training.killable",
    "tests.training.searches",
    "torch",
    "torch._dynamo",  # a second of it, which the first optimizer imports
    "pandas",
    "sklearn.model_selection",
    "optuna",
]


def started(target: Callable[..., Any], *args: Any, **kwargs: Any) -> BaseProcess:
    process = _context().Process(target=target, args=args, kwargs=kwargs)
    process.start()
    return process


def started_with_pipe(
    target: Callable[..., Any], *args: Any, **kwargs: Any
) -> tuple[BaseProcess, Connection]:
    """As `started`; the target's last positional argument is its end of a pipe to us."""
    here, there = _context().Pipe()
    process = started(target, *args, there, **kwargs)
    there.close()
    return process, here


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context
