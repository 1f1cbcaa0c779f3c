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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

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
PATIENCE = 5.0
"""So many times what a room's tests take in a sound copy may they take in a changed one."""
LEAST_SECONDS = 300.0
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


def judged(changes: list[tuple[Any, Path, str]], workers: int) -> Iterator[tuple[Any, Verdict]]:
    """The verdict on each change, given as a key, a file and its new text; as they come.

    Raises:
        UnsoundError: when the tests of a changed file's room do not pass in an unchanged copy.
    """
    with tempfile.TemporaryDirectory(prefix="quantgod-mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            copies.put(copied(Path(folder) / str(number) / "project"))

        def lent(work: Any, *arguments: Any) -> Any:
            copy = copies.get()
            try:
                return work(copy, *arguments)
            finally:
                copies.put(copy)

        pool = ThreadPoolExecutor(workers)
        try:
            rooms = sorted({room_of(file) for _, file, _ in changes})
            limits = dict(zip(rooms, pool.map(lambda room: lent(_limit, room), rooms), strict=True))
            runs = {
                pool.submit(lent, judge, file, text, limits[room_of(file)]): key
                for key, file, text in changes
            }
            for run in as_completed(runs):
                yield runs[run], run.result()
        finally:
            pool.shutdown(cancel_futures=True)


def judge(copy: Path, file: Path, text: str, limit: float) -> Verdict:
    """Change a file of the copy, run its tests until one fails, and change it back."""
    begun = time.monotonic()
    sound = (copy / file).read_text(encoding="utf-8")
    (copy / file).write_text(text, encoding="utf-8")
    try:
        by = next(filter(None, (failure(copy, tests, limit) for tests in tests_of(file, copy))), "")
    finally:
        (copy / file).write_text(sound, encoding="utf-8")
    return Verdict(bool(by), by, round(time.monotonic() - begun, 1))


def room_of(file: Path) -> str:
    """The folder of tests that a file's room has."""
    return f"tests/{file.parts[1]}"


def tests_of(file: Path, copy: Path) -> list[list[str]]:
    """Return what to run for a file, each test once.

    Its own tests, those that name it or a file that imports it, those beside its own, and those of
    its room.
    """
    own = Path("tests", *file.parts[1:]).with_name(f"test_{file.name}")
    steps = [[own], _tests_that_name(file, copy), [own.parent], [Path(room_of(file))]]
    runs: list[list[str]] = []
    done: list[Path] = []
    for step in steps:
        fresh = [one for one in step if one not in done and (copy / one).exists()]
        if fresh:
            runs.append([*map(str, fresh), *(f"--ignore={one}" for one in done)])
        done += fresh
    return [[*runs[0], str(file)], *runs[1:]]  # the file itself for its doctests


def _tests_that_name(file: Path, copy: Path) -> list[Path]:
    """Return the files of tests that name a module, or one that imports it."""
    sources = {
        path.relative_to(copy): path.read_text(encoding="utf-8")
        for folder in ("quantgod", "steps", "tests")
        for path in sorted((copy / folder).rglob("*.py"))
    }

    def naming(modules: list[str]) -> list[Path]:
        pattern = re.compile("|".join(rf"\b{re.escape(one)}\b(?!\.)" for one in modules))
        return [path for path, text in sources.items() if pattern.search(text)]

    importers = [path for path in naming([_module(file)]) if path.parts[0] != "tests"]
    found = naming([_module(file), *map(_module, importers)])
    return [path for path in found if path.name.startswith("test_")]


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
        kind, _, rest = by.partition(" ")
        alone = [rest.partition(" - ")[0]] if kind in KINDS else tests
        if _end_of(copy, alone, limit):
            return by
    return f"not alone: {by}"


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
    for name in [name for name in sys.modules if name.partition(".")[0] == "bench"]:
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


def _limit(copy: Path, room: str) -> float:
    """Seconds that a room's tests may take, from what they take unchanged; they must pass."""
    begun = time.monotonic()
    if by := failure(copy, [room], None):
        raise UnsoundError(f"{room} does not pass in a copy without a change: {by}")
    return max(LEAST_SECONDS, PATIENCE * (time.monotonic() - begun))
