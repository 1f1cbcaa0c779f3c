"""Make the tables of a report: titles, heads and cells as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from quantgod.contracts import CLASSES
from quantgod.evaluation.drift import Shift
from quantgod.evaluation.evaluation import JUDGED
from quantgod.evaluation.evidence import EvaluationResult
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.plots.style import SCORE_NAMES
from quantgod.evaluation.slices import Slice, Slices
from quantgod.evaluation.wording import interval_text, number_text, verdict
from quantgod.report.examination import Examination
from quantgod.report.findings import DECISIVE, spoken

SCORED = ("macro_f1", "mcc", "accuracy", "log_loss", "brier", "ece")
BY_CLASS = tuple(
    f"{score}_{name.lower()}" for score in ("precision", "recall", "f1") for name in CLASSES
)


class Table(NamedTuple):
    """One table of the page."""

    title: str
    head: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    note: str = ""


def score_tables(result: EvaluationResult) -> list[Table]:
    """Return the first tables: scores of every model, and the auditor's differences to others."""
    models = result.models
    return [
        Table(
            "Scores on the test part",
            ("model", *(SCORE_NAMES[score] for score in SCORED)),
            tuple(
                (spoken(name), *(interval_text(found[score]) for score in SCORED))
                for name, found in models.items()
            ),
            "Log-loss, Brier score and calibration error: lower is better.",
        ),
        Table(
            "The auditor's score minus the other's",
            ("other", *(cell for score in DECISIVE for cell in (SCORE_NAMES[score], "verdict"))),
            tuple(
                (spoken(other), *_verdicts(found)) for other, found in result.differences.items()
            ),
            "Paired: both sides are of the same rows. An interval that holds zero shows "
            "nothing, for or against.",
        ),
        Table(
            "By class",
            ("model", *(spoken(score) for score in BY_CLASS)),
            tuple(
                (spoken(name), *(interval_text(found[score]) for score in BY_CLASS))
                for name, found in models.items()
            ),
            "A class that was never decided has precision 0 here.",
        ),
    ]


def detail_tables(result: EvaluationResult, examined: Examination) -> list[Table]:
    """Return the tables with the numbers behind the figures."""
    return [
        *(_slices(f"By {name}", parts) for name, parts in examined.by_cut.items()),
        *(_tiers(model, parts) for model, parts in examined.tiers.items()),
        _selective(examined),
        *_confidence(result),
        _importance(examined),
        _sets(result, examined),
        _shifts("Features: learned from against test part", result.drift),
        _shifts("Probabilities: out of fold against test part", result.forecast_shift),
    ]


def _verdicts(found: dict[str, Interval]) -> Iterator[str]:
    for score in DECISIVE:
        yield interval_text(found[score])
        yield verdict(score, found[score])


def _slices(title: str, parts: Slices) -> Table:
    scores = ("accuracy", "hit_rate")
    columns = [f"{spoken(score)}, {model}" for score in scores for model in JUDGED]
    apart = [f"{spoken(score)}, difference" for score in scores]
    head = ("slice", *_COUNTS, "moves", *columns, *apart)
    body = tuple(
        (name, *("absent" for _ in head[1:])) if part is None else (name, *_slice(part, scores))
        for name, part in parts.items()
    )
    note = (
        "Hit rate: of decided SELL and BUY, the share whose class came. Moves: such decisions of "
        "auditor / base. Difference: auditor minus base."
    )
    return Table(title, head, body, note)


_COUNTS = ("rows", "effective rows")


def _counts(part: Slice) -> tuple[str, ...]:
    return f"{part.rows:,}", f"{part.effective_rows:.1f}"


def _slice(part: Slice, scores: tuple[str, ...]) -> Iterator[str]:
    yield from _counts(part)
    yield " / ".join(f"{part.moves[model]:,}" for model in JUDGED)
    for score in scores:
        for model in JUDGED:
            yield interval_text(part.models[model][score])
    for score in scores:
        yield interval_text(part.differences[JUDGED[1]][score])


_BY_TIER = ("precision", "recall", "caught")


def _tiers(model: str, parts: Slices) -> Table:
    scores = (
        "accuracy",
        *(f"{score}_{name.lower()}" for score in _BY_TIER for name in CLASSES),
    )
    head = ("probability of the decided class", *_COUNTS, *(spoken(score) for score in scores))
    body = tuple(
        (name, *("absent" for _ in head[1:]))
        if part is None
        else (name, *_counts(part), *(interval_text(part.models[model][score]) for score in scores))
        for name, part in parts.items()
    )
    return Table(
        f"By confidence of the {model}",
        head,
        body,
        "Recall is within the tier; caught: of all rows of the class, those decided right in this "
        "tier; - counts no row.",
    )


def _selective(examined: Examination) -> Table:
    body = tuple(
        (
            kind, model, f"{curve.rows:,}", interval_text(curve.area), interval_text(curve.gain),
            interval_text(curve.difference),
        )
        for kind, models in examined.selective.items()
        for model, curve in models.items()
    )  # fmt: skip
    return Table(
        "Selective accuracy",
        ("rows", "model", "count", "mean of the curve", "above the accuracy of all",
         "auditor minus this"),
        body,
        "The mean over coverages of 1 % to 100 %, the most confident first.",
    )  # fmt: skip


def _confidence(result: EvaluationResult) -> Iterator[Table]:
    """Yield the scores of the confidence, of a model that tells any."""
    names = {"confidence": "as it is served", "probability": "probability of the class alone"}
    body = tuple(
        (names[name], interval_text(found["aurc"]), interval_text(found["brier"]))
        for name, found in result.confidence.items()
    )
    if body:
        yield Table(
            "Confidence of the base's decided class",
            ("confidence", "AURC", "Brier score"),
            body,
            "AURC: the mean share of wrong decisions over all coverages, the most "
            "confident first. Of both, less is better.",
        )


def _importance(examined: Examination) -> Table:
    found = examined.importance
    body = tuple(
        (
            group, model, interval_text(loss.log_loss_rise), _each(loss.log_loss_by_repeat),
            interval_text(loss.macro_f1_fall), _each(loss.macro_f1_by_repeat),
        )
        for model, groups in found.models.items()
        for group, loss in groups.items()
    )  # fmt: skip
    return Table(
        "Permutation importance",
        ("group", "model", "rise in log-loss", "by repeat", "fall in macro-F1", "by repeat"),
        body,
        f"{found.rows:,} windows, {found.repeats} permutations a group; intervals are of windows.",
    )


def _each(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _sets(result: EvaluationResult, examined: Examination) -> Table:
    coverage, sizes = result.coverage, examined.set_sizes
    body = (
        ("promised", number_text(coverage.promised)),
        ("found, all rows", interval_text(coverage.found)),
        *(
            (f"found, {name} came", interval_text(found))
            for name, found in examined.coverage_by_class.items()
        ),
        ("right, of sets of one class", interval_text(examined.right_alone)),
        ("rows with none, one, two, three classes", " / ".join(f"{size:,}" for size in sizes)),
        ("a class is in the set from this probability on", f"{coverage.threshold:.4f}"),
    )
    return Table("Conformal sets", ("", "value"), body)


def _shifts(title: str, found: dict[str, Shift]) -> Table:
    body = tuple(
        (spoken(name), f"{apart.psi:.3f}", f"{apart.ks:.3f}") for name, apart in found.items()
    )
    return Table(title, ("column", "PSI", "KS"), body)
