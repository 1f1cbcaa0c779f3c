"""The whole proof of the intervals: every design, kept as it is done, and which lines fail it."""

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
"""Shares of cases between which an interval of 95 % holds what it promises."""
FEWEST_CASES: Final = 200
"""Judged ones; of fewer the share is not known well enough to be called inside or outside."""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What came of all designs, of so many cases each."""

    cases: int
    found: tuple[DesignOutcome, ...]

    def of(self, design: Design, score: str) -> list[DesignOutcome]:
        """The lines of a score in a design."""
        return [
            one
            for one in self.found
            if (one.design, one.effective_rows) == (design.name, design.independent)
            and one.score.startswith(f"{score},")
        ]

    @property
    def unpromised(self) -> list[DesignOutcome]:
        """Lines where volatility remembers days: measured, and not promised."""
        return [one for one in self.found if one.design == VOLATILE]

    @property
    def proven(self) -> list[DesignOutcome]:
        """The others that were judged in enough cases."""
        return [
            one
            for one in self.found
            if one.judged * one.cases >= FEWEST_CASES and one.design != VOLATILE
        ]

    @property
    def outside(self) -> list[DesignOutcome]:
        """Those of them that hold the truth too seldom, or too often."""
        low, high = PROMISED
        return [one for one in self.proven if one.held and not low <= one.held.share <= high]

    @property
    def headline(self) -> str:
        """How many lines hold what they promise, and which do not."""
        outside = [f"{one.score} ({_market(one)}) {_share(one)}" for one in self.outside]
        count = f"{len(self.proven) - len(outside)} of {len(self.proven)} lines within 0.93 to 0.97"
        return count + (f"; outside: {', '.join(outside)}" if outside else "")


def prove_all(cases: int, workers: int, folder: Path) -> Iterator[tuple[DesignOutcome, ...]]:
    """Prove every design, `workers` at a time; one whose file lies in the folder is taken as it is.

    Args:
        cases: of each design.
        workers: processes.
        folder: belongs to this very code.
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
    """The table's rows."""
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
