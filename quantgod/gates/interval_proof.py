"""Test the intervals on all designs, store the results, and list the lines that fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import joblib
import msgspec

from quantgod.backtest import trading_power
from quantgod.backtest.trading_power import TRADERS, Trader
from quantgod.evaluation import interval_power
from quantgod.evaluation.evidence import read_evidence, write_evidence
from quantgod.evaluation.interval_power import DESIGNS, VOLATILE, Design, DesignOutcome

JOBS: Final[tuple[Design | Trader, ...]] = (
    *TRADERS,
    *sorted(DESIGNS, key=lambda design: design.rows),
)
PROMISED: Final = (0.93, 0.97)
"""A 95 % interval keeps its promise if its share of cases lies between these."""
FEWEST_CASES: Final = 200
"""Minimal number of judged cases to decide whether the share lies inside."""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The results of all designs, with this many cases each."""

    cases: int
    found: tuple[DesignOutcome, ...]

    def of(self, design: Design, score: str) -> list[DesignOutcome]:
        """Return the lines of a score in a design."""
        return [
            one
            for one in self.found
            if (one.design, one.effective_rows) == (design.name, design.independent)
            and one.score.startswith(f"{score},")
        ]

    @property
    def unpromised(self) -> list[DesignOutcome]:
        """Return lines of designs whose volatility has a long memory: measured, not promised."""
        return [one for one in self.found if one.design == VOLATILE]

    @property
    def proven(self) -> list[DesignOutcome]:
        """Return the other lines that were judged in enough cases."""
        return [
            one
            for one in self.found
            if one.judged * one.cases >= FEWEST_CASES and one.design != VOLATILE
        ]

    @property
    def outside(self) -> list[DesignOutcome]:
        """Return those that contain the truth too seldom or too often."""
        low, high = PROMISED
        return [one for one in self.proven if one.held and not low <= one.held.share <= high]

    @property
    def headline(self) -> str:
        """Return how many lines keep their promise, and which do not."""
        outside = [f"{one.score} ({_market(one)}) {_share(one)}" for one in self.outside]
        count = f"{len(self.proven) - len(outside)} of {len(self.proven)} lines within 0.93 to 0.97"
        return count + (f"; outside: {', '.join(outside)}" if outside else "")


def prove_all(cases: int, workers: int, folder: Path) -> Iterator[tuple[DesignOutcome, ...]]:
    """Test every design, `workers` at a time; results found in the folder are reused.

    Args:
        cases: per design.
        workers: number of processes.
        folder: of results made by the same code.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = joblib.Parallel(n_jobs=workers, batch_size=1, return_as="generator")
    yield from run(joblib.delayed(_proved)(number, cases, folder) for number in range(len(JOBS)))


def _proved(number: int, cases: int, folder: Path) -> tuple[DesignOutcome, ...]:
    kept = folder / f"{number}-{cases}.json"
    if not kept.exists():
        write_evidence(kept, Proof(cases=cases, found=tuple(_prove(JOBS[number], cases))))
    return read_evidence(kept, Proof).found


def _prove(job: Design | Trader, cases: int) -> list[DesignOutcome]:
    if isinstance(job, Trader):
        return trading_power.prove(job, cases)
    return interval_power.prove(job, cases)


HEAD: Final = ("market", "score", "judged", "held", "width", "needed", "bootstrap held, width")


def rows_of(found: tuple[DesignOutcome, ...]) -> list[list[str]]:
    """Return the rows of the table."""
    return [
        [
            _market(one),
            one.score,
            f"{one.judged:.2f}",
            _share(one),
            f"{one.held.width:.3f}" if one.held else "-",
            f"{one.needed:.3f}",
            f"{one.bootstrap.share:.2f}, {one.bootstrap.width:.3f}" if one.bootstrap else "-",
        ]
        for one in found
    ]


def _market(one: DesignOutcome) -> str:
    return f"{one.design}, {one.effective_rows:.0f}"


def _share(one: DesignOutcome) -> str:
    return f"{one.held.share:.3f}" if one.held else "-"
