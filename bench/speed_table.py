"""What was measured as a table of docs/results.md, of which a part can be measured anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bench.figures import put
from bench.goal import Figure, said

BESIDE = ", some or all of it beside other work"
HEAD = "| bench | figure | measured | goal |\n|---|---|---|---|"


def rows_of(name: str, figures: list[Figure]) -> list[str]:
    """A row for each figure that has a goal."""
    return [
        f"| {name} | {one.name} | {_measured(one)} | {_goal(one)} |" for one in figures if one.goal
    ]


def refreshed(
    text: str,
    table: str,
    rows: Mapping[str, list[str]],
    order: Sequence[str],
    machine: str,
    is_busy: bool = False,
) -> str:
    """The text with these rows in the table of that name; those of other benches stay.

    Args:
        text: of docs/results.md.
        table: between whose markers.
        rows: by bench, as they were measured now.
        order: of the benches.
        machine: on which.
        is_busy: other work ran there meanwhile; said for as long as one row was measured so.

    Raises:
        ValueError: where rows that would stay were measured on another machine.
    """
    found = re.search(rf"<!-- figures: {table} -->\n(.*?)<!-- end -->", text, re.DOTALL)
    before = found[1] if found else ""
    old = {name: re.findall(rf"^\| {name} \|.*$", before, re.MULTILINE) for name in order}
    stale = [name for name in order if old[name] and name not in rows]
    measured = f"Measured on {machine}"
    if stale and measured not in before:
        raise ValueError(
            f"{', '.join(stale)}: measured on another machine than {machine}; measure all anew"
        )
    whole = [row for name in order for row in rows.get(name, old[name])]
    beside = BESIDE if is_busy or (stale and BESIDE in before) else ""
    return put(text, {table: "\n".join([HEAD, *whole, "", f"{measured}{beside}."])})


def _measured(figure: Figure) -> str:
    value = said(figure.value, figure.unit)
    return f"{value} ({figure.here})" if figure.here else value


def _goal(figure: Figure) -> str:
    is_most = figure.at_most is not None
    bound = figure.at_most if is_most else figure.at_least
    goal = f"{'at most' if is_most else 'at least'} {said(bound or 0.0, figure.unit)}"
    return goal if figure.is_met else f"{goal}, **missed**"
