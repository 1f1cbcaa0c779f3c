"""Whether the leak audit sees each planted look-ahead in each audit drawn: `python -m bench.peeks`.

Every place of `tests/leakage/peeks.py` with 1, 2, 5, 15 and 60 rows, in 20 audits of as
many markets; an audit ends at its first leak. In as many audits of the honest pipeline there must
be none. Ends with 1 if one was not seen.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import pytest
import torch
from rich.console import Console

from bench.goal import Figure
from bench.running import table_of
from tests.leakage.peeks import PLACES, ROWS, leaking_stage
from tests.leakage.small import bars, settings

DRAWS, WORKERS = 20, 2
HONEST = "nothing planted"

Case = tuple[str, int, int]


def main() -> int:
    """Plant, audit, count, judge."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of the workers; bits are the same for as many threads
    console = Console()
    seeds = range(DRAWS)
    cases: list[Case] = [(HONEST, 0, seed) for seed in seeds]
    cases += list(product(PLACES, ROWS, seeds))
    found: dict[tuple[str, int], int] = {}
    with ProcessPoolExecutor(WORKERS) as pool:
        for (place, rows, seed), stage in zip(cases, pool.map(audited, cases), strict=True):
            found[place, rows] = found.get((place, rows), 0) + (stage is not None)
            if seed == DRAWS - 1:
                console.log(f"{place}, {rows} rows: {found[place, rows]} of {DRAWS}, {stage}")
    figures = [Figure(HONEST, found.pop((HONEST, 0)), "seen", at_most=0)]
    for (place, rows), count in found.items():
        figures.append(Figure(f"{place}, {rows} rows ahead", count, "seen", at_least=DRAWS))
    console.print(table_of(f"look-aheads seen in {DRAWS} audits", figures))
    return 0 if all(figure.is_met for figure in figures) else 1


def audited(case: Case) -> str | None:
    """The first stage that leaks in one drawn audit."""
    place, rows, seed = case
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        if place != HONEST:
            PLACES[place](patch, rows)
        return leaking_stage(bars(seed), settings(seed=seed))


if __name__ == "__main__":
    sys.exit(main())
