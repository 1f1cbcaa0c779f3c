"""Mutants of the core: small faults put into the code one by one, and which of them tests notice.

`python -m bench.mutants --count 200` draws mutants of the core rooms, changes one place in a copy
of the project, and runs the tests that run its line by the map of `python -m bench.test_map`. A
test that fails must pass in the copy without the change. With `--results FILE` a run that was
stopped goes on, and one that ended tries again what survived; without that file another draw is
made. The mutants are cosmic-ray's; its own runner has one command of tests for all files, which
would take days here.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from rich.console import Console
from rich.markup import escape

from bench.mutant_runs import NO_END, PROJECT, Change, UnsoundError, Verdict, judged

ROOMS = (
    "market", "simulation", "archive", "dataset", "served", "training", "forecasters", "auditor",
    "evaluation", "backtest", "leakage", "gates", "report", "registry", "live",
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

LOOKS = {
    "alpha", "bbox_to_anchor", "borderpad", "dpi", "figsize", "fontsize", "frameon",
    "height_ratios", "linewidth", "linewidths", "loc", "markersize", "ncols", "pad", "padding",
    "rotation", "s", "size", "width_ratios", "xytext", "y", "zorder",
}  # fmt: skip
"""What only a picture's looks depend on, when a figure is drawn: they are looked at, not tested."""
CLAIMS = {"strict"}
"""What says, as an assertion does, that something cannot happen."""


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

    @property
    def text(self) -> str:
        """The line as it is."""
        return _text(self.file).splitlines()[self.line - 1]

    def code(self) -> str:
        """The file's text with this change."""
        return str(mutate_code(_text(self.file), get_operator(self.operator)(), self.occurrence))

    def change(self) -> tuple[str, str, str, str]:
        """File, operator, the lines before and after: the same wherever the file has them now."""
        old, new = _text(self.file).splitlines(), self.code().splitlines()
        parts = SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes()
        spans = [span for kind, *span in parts if kind != "equal"]
        before = "\n".join(line for a, b, _, _ in spans for line in old[a:b])
        after = "\n".join(line for _, _, a, b in spans for line in new[a:b])
        return str(self.file), self.operator, before, after


def population(names: Iterable[str]) -> list[Mutant]:
    """Every mutant of these rooms, folders or files of quantgod."""
    roots = [PROJECT / "quantgod" / name for name in names]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*.py"))]
    return [one for path in sorted(files) for one in mutants_of(path.relative_to(PROJECT))]


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of a file but those of annotations, of messages and outside of functions."""
    tree = ast.parse(_text(file))
    chosen, looks = _lines_of_functions(tree), _looks(tree)
    nodes = list(ast_nodes(get_ast(_text(file))))
    for name in operator_names():
        if name.partition("/")[2] not in OPERATORS:
            continue
        operator = get_operator(name)()
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, ((line, column), _) in enumerate(places):
            if line in chosen and not any(a <= (line, column) < b for a, b in looks):
                yield Mutant(file, name, occurrence, line)


def main() -> int:
    """Draw, change, test, and list what nobody noticed."""
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--least", type=float, default=0.95, help="share that must be noticed")
    parser.add_argument(
        "--results", type=Path, help="JSON lines; a run goes on from its draw and what was noticed"
    )
    parser.add_argument("names", nargs="*", default=ROOMS, help="rooms, folders or files")
    given, console = parser.parse_args(), Console(width=120)
    if given.results and given.results.exists():
        drawn, verdicts = _resumed(given.results, console)
    else:
        everything = population(given.names)
        drawn = random.Random(given.seed).sample(everything, min(given.count, len(everything)))
        console.print(f"{len(drawn)} of {len(everything)} mutants of {', '.join(given.names)}")
        verdicts = {}
        _note(given.results, [(one, None) for one in drawn])
    try:
        left = {one: Change(one.file, one.line, one.code()) for one in drawn if one not in verdicts}
        for one, verdict in judged(left, given.workers):
            verdicts[one] = verdict
            _note(given.results, [(one, verdict)])
            console.print(escape(f"{len(verdicts):4d} {verdict} {one.name}"))
    except (UnsoundError, FileNotFoundError) as error:
        console.print(escape(str(error)))
        return 2
    return _told(verdicts, console, given.least)


def _note(path: Path | None, results: Iterable[tuple[Mutant, Verdict | None]]) -> None:
    if path is None:
        return
    with path.open("a", encoding="utf-8") as file:
        for mutant, verdict in results:
            row = {"change": mutant.change(), "occurrence": mutant.occurrence}
            file.write(json.dumps(row | (vars(verdict) if verdict else {})) + "\n")


def _resumed(path: Path, console: Console) -> tuple[list[Mutant], dict[Mutant, Verdict]]:
    """The mutants drawn before that still can be, and the verdicts of those noticed."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[*row.pop("change"), row.pop("occurrence")] = row
    drawn: list[Mutant] = []
    verdicts: dict[Mutant, Verdict] = {}
    for (*change, occurrence), row in rows.items():
        file = Path(change[0])
        there = list(mutants_of(file)) if (PROJECT / file).exists() else []
        near = [one for one in there if one.operator == change[1] and one.text in change[2]]
        same = [one for one in near if [*one.change()] == change]
        if not same:
            console.print(escape(f"no longer there: {file} {change[1]}: {change[2].strip()}"))
            continue
        drawn.append(min(same, key=lambda one: abs(one.occurrence - occurrence)))
        if row.get("is_noticed"):
            verdicts[drawn[-1]] = Verdict(**row)
    console.print(f"{path}: {len(drawn)} drawn, {len(verdicts)} noticed before")
    return drawn, verdicts


def _told(verdicts: dict[Mutant, Verdict], console: Console, least: float) -> int:
    seen = Counter(one.file.parts[1] for one, verdict in verdicts.items() if verdict.is_noticed)
    for room, count in sorted(Counter(one.file.parts[1] for one in verdicts).items()):
        console.print(f"{room:<12} {seen[room]} of {count}")
    for one in sorted(verdicts, key=lambda one: one.name):
        if not verdicts[one].is_noticed:
            _, _, before, after = one.change()
            console.print(escape(f"\nSURVIVED {one.name}\n-{before}\n+{after}"))
    endless = sum(verdict.by == NO_END for verdict in verdicts.values())
    share = seen.total() / max(1, len(verdicts))
    console.print(f"{seen.total()} of {len(verdicts)} noticed, {share:.1%}; {endless} had no end")
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


def _looks(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where a figure's size and the looks of what is drawn stand, if anything is, and claims."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    figures = [call for call in calls if getattr(call.func, "id", "") in ("blank", "Figure")]
    left_alone = CLAIMS | LOOKS if figures else CLAIMS
    keywords = [one for call in calls for one in call.keywords if one.arg in left_alone]
    arguments = [argument for call in figures for argument in call.args]
    places: list[ast.expr | ast.keyword] = [*arguments, *keywords]
    return [((p.lineno, p.col_offset), (p.end_lineno or 0, p.end_col_offset or 0)) for p in places]


def _lines(node: ast.AST) -> set[int]:
    return {
        line
        for one in ast.walk(node)
        for line in range(getattr(one, "lineno", 0), getattr(one, "end_lineno", -1) + 1)
    }


@lru_cache
def _text(file: Path) -> str:
    """A file's text when it was first asked for: who edits during a run changes no mutant."""
    return (PROJECT / file).read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
