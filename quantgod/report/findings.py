"""Put an evaluation into words: a difference counts only if its interval excludes zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from quantgod.evaluation.evaluation import JUDGED
from quantgod.evaluation.evidence import EvaluationResult
from quantgod.evaluation.intervals import FEWEST_ROWS, Interval
from quantgod.evaluation.plots.style import FEW_ROWS, SCORE_NAMES
from quantgod.evaluation.slices import Slices
from quantgod.evaluation.wording import Verdict, interval_text, number_text, verdict
from quantgod.gates import Gate
from quantgod.gates.bounds import NOT_ASKED
from quantgod.gates.judge import (
    BASE,
    BESIDE_BASE,
    beats,
    calibrated,
    covers,
    drift_bound,
    has_moved,
    no_worse,
    shift_text,
)
from quantgod.report.examination import ALL_DECISIONS, Examination
from quantgod.settings import GateSettings, Settings

DECISIVE: Final = ("macro_f1", "log_loss")
"""Scores that verdicts use: one of decisions, one of probabilities."""

_NAMES: Final = {**SCORE_NAMES, "log_loss": "log-loss"}

FEW_LABELS: Final = 100
"""With fewer independent labels the test part is called short."""


def headlines(result: EvaluationResult) -> list[str]:
    """Return one sentence per decisive score: the auditor's value, and what it beats."""
    return [_headline(result, score) for score in DECISIVE]


def weaknesses(result: EvaluationResult, examined: Examination, settings: Settings) -> list[str]:
    """Return sentences on what speaks against the model or leaves its quality open."""
    return [
        *_short(result),
        *_comparisons(result, settings.gates),
        *_calibration(result, examined, settings),
        *_confidence(examined),
        *_slices(examined),
        *_moved(result, settings),
    ]


def spoken(name: str) -> str:
    """Return a name as it is written in a sentence."""
    return name.replace("_", " ")


def said_by(gate: Gate) -> str:
    """Return a gate's verdict: ` (gate <= 0.05: FAIL)`; empty if the gate is not checked."""
    if gate.bound == NOT_ASKED:
        return ""
    return f" (gate {gate.bound}: {gate.verdict})"


def _headline(result: EvaluationResult, score: str) -> str:
    said: dict[Verdict, list[str]] = {"better": [], "not shown to be better": [], "worse": []}
    for other, found in result.differences.items():
        said[verdict(score, found[score])].append(spoken(other))
    parts = [f"{kind} than {', '.join(others)}" for kind, others in said.items() if others]
    value = interval_text(result.models["auditor"][score])
    return f"{_NAMES[score]} of the auditor {value}: {'; '.join(parts)}."


def _short(result: EvaluationResult) -> Iterator[str]:
    if result.effective_rows < FEW_LABELS:
        yield (
            f"The test part is short: its {result.rows:,} rows equal about "
            f"{result.effective_rows:.0f} independent labels. Intervals of so few are wide, and "
            f"below {FEWEST_ROWS:.0f} there are none."
        )


def _comparisons(result: EvaluationResult, settings: GateSettings) -> Iterator[str]:
    """Yield differences not shown by decisive scores, and other scores in which it is worse."""
    for decisive in (True, False):
        for other, found in result.differences.items():
            for score in (name for name in _NAMES if (name in DECISIVE) == decisive):
                said = verdict(score, found[score])
                if said == "worse" or (decisive and said != "better"):
                    gate = _asked(other, score, found[score], settings)
                    yield (
                        f"The auditor is {said} than {spoken(other)} by {_NAMES[score]}: "
                        f"difference {interval_text(found[score])}{gate}."
                    )


def _asked(other: str, score: str, found: Interval, settings: GateSettings) -> str:
    """Return the verdict of the gate on a difference, if there is one."""
    if other == BASE and score in BESIDE_BASE:
        return said_by(no_worse(score, found, settings))
    if other in settings.beats and score in settings.beats_on:
        return said_by(beats(other, score, found))
    return ""


def _calibration(
    result: EvaluationResult, examined: Examination, settings: Settings
) -> Iterator[str]:
    error = calibrated(result.models["auditor"]["ece"], settings.gates)
    if error.passed is False or error.unjudged:
        yield f"Its calibration error is {error.figure}{said_by(error)}."
    coverage = covers(result.coverage, settings.gates)
    if coverage.passed is False or coverage.unjudged:
        yield (
            f"Conformal sets promise a coverage of {number_text(result.coverage.promised)} and "
            f"have {coverage.figure}{said_by(coverage)}."
        )
    ends = [0.0, *settings.evaluate.confidence_tiers]
    for low, (name, part) in zip(ends, examined.tiers["auditor"].items(), strict=True):
        right = None if part is None else part.models["auditor"]["accuracy"]
        if right is not None and right.high < low:
            came = interval_text(right)
            yield f"It is overconfident: of decisions given {name} came true {came}."


def _confidence(examined: Examination) -> Iterator[str]:
    curve = examined.selective[ALL_DECISIONS]["auditor"]
    if curve.gain is not None and curve.gain.low <= 0:
        yield (
            "Its confidence is not shown to tell right decisions from wrong ones: mean selective "
            f"accuracy above that of all rows {interval_text(curve.gain)}."
        )
    moves = sum(part.moves["auditor"] for part in examined.overall.values() if part is not None)
    if not moves:
        yield "It never decided SELL or BUY."
    elif not examined.set_sizes[1]:
        yield "No conformal set held a single class: it always abstains."


def _slices(examined: Examination) -> Iterator[str]:
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
                f"{interval_text(found)} apart{few}."
            )


def _moved(result: EvaluationResult, settings: Settings) -> Iterator[str]:
    asked = drift_bound(settings.gates)
    for title, found, gate in (
        ("Feature", result.drift, f" (gate {asked}: FAIL)"),
        ("Probability", result.forecast_shift, ""),
    ):
        for name, apart in found.items():
            if has_moved(apart, settings.gates):
                yield (
                    f"{title} {spoken(name)} has moved since it was learned from: "
                    f"{shift_text(apart)}{gate}."
                )
