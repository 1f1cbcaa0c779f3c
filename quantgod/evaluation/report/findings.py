"""What an evaluation says in words: a difference is shown only if its interval is clear of zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from quantgod.evaluation.evaluated import JUDGED
from quantgod.evaluation.evidence import EvaluationResult, Shifted
from quantgod.evaluation.intervals import FEWEST_ROWS, Interval
from quantgod.evaluation.metrics import LOWER_IS_BETTER
from quantgod.evaluation.plots.style import FEW_ROWS, SCORE_NAMES
from quantgod.evaluation.report.examined import ALL_DECISIONS, Examined
from quantgod.evaluation.slices import Slices
from quantgod.settings import Settings

Verdict = Literal["better", "not shown to be better", "worse"]

DECISIVE: Final = ("macro_f1", "log_loss")
"""The scores that a verdict is given on: one of decisions, one of probabilities."""

_NAMES: Final = {**SCORE_NAMES, "log_loss": "log-loss"}

FEW_LABELS: Final = 100
"""Independent labels below which the whole test part is called short."""


def verdict(score: str, difference: Interval) -> Verdict:
    """Whether the first of two is better by a score, from its value minus the other's."""
    sign = -1 if score in LOWER_IS_BETTER else 1
    if not difference.enough:
        return "not shown to be better"
    low, high = sorted((sign * difference.low, sign * difference.high))
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not shown to be better"


def headlines(result: EvaluationResult) -> list[str]:
    """A sentence a decisive score: what the auditor has, and what it is better than."""
    return [_headline(result, score) for score in DECISIVE]


def weaknesses(result: EvaluationResult, examined: Examined, settings: Settings) -> list[str]:
    """What speaks against the model, or leaves open whether it is any good; a sentence each."""
    return [
        *_short(result),
        *_comparisons(result),
        *_calibration(result, examined, settings),
        *_confidence(examined),
        *_slices(examined),
        *_moved(result, settings),
    ]


def spoken(name: str) -> str:
    """A name as it stands in a sentence."""
    return name.replace("_", " ")


def written(interval: Interval | None, digits: int = 3) -> str:
    """A value, with its interval if there are rows enough for one; a dash where there is none."""
    if interval is None:
        return "-"
    value, low, high = (f"{number:.{digits}f}" for number in interval[:3])
    if not interval.enough:
        return f"{value} (too few rows)"
    return f"{value} [{low}, {high}]"


def _headline(result: EvaluationResult, score: str) -> str:
    said: dict[Verdict, list[str]] = {"better": [], "not shown to be better": [], "worse": []}
    for other, found in result.differences.items():
        said[verdict(score, found[score])].append(spoken(other))
    parts = [f"{kind} than {', '.join(others)}" for kind, others in said.items() if others]
    value = written(result.models["auditor"][score])
    return f"{_NAMES[score]} of the auditor {value}: {'; '.join(parts)}."


def _short(result: EvaluationResult) -> Iterator[str]:
    if result.effective_rows < FEW_LABELS:
        yield (
            f"The test part is short: its {result.rows:,} rows equal about "
            f"{result.effective_rows:.0f} independent labels. Intervals of so few are wide, and "
            f"below {FEWEST_ROWS:.0f} there are none."
        )


def _comparisons(result: EvaluationResult) -> Iterator[str]:
    """What is not shown by a decisive score; of the others, where the auditor is shown worse."""
    for decisive in (True, False):
        for other, found in result.differences.items():
            for score in (name for name in _NAMES if (name in DECISIVE) == decisive):
                said = verdict(score, found[score])
                if said == "worse" or (decisive and said != "better"):
                    yield (
                        f"The auditor is {said} than {spoken(other)} by {_NAMES[score]}: "
                        f"difference {written(found[score])}."
                    )


def _calibration(result: EvaluationResult, examined: Examined, settings: Settings) -> Iterator[str]:
    error, bound = result.models["auditor"]["ece"], settings.gates.ece_at_most
    if bound is not None and error.value > bound:
        yield f"Its calibration error is {written(error)}, and {bound:g} is allowed."
    within = settings.gates.coverage_within or 0.0
    if abs(result.coverage.found.value - result.coverage.promised) > within:
        yield (
            f"Conformal sets promise to hold the class that comes in "
            f"{result.coverage.promised:.0%} of rows; they did in "
            f"{written(result.coverage.found)}."
        )
    ends = [0.0, *settings.evaluate.confidence_tiers]
    for low, (name, part) in zip(ends, examined.tiers["auditor"].items(), strict=True):
        right = None if part is None else part.models["auditor"]["accuracy"]
        if right is not None and right.high < low:
            yield f"It is overconfident: of decisions given {name} came true {written(right)}."


def _confidence(examined: Examined) -> Iterator[str]:
    curve = examined.selective[ALL_DECISIONS]["auditor"]
    if curve.gain is not None and curve.gain.low <= 0:
        yield (
            "Its confidence is not shown to tell right decisions from wrong ones: mean selective "
            f"accuracy above that of all rows {written(curve.gain)}."
        )
    moves = sum(part.moves["auditor"] for part in examined.overall.values() if part is not None)
    if not moves:
        yield "It never decided SELL or BUY."
    elif not examined.set_sizes[1]:
        yield "No conformal set held a single class: it always abstains."


def _slices(examined: Examined) -> Iterator[str]:
    for cut, parts in examined.by_cut.items():
        absent = [name for name, part in parts.items() if part is None]
        if absent:
            yield f"Nothing is known by {cut} of: {', '.join(absent)} (no test row)."
        yield from _worse_slices(cut, parts)


def _worse_slices(cut: str, parts: Slices) -> Iterator[str]:
    for name, part in parts.items():
        found = None if part is None else part.differences[JUDGED[1]]["accuracy"]
        if part is not None and found is not None and verdict("accuracy", found) == "worse":
            few = "" if part.effective_rows >= FEW_ROWS else ", on few independent labels"
            yield (
                f"By {cut}, {name}: the auditor decides worse than its base, accuracy "
                f"{written(found)} apart{few}."
            )


def _moved(result: EvaluationResult, settings: Settings) -> Iterator[str]:
    gates = settings.gates
    for title, found in (("Feature", result.drift), ("Probability", result.forecast_shift)):
        for name, apart in found.items():
            if _beyond(apart, gates.drift_psi_at_most, gates.drift_ks_at_most):
                yield (
                    f"{title} {spoken(name)} has moved since it was learned from: PSI "
                    f"{apart.psi:.2f}, KS {apart.ks:.2f}."
                )


def _beyond(apart: Shifted, psi: float | None, ks: float | None) -> bool:
    """Over each limit that is asked for, as drift is counted."""
    limits = [(apart.psi, psi), (apart.ks, ks)]
    asked = [value > limit for value, limit in limits if limit is not None]
    return bool(asked) and all(asked)
