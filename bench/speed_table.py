"""What was measured as a table of the README, of which a part can be measured anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bench.figures import put
from bench.goal import Figure, said

HEAD = "| bench | figure | measured | goal |\n|---|---|---|---|"


def rows_of(name: str, figures: list[Figure]) -> list[str]:
    """A row for each figure that has a goal."""
    return [
        f"| {name} | {one.name} | {_measured(one)} | {_goal(one)} |" for one in figures if one.goal
    ]


def refreshed(
    text: str, table: str, rows: Mapping[str, list[str]], order: Sequence[str], machine: str
) -> str:
    """The text with these rows in the table of that name; those of other benches stay.

    Raises:
        ValueError: where rows that would stay were measured on another machine.
    """
    found = re.search(rf"<!-- figures: {table} -->\n(.*?)<!-- end -->", text, re.DOTALL)
    before = found[1].splitlines() if found else []
    old = {name: [row for row in before if row.startswith(f"| {name} |")] for name in order}
    measured = f"Measured on {machine}."
    if measured not in before and (
        stale := [name for name in order if old[name] and name not in rows]
    ):
        raise ValueError(
            f"{', '.join(stale)}: measured on another machine than {machine}; measure all anew"
        )
    whole = [row for name in order for row in rows.get(name, old[name])]
    return put(text, {table: "\n".join([HEAD, *whole, "", measured])})


def _measured(figure: Figure) -> str:
    value = said(figure.value, figure.unit)
    return f"{value} ({figure.here})" if figure.here else value


def _goal(figure: Figure) -> str:
    is_most = figure.at_most is not None
    bound = figure.at_most if is_most else figure.at_least
    goal = f"{'at most' if is_most else 'at least'} {said(bound or 0.0, figure.unit)}"
    return goal if figure.is_met else f"{goal}, **missed**"
