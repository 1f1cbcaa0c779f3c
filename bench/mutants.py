"""Mutants of the core: small faults put into the code one by one, and which of them tests notice.

`python -m bench.mutants --count 200` draws mutants of the core rooms, changes one place in a copy
of the project, and runs the tests of its file, then of its room. The mutants are cosmic-ray's; its
own runner has one command of tests for all files, which would take days here.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from rich.console import Console
from rich.markup import escape

PROJECT = Path(__file__).parents[1]
COPIED = ("quantgod", "steps", "tests", "conf", "bench", "pyproject.toml", "MLproject")
ROOMS = (
    "archive", "market", "dataset", "auditor", "training", "evaluation", "registry", "live",
)  # fmt: skip
OPERATORS = (
    *(
        f"ReplaceComparisonOperator_{pair}"
        for pair in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Eq_NotEq", "NotEq_Eq", "Is_IsNot")
    ),
    *(
        f"ReplaceBinaryOperator_{pair}"
        for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Div", "Mod_FloorDiv")
    ),
    "NumberReplacer", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue", "AddNot", "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceUnaryOperator_Delete_Not", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak",
    "ZeroIterationForLoop",
)  # fmt: skip
"""Small and plausible faults; a sum that becomes a power is noticed by anything."""

SECONDS = 600.0


@dataclass(frozen=True)
class Mutant:
    """One change of one file: which operator of cosmic-ray, at its how-manyth place."""

    file: Path
    operator: str
    occurrence: int
    line: int

    @property
    def name(self) -> str:
        """Where it is and what it does."""
        return f"{self.file}:{self.line} {self.operator.partition('/')[2]}"

    def code(self) -> str:
        """The file's text with this change."""
        source = (PROJECT / self.file).read_text(encoding="utf-8")
        return str(mutate_code(source, get_operator(self.operator)(), self.occurrence))


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of a file but those of annotations, of messages and outside of functions."""
    source = (PROJECT / file).read_text(encoding="utf-8")
    chosen = _lines_of_functions(ast.parse(source))
    nodes = list(ast_nodes(get_ast(source)))
    for name in operator_names():
        if name.partition("/")[2] not in OPERATORS:
            continue
        operator = get_operator(name)()
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, ((line, _), _) in enumerate(places):
            if line in chosen:
                yield Mutant(file, name, occurrence, line)


def is_noticed(mutant: Mutant, copy: Path) -> bool:
    """Whether the tests of the mutant's file, or else of its room, fail in this copy."""
    target = copy / mutant.file
    sound = target.read_text(encoding="utf-8")
    target.write_text(mutant.code(), encoding="utf-8")
    try:
        return any(not _pass(tests, copy) for tests in tests_of(mutant.file, copy))
    finally:
        target.write_text(sound, encoding="utf-8")


def tests_of(file: Path, copy: Path) -> list[list[str]]:
    """What to run for a file: its own tests, those beside them, those of its room."""
    inside = file.relative_to("quantgod")
    own = Path("tests") / inside.with_name(f"test_{inside.name}")
    room = Path("tests") / inside.parts[0]
    beside = own.parent if (copy / own.parent).is_dir() else room
    steps = [own, beside, room] if (copy / own).is_file() else [beside, room]
    return [[str(step)] for step in dict.fromkeys(steps)]


def main() -> int:
    """Draw, change, test, and list what nobody noticed."""
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--least", type=float, default=0.95, help="share that must be noticed")
    parser.add_argument("rooms", nargs="*", default=ROOMS)
    given, console = parser.parse_args(), Console(width=120)
    files = [
        path.relative_to(PROJECT)
        for room in given.rooms
        for path in sorted((PROJECT / "quantgod" / room).rglob("*.py"))
    ]
    population = [mutant for file in files for mutant in mutants_of(file)]
    drawn = random.Random(given.seed).sample(population, min(given.count, len(population)))
    console.print(f"{len(drawn)} of {len(population)} mutants of {', '.join(given.rooms)}")
    with tempfile.TemporaryDirectory(prefix="quantgod-mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(given.workers):
            copies.put(_copied(Path(folder) / str(number) / "project"))
        noticed: dict[Mutant, bool] = {}

        def judge(mutant: Mutant) -> None:
            copy = copies.get()
            noticed[mutant] = is_noticed(mutant, copy)
            copies.put(copy)
            said = "noticed " if noticed[mutant] else "SURVIVED"
            console.print(escape(f"{len(noticed):4d} {said} {mutant.name}"))

        with ThreadPoolExecutor(given.workers) as pool:
            list(pool.map(judge, drawn))
    return _told(noticed, console, given.least)


def _told(noticed: dict[Mutant, bool], console: Console, least: float) -> int:
    rooms = Counter(mutant.file.parts[1] for mutant in noticed)
    for room, count in sorted(rooms.items()):
        here = [seen for mutant, seen in noticed.items() if mutant.file.parts[1] == room]
        console.print(f"{room:<12} {sum(here)} of {count}")
    for mutant in sorted((one for one, seen in noticed.items() if not seen), key=lambda m: m.name):
        before = (PROJECT / mutant.file).read_text(encoding="utf-8").splitlines()
        change = difflib.unified_diff(before, mutant.code().splitlines(), n=0, lineterm="")
        console.print(escape("\n".join([f"\nSURVIVED {mutant.name}", *list(change)[3:]])))
    share = sum(noticed.values()) / len(noticed)
    console.print(f"{sum(noticed.values())} of {len(noticed)} noticed, {share:.1%}")
    return 0 if share >= least else 1


def _lines_of_functions(tree: ast.Module) -> set[int]:
    """The lines of function bodies but those of annotations, messages and raised errors."""
    chosen: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                chosen |= _lines(statement)
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise | ast.AnnAssign | ast.JoinedStr | ast.arguments):
            chosen -= _lines(node)
    return chosen


def _lines(node: ast.AST) -> set[int]:
    places = [one for one in ast.walk(node) if hasattr(one, "lineno")]
    return {line for one in places for line in range(one.lineno, one.end_lineno + 1)}


def _pass(tests: list[str], copy: Path) -> bool:
    """Whether the tests pass; a run that does not end is none that does."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    with subprocess.Popen(
        command, cwd=copy, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as run:  # fmt: skip
        try:
            return run.wait(SECONDS) in (0, 5)
        except subprocess.TimeoutExpired:
            return False
        finally:
            _end(run)


def _end(run: subprocess.Popen[bytes]) -> None:
    """End a run and what it started: they are a session of their own."""
    try:
        os.killpg(run.pid, 9)
    except ProcessLookupError:
        return


def _copied(folder: Path) -> Path:
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=unwanted)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    if (shared := PROJECT.parent / "shared").is_dir():
        (folder.parent / "shared").symlink_to(shared)
    return folder


if __name__ == "__main__":
    sys.exit(main())
