"""Write the model card: what a version is, its scores on the test part, and its weaknesses.

After Mitchell et al., "Model Cards for Model Reporting" (2019), short enough for a registry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pandas as pd

from quantgod.contracts import ALL_FEATURES, CLASSES
from quantgod.dataset.learning_table import whole_rows
from quantgod.evaluation.evaluation import Evaluation
from quantgod.evaluation.evidence import EvaluationResult
from quantgod.evaluation.wording import interval_text, milliseconds_text, number_text
from quantgod.report.ensemble import card_lines, doubts
from quantgod.report.examination import MOVES, Examination
from quantgod.report.findings import headlines, spoken, weaknesses
from quantgod.settings import Settings

SCORES: Final = {
    "macro_f1": "macro-F1",
    "mcc": "MCC",
    "accuracy": "accuracy",
    "log_loss": "log-loss",
    "ece": "ECE",
}
CHARACTERS: Final = 5_000
"""Maximal length of a description in a registry's database."""

NOT_FOR: Final = (
    "Other symbols, venues, horizons or thresholds than it was made for.",
    "Placing orders by itself: a class that is right is no profit after costs and latency. The "
    "backtest and the gates of the same version speak of that.",
    "Minutes after a gap in the book, before a whole window has gone by.",
)


def model_card(
    evaluated: Evaluation,
    examined: Examination,
    table: pd.DataFrame,
    settings: Settings,
    market: str = "",
) -> str:
    """Return Markdown of about a page; longer tables are in the report.

    Args:
        evaluated: scores, with intervals.
        examined: findings beyond the scores.
        table: the labelled table.
        settings: label, evaluate, gates and symbol are read.
        market: says that the market is simulated, if it is.
    """
    result = evaluated.result
    weak = [*doubts(result, settings), *weaknesses(result, examined, settings)]
    found = weak or ["None of those looked for."]
    for kept in reversed(range(len(found) + 1)):
        left = len(found) - kept
        told = [*found[:kept], f"{left} more: see the report."] if left else found
        card = _written(evaluated, examined, table, settings, told, market)
        if len(card) <= CHARACTERS:
            break
    return card


def _written(
    evaluated: Evaluation,
    examined: Examination,
    table: pd.DataFrame,
    settings: Settings,
    weak: Sequence[str],
    market: str,
) -> str:
    result = evaluated.result
    one_of_several = (
        {}
        if result.ensemble is None
        else {"## The ensemble": card_lines(result.ensemble, settings)}
    )
    sections = {
        f"{_first_line(result, settings, market)}\n\n# {result.subject}": [
            *_of(market),
            *_purpose(settings),
        ],
        **one_of_several,
        "## Data": _data(evaluated, table, settings),
        "## On the test part": [*_scores(result), "", *_bullets(headlines(result))],
        "## When it is sure": _bullets(_sure(result, examined)),
        "## Weaknesses found": _bullets(weak),
        "## Not for": _bullets(NOT_FOR),
    }
    return "\n".join(f"{title}\n\n" + "\n".join(lines) + "\n" for title, lines in sections.items())


def _of(market: str) -> list[str]:
    return [f"**Of a {market}: nothing here speaks of a real one.**", ""] if market else []


def _first_line(result: EvaluationResult, settings: Settings, market: str) -> str:
    """Return the first line, which tables of versions show."""
    told = (
        f"{settings.data.series}, the next {settings.label.horizon_minutes} minutes: macro-F1 "
        f"{interval_text(result.models['auditor']['macro_f1'])} on the test part"
    )
    return f"{told} of a {market}" if market else told


def _purpose(settings: Settings) -> list[str]:
    label = settings.label
    who, whom = "A network reads the minute bars of an order book", "it"
    if settings.ensemble is not None:
        who, whom = "Several networks look at an order book and vote", "their answer"
    return [
        f"Says of each minute of {settings.data.symbol} whether the log return of the next "
        f"{label.horizon_minutes} minutes will be above {label.buy_above:+g} (BUY), below "
        f"{label.sell_below:+g} (SELL) or neither (NEUTRAL), with calibrated probabilities. "
        f"{who}; an auditor, fitted on what networks said out of fold, corrects {whom}.",
        *_besides(settings),
    ]


def _besides(settings: Settings) -> list[str]:
    """Return what the network learned beside or instead of the classes."""
    minutes = settings.label.horizon_minutes
    further = ", ".join(str(one.horizon_minutes) for one in settings.label.further)
    if settings.train.objective == "direction":
        return ["", "The network learned the direction alone and never says NEUTRAL by itself."]
    if settings.train.objective == "trend":
        return ["", "The network also learned the strength of the trend to come; it is not served."]
    if settings.train.objective == "multi_task":
        ahead = f", also of the next {further} minutes" if further else ""
        return [
            "",
            f"The network also learned its confidence and the expected return{ahead}. None of "
            f"these is served: judged, answered and traded are the classes of the next {minutes} "
            "minutes.",
        ]
    return []


def _data(evaluated: Evaluation, table: pd.DataFrame, settings: Settings) -> list[str]:
    result, rows = evaluated.result, evaluated.rows
    learned = pd.DatetimeIndex(table.index[evaluated.dev_row])
    came = [float((rows["target"] == number).mean()) for number in range(len(CLASSES))]
    return _bullets([
        f"Data: {settings.data.series}, from `{settings.data.source}`.",
        *_constants(whole_rows(table).loc[: learned[-1]]),
        f"Development part: {_days(learned)}, {_minute(learned[0])} to {_minute(learned[-1])} UTC.",
        f"Test part, which nothing has learned from: {_days(pd.DatetimeIndex(rows['time']))}, "
        f"{_minute(result.first)} to {_minute(result.last)} UTC; {result.rows:,} rows that equal "
        f"about {result.effective_rows:.0f} independent labels.",
        f"Of the test rows {came[0]:.1%} were SELL, {came[1]:.1%} NEUTRAL, {came[2]:.1%} BUY.",
    ])  # fmt: skip


def _constants(dev: pd.DataFrame) -> Iterator[str]:
    features = [name for name in ALL_FEATURES if name in dev]
    constant = [name for name in features if dev[name].min() == dev[name].max()]
    if constant:
        yield f"Never moved, so that nothing is learned of it: {', '.join(constant)}."


def _scores(result: EvaluationResult) -> list[str]:
    lines = [f"| | {' | '.join(SCORES.values())} |", "|---|" + "---|" * len(SCORES)]
    elsewhere = {} if result.ensemble is None else result.ensemble.models
    for model, found in result.models.items():
        if model in elsewhere:
            continue
        cells = " | ".join(interval_text(found[score]) for score in SCORES)
        lines.append(f"| {spoken(model)} | {cells} |")
    return [*lines, "", "In square brackets: 95 % intervals; in round ones why there is none."]


def _sure(result: EvaluationResult, examined: Examination) -> Iterator[str]:
    coverage = result.coverage
    yield (
        f"Conformal sets, which are to hold the class that comes, promise a coverage of "
        f"{number_text(coverage.promised)} and have {interval_text(coverage.found)}; "
        f"{coverage.singletons:.1%} of rows have a set of one class, on all others it abstains."
    )
    yield f"Sets of one class were right in {interval_text(examined.right_alone)}."
    overall = examined.overall["all"]
    if overall is not None:
        hit_rate = interval_text(overall.models["auditor"]["hit_rate"])
        yield (
            f"Hit rate of its {overall.moves['auditor']:,} decided moves (SELL or BUY): "
            f"{hit_rate}; mean over coverages, the most confident first: "
            f"{interval_text(examined.selective[MOVES]['auditor'].area)}."
        )
    if result.inference is not None:
        took = milliseconds_text(result.inference.p99)
        yield f"One window takes {took} (p99) where this was measured."


def _bullets(lines: Iterable[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _minute(time: str | pd.Timestamp) -> str:
    return f"{pd.Timestamp(time):%Y-%m-%d %H:%M}"


def _days(times: pd.DatetimeIndex) -> str:
    days = times.normalize().nunique()
    return f"{days} UTC {'day' if days == 1 else 'days'}"
