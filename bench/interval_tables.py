"""What `python -m steps.power --intervals` found, as the tables of `docs/judging.md`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from statistics import fmean
from typing import Final

from quantgod.evaluation.interval_power import (
    DESIGNS,
    SCORES,
    VOLATILE,
    Design,
    DesignOutcome,
    IntervalCoverage,
)
from quantgod.gates.interval_proof import FEWEST_CASES, Proof

WORDS: Final = {
    "macro_f1": "macro-F1",
    "mcc": "MCC",
    "accuracy": "accuracy",
    "log_loss": "log-loss",
    "brier": "Brier score",
    "precision_sell": "precision of SELL",
    "f1_sell": "F1 of SELL",
}
CELL: Final = "judged; held; width (needed); bootstrap held, width"


def interval_lines(proof: Proof) -> Iterator[str]:
    """Lines of a table for each kind of market, of one for trades, and of what to make of them."""
    for name, same in groupby(DESIGNS, lambda design: design.name):
        yield from _table(name, list(same), proof)
    yield from _trades(proof)
    rare = len(proof.found) - len(proof.proven) - len(proof.unpromised)
    yield (
        f"Of {len(proof.found)} lines {len(proof.unpromised)} promise nothing ({VOLATILE}), and "
        f"{rare} were judged in fewer than {FEWEST_CASES} cases,"
    )
    yield f"which proves nothing of them; of the others {proof.headline}."


def _table(name: str, sizes: list[Design], proof: Proof) -> Iterator[str]:
    heads = [f"{one.independent:.0f} independent of {one.rows:,} rows" for one in sizes]
    yield f"| {name} ({CELL}) | " + " | ".join(heads) + " |"
    yield "|---" * (len(sizes) + 1) + "|"
    for score in SCORES:
        for prefix, is_apart in (("", False), ("differences of ", True)):
            cells = [
                _cell([one for one in proof.of(size, score) if (" - " in one.score) is is_apart])
                for size in sizes
            ]
            yield f"| {prefix}{WORDS[score]} | " + " | ".join(cells) + " |"
    yield ""


def _cell(lines: list[DesignOutcome]) -> str:
    """Several lines in one: held from and to, all else on average."""
    judged = [one for one in lines if one.held]
    if not judged:
        return "never judged"
    told = [one.held for one in judged if one.held]
    usual = [one.bootstrap for one in judged if one.bootstrap]
    return "; ".join(
        [
            f"{fmean(one.judged for one in judged):.2f}",
            _range(told),
            f"{_width(told):.3f} ({fmean(one.needed for one in judged):.3f})",
            f"{fmean(one.share for one in usual):.2f}, {_width(usual):.3f}",
        ]
    )


def _trades(proof: Proof) -> Iterator[str]:
    yield "| trades | judged | held | width | needed |"
    yield "|---|---|---|---|---|"
    for one in proof.found:
        if one.held and one.design.startswith("trades"):
            yield (
                f"| {one.score} of {one.effective_rows:.0f} {one.design} | {one.judged:.2f} | "
                f"{one.held.share:.3f} | {one.held.width:.1f} | {one.needed:.1f} |"
            )
    yield ""


def _range(told: Iterable[IntervalCoverage]) -> str:
    shares = sorted(f"{one.share:.3f}" for one in told)
    return shares[0] if shares[0] == shares[-1] else f"{shares[0]} to {shares[-1]}"


def _width(told: Iterable[IntervalCoverage]) -> float:
    return fmean(one.width for one in told)
