"""Runs of tests in copies of the project: who notices that a file was changed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from bench.test_map import TestMap, file_of

PROJECT = Path(__file__).parents[1]
NOT_COPIED = (
    ".*",
    "__pycache__",
    "data",
    "mlruns",
    "mlartifacts",
    "mlflow.db*",
    "outbox",
    "*.jsonl",
)
NO_TESTS = 5
"""What pytest returns where it finds none: nobody has noticed anything."""
KINDS = ("FAILED", "ERROR")
NO_END = "no end"
TRIES = 3
PATIENCE, LEAST_SECONDS = 5.0, 60.0
"""Tests of a changed copy may take so much more than they took, and these seconds."""
MOST_SECONDS = 120.0
"""Of tests that run a line and do not name its file, the quickest, as long as these."""
WARM = (
    "numpy", "pandas", "pyarrow.parquet", "scipy.stats", "sklearn.metrics", "numba", "torch",
    "xgboost", "optuna", "mapie", "matplotlib.figure", "mlflow.pyfunc", "aiohttp.web", "rich",
    "cosmic_ray.mutating",
)  # fmt: skip
"""Imported once and shared by all runs: it takes as long as most runs then need."""
PYTEST = (
    "-x", "-q", "-p", "no:cacheprovider",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",  # of what is imported before
)  # fmt: skip
OWN = ("quantgod", "steps", "tests", "bench")
"""Never taken from the server of forks: whoever started it may have imported the original."""
FORKS = multiprocessing.get_context("forkserver")


class UnsoundError(Exception):
    """Tests that fail in a copy without a change, so that a failure says nothing."""


@dataclass(frozen=True)
class Verdict:
    """Whether somebody noticed: which test, or how the run ended; and after how long."""

    is_noticed: bool
    by: str
    seconds: float

    def __str__(self) -> str:
        return f"{'noticed ' if self.is_noticed else 'SURVIVED'} {self.seconds:4.0f} s"


@dataclass(frozen=True)
class Change:
    """A file with another text, different at this line of the text that it has."""

    file: Path
    line: int
    text: str


def judged(changes: dict[Any, Change], workers: int) -> Iterator[tuple[Any, Verdict]]:
    """The verdict on each change, with its key, as they come.

    Raises:
        UnsoundError: when a test that has failed fails in an unchanged copy as well.
        FileNotFoundError: when there is no map of tests.
    """
    tests = TestMap(PROJECT)
    with tempfile.TemporaryDirectory(prefix="quantgod-mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            copies.put(copied(Path(folder) / str(number) / "project"))

        def lent(change: Change) -> Verdict:
            copy = copies.get()
            try:
                return judge(copy, change, tests)
            finally:
                copies.put(copy)

        pool = ThreadPoolExecutor(workers)
        try:
            runs = {pool.submit(lent, change): key for key, change in changes.items()}
            for run in as_completed(runs):
                yield runs[run], run.result()
        finally:
            pool.shutdown(cancel_futures=True)


def judge(copy: Path, change: Change, tests: TestMap) -> Verdict:
    """Change a file of the copy, run its tests until one fails, and change it back."""
    begun = time.monotonic()
    sound = (copy / change.file).read_text(encoding="utf-8")
    (copy / change.file).write_text(change.text, encoding="utf-8")
    by = ""
    try:
        for run in runs_of(change.file, change.line, tests):
            limit = LEAST_SECONDS + PATIENCE * sum(map(tests.seconds, run))
            if by := failure(copy, run, limit):
                break
    finally:
        (copy / change.file).write_text(sound, encoding="utf-8")
    if (alone := _test_in(by)) and _end_of(copy, [alone], None):
        raise UnsoundError(f"{alone} does not pass in a copy without a change")
    return Verdict(bool(by), by, round(time.monotonic() - begun, 1))


def runs_of(file: Path, line: int, tests: TestMap) -> list[list[str]]:
    """Return what to run for a line: its file's own tests, those that name it, all others.

    Of these only what the map says runs the line, the quickest first, and what is newer than the
    map. Where the map does not know, all of the room take the place of all others.
    """
    own = {Path("tests", *file.parts[1:]).with_name(f"test_{file.name}"), file}  # with doctests
    named = _tests_that_name(file)
    known = tests.tests(file, line)
    if known is None:
        room = sorted((PROJECT / "tests" / file.parts[1]).rglob("test_*.py"))
        known = [str(one) for one in (*own, *named, *_relative(room)) if (PROJECT / one).exists()]
    else:
        known += [str(one) for one in (*own, *named) if one != file and tests.is_changed(one)]
    steps: tuple[list[str], ...] = ([], [], [])
    spent = 0.0
    for one in sorted(set(known), key=tests.seconds):
        place = Path(file_of(one))
        step = 0 if place in own else 1 if place in named else 2
        spent += tests.seconds(one) * (step == 2)
        if spent <= MOST_SECONDS:
            steps[step].append(one)
    return [step for step in steps if step]


def _tests_that_name(file: Path) -> set[Path]:
    """The files of tests that name a module, or one that imports it."""
    sources = {
        path: (PROJECT / path).read_text(encoding="utf-8")
        for folder in ("quantgod", "steps", "tests")
        for path in _relative((PROJECT / folder).rglob("*.py"))
    }

    def naming(modules: list[str]) -> list[Path]:
        pattern = re.compile("|".join(rf"\b{re.escape(one)}\b(?!\.)" for one in modules))
        return [path for path, text in sources.items() if pattern.search(text)]

    importers = [path for path in naming([_module(file)]) if path.parts[0] != "tests"]
    found = naming([_module(file), *map(_module, importers)])
    return {path for path in found if path.name.startswith("test_")}


def _relative(paths: Iterable[Path]) -> list[Path]:
    return [path.relative_to(PROJECT) for path in paths]


def _module(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def failure(copy: Path, tests: list[str], limit: float | None) -> str:
    """The first test that fails, again when run alone, or how else the run ended; "" if all pass.

    What fails once on a busy machine has noticed nothing; what fails among others only is told so.
    """
    for _ in range(TRIES):
        by = _end_of(copy, tests, limit)
        if by in ("", NO_END):
            return by
        if _end_of(copy, [_test_in(by)] if _test_in(by) else tests, limit):
            return by
    return f"not alone: {by}"


def _test_in(by: str) -> str:
    """The test that a failure names, if it does."""
    kind, _, rest = by.partition(" ")
    return rest.partition(" - ")[0] if kind in KINDS else ""


def _end_of(copy: Path, tests: list[str], limit: float | None) -> str:
    os.environ["OMP_NUM_THREADS"] = "1"  # copied by the server of forks when it starts
    FORKS.set_forkserver_preload(list(WARM))
    run = FORKS.Process(target=_run, args=(copy, tests))
    run.start()
    run.join(limit)
    code = run.exitcode
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid or 0, signal.SIGKILL)  # and what it started, which is its session
    run.join()
    if code is None:
        return NO_END
    said = (copy / "said").read_text(encoding="utf-8", errors="replace").splitlines()
    failed = [line.strip() for line in said if line.partition(" ")[0] in KINDS]
    return "" if code in (0, NO_TESTS) else (failed or [f"pytest ended with {code}"])[-1]


def _run(copy: Path, tests: list[str]) -> None:
    """Run tests of a copy, in a process that has imported nothing of this project's for them."""
    os.setsid()
    os.chdir(copy)
    sys.path[:] = [str(copy), *(one for one in sys.path if Path(one or ".").resolve() != PROJECT)]
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]
    with (copy / "said").open("w") as said, Path(os.devnull).open("w") as nowhere:
        os.dup2(said.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    code = pytest.main([*PYTEST, *tests])
    sys.stdout.flush()
    os._exit(code)


def copied(folder: Path) -> Path:
    """A copy of the project, with `shared` beside it where this project has it."""
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    if (shared := PROJECT.parent / "shared").is_dir():
        (folder.parent / "shared").symlink_to(shared)
    return folder
