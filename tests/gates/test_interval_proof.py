"""The proof of the intervals: what counts as a failure, and that what is done stays done."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from bench.interval_tables import interval_lines
from quantgod.backtest import trading_power
from quantgod.backtest.trading_power import Trader
from quantgod.evaluation import interval_power
from quantgod.evaluation.interval_power import (
    DESIGNS,
    VOLATILE,
    Design,
    DesignOutcome,
    IntervalCoverage,
)
from quantgod.gates.interval_proof import HEAD, JOBS, Proof, prove_all, rows_of

STRONG = DESIGNS[0]


def line(share: float, judged: float = 1.0, design: str = STRONG.name) -> DesignOutcome:
    held = IntervalCoverage(share, 0.2) if judged else None
    return DesignOutcome(
        design=design,
        score="mcc, model 1",
        effective_rows=STRONG.independent,
        cases=1_000,
        judged=judged,
        held=held,
        needed=0.15,
        bootstrap=IntervalCoverage(0.85, 0.1),
    )


def test_a_line_fails_that_holds_too_seldom_or_too_often_in_enough_cases() -> None:
    fails = line(0.929), line(0.971), line(1.0, 0.2)
    others = (
        line(0.93), line(0.97), line(0.8, 0.199), line(0.8, 0.0), line(0.5, design=VOLATILE)
    )  # fmt: skip
    proof = Proof(cases=1_000, found=(*others, *fails))
    assert proof.outside == list(fails)
    assert len(proof.proven) == 5
    assert proof.headline.startswith("2 of 5 lines within 0.93 to 0.97; outside: mcc, model 1")
    assert Proof(cases=1_000, found=others).headline == "2 of 2 lines within 0.93 to 0.97"
    assert {len(row) for row in rows_of(proof.found)} == {len(HEAD)}


def test_a_design_that_is_done_is_not_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def proved(kind: type, job: Design | Trader, cases: int) -> list[DesignOutcome]:
        assert isinstance(job, kind)
        drawn.append(job.name)
        return [line(0.95, design=job.name)]

    monkeypatch.setattr(interval_power, "prove", partial(proved, Design))
    monkeypatch.setattr(trading_power, "prove", partial(proved, Trader))
    tmp_path = tmp_path / "of" / "this code"
    made = prove_all(10, 1, tmp_path)
    next(made)
    made.close()
    begun = len(drawn)
    assert 1 <= begun < len(JOBS)
    found = list(prove_all(10, 1, tmp_path))
    assert drawn == [job.name for job in JOBS]
    assert [some[0].design for some in found] == drawn
    assert list(prove_all(10, 1, tmp_path)) == found and len(drawn) == len(JOBS)
    next(prove_all(20, 1, tmp_path))
    assert len(drawn) > len(JOBS), "another number of cases is another proof"


def test_the_tables_hold_every_score_of_every_design_and_what_to_make_of_it() -> None:
    proof = Proof(cases=1_000, found=(line(0.95), line(0.9, 0.1)))
    text = list(interval_lines(proof))
    assert sum(one.startswith("| MCC | 1.00") for one in text) == 0
    (row,) = [one for one in text if one.startswith("| MCC | 0.55")]
    assert "0.55; 0.900 to 0.950; 0.200 (0.150); 0.85, 0.100 | never judged" in row
    assert "1 were judged in fewer than 200" in text[-2] + text[-1]
