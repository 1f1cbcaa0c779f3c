"""The map of tests: which of them run a line of quantgod, and how long each takes.

`python -m bench.test_map` runs the suite once under coverage.py, which takes half as long again as
`make test`, and leaves `test_map.coverage` and `test_map.json` in the project's folder.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import pytest
from coverage import CoverageData

PROJECT = Path(__file__).parents[1]
LINES, FACTS, SETTINGS = "test_map.coverage", "test_map.json", "test_map.ini"
COVERAGE = f"""\
[run]
source = quantgod
data_file = {LINES}
relative_files = true
parallel = true
concurrency = thread,multiprocessing
patch = subprocess
disable_warnings = no-data-collected,module-not-measured,module-not-imported,already-imported
"""


class TestMap:
    """Who runs which line of a file, as of the last run under coverage.

    Args:
        folder: the project of which it was made.

    Raises:
        FileNotFoundError: when no map was made; it says how.
    """

    __test__ = False  # pytest goes by its name

    def __init__(self, folder: Path = PROJECT) -> None:
        if not (folder / FACTS).exists():
            raise FileNotFoundError(f"no {FACTS} in {folder}: make it by python -m bench.test_map")
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self._sums: dict[str, str] = facts["sums"]
        self._failed = {"", *facts["failed"]}
        self._seconds = Counter[str](facts["seconds"])
        for name, seconds in facts["seconds"].items():
            self._seconds[file_of(name)] += seconds
        self._data = CoverageData(str(folder / LINES))
        self._data.read()
        self._lines = lru_cache(self._lines_of)

    def tests(self, file: Path, line: int) -> list[str] | None:
        """Return the tests that run a line, none if no test does; None where that is not known.

        It is not known of a file that changed since, and of a function of which no line was seen
        to run: numba compiled it, or it runs in other processes. What a fixture runs is told of
        the test that asked for it first, though others share it: it means that test's whole file.
        """
        seen = self._lines(str(file))
        if self.is_changed(file) or not any(one in seen for one in _function(file, line)):
            return None
        names = {name for one in _statement(file, line) for name in seen.get(one, ())}
        parts = [name.rpartition("|") for name in names]
        whole = {file_of(name) for name, _, phase in parts if phase != "run"}
        return [*whole, *(name for name, _, phase in parts if file_of(name) not in whole)]

    def seconds(self, name: str) -> float:
        """What a test, or a file of tests, took; 0 for one that is newer."""
        return self._seconds[name]

    def is_changed(self, file: Path) -> bool:
        """Whether a file, of tests too, is not what it was when the map was made."""
        return self._sums.get(str(file)) != _sum(PROJECT / file)

    def _lines_of(self, file: str) -> dict[int, set[str]]:
        """Lines to the tests that run them; what only another process ran stands for nobody."""
        return {
            line: tests
            for line, names in self._data.contexts_by_lineno(file).items()
            if (tests := {name for name in names if name.rpartition("|")[0] not in self._failed})
        }


class Stopwatch:
    """A plugin of pytest that keeps how long each test took, with its fixtures, and who failed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a part of a test."""
        self.seconds[report.nodeid] += report.duration
        self.failed += [report.nodeid] * report.failed


def main() -> int:
    """Run the suite under coverage and keep what came; gives 1 if a test failed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    Path(SETTINGS).write_text(COVERAGE, encoding="utf-8")
    watch = Stopwatch()
    parallel = ["-n", str(os.cpu_count()), "--dist", "worksteal", "-q"]
    coverage = ["--cov", f"--cov-config={SETTINGS}", "--cov-context=test", "--cov-report="]
    code = pytest.main([*parallel, *coverage, *sys.argv[1:]], plugins=[watch])
    files = [path for room in ("quantgod", "tests") for path in sorted(Path(room).rglob("*.py"))]
    sums = {str(path): _sum(path) for path in files}
    facts = {"sums": sums, "seconds": watch.seconds, "failed": watch.failed}
    Path(FACTS).write_text(json.dumps(facts, indent=0), encoding="utf-8")
    print(f"test map: {len(watch.seconds)} tests in {LINES} and {FACTS}")
    return int(code != 0)


def file_of(test: str) -> str:
    """The file that a test stands in."""
    return test.partition("::")[0]


def _sum(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _function(file: Path, line: int) -> range:
    """The lines of the innermost function that a line stands in."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return _innermost([one for one in _nodes(file) if isinstance(one, kinds)], line)


def _statement(file: Path, line: int) -> range:
    """The lines of the innermost statement that a line stands in."""
    return _innermost([one for one in _nodes(file) if isinstance(one, ast.stmt)], line)


def _innermost(nodes: Iterable[ast.stmt], line: int) -> range:
    spans = [range(one.lineno, (one.end_lineno or 0) + 1) for one in nodes]
    return min((one for one in spans if line in one), key=len, default=range(line, line + 1))


@lru_cache
def _nodes(file: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse((PROJECT / file).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    sys.exit(main())
