"""Goals are ratios: a time or a size of some machine is held against nothing."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import pytest

from bench.__main__ import BENCHES
from bench.goal import TIMES, Figure, said

ROOT = Path(__file__).parents[2]
RATIOS = ("x", "%")


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_holds_ratios_alone_against_a_floor_or_peer_that_it_explains(name: str) -> None:
    tree = ast.parse((ROOT / "bench" / f"{name}.py").read_text(encoding="utf-8"))
    goals = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and has_goal(call)]
    assert goals
    for call in goals:
        unit = call.args[2]
        assert isinstance(unit, ast.Constant) and unit.value in RATIOS, ast.unparse(call)
    assert re.search(r"\b(floor|peer|over)\b", ast.get_docstring(tree) or "")


def has_goal(call: ast.Call) -> bool:
    named = {keyword.arg for keyword in call.keywords}
    is_figure = isinstance(call.func, ast.Name) and call.func.id == "Figure"
    return is_figure and (len(call.args) > 3 or bool(named & {"at_most", "at_least"}))


@pytest.mark.parametrize(
    ("value", "at_most", "at_least", "is_met"),
    [
        (2.0, 2.0, None, True),
        (2.1, 2.0, None, False),
        (2.0, None, 2.0, True),
        (1.9, None, 2.0, False),
        (math.nan, 2.0, None, False),
        (math.nan, None, 2.0, False),
        (9.0, None, None, True),
    ],
)
def test_a_goal_is_met_at_its_bound_and_by_no_figure_that_is_none(
    value: float, at_most: float | None, at_least: float | None, is_met: bool
) -> None:
    figure = Figure("speed", value, "x", at_most, at_least)
    assert figure.is_met is is_met
    has_goal = at_most is not None or at_least is not None
    assert figure.verdict == (("met" if is_met else "MISSED") if has_goal else "")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.1449, "x", f"1.14 {TIMES}"),
        (0.00690, "%", "0.0069 %"),
        (181.4, "ms", "181 ms"),
        (12_087.3, "", "12,087"),
    ],
)
def test_a_number_is_short_and_has_no_exponent(value: float, unit: str, text: str) -> None:
    assert said(value, unit) == text
