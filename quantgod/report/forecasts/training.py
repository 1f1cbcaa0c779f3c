"""Write the record of a training, which document 002 calls its report: plain numbers and words."""

from __future__ import annotations

from typing import Any

import msgspec

from quantgod.evaluation.plots.forecasts import Course
from quantgod.gates import all_passed
from quantgod.report.forecasts.findings import ahead_of, headlines, weaknesses
from quantgod.report.forecasts.material import ForecastMaterial


def training_report(material: ForecastMaterial) -> dict[str, Any]:
    """Return all that was found, as values that JSON holds.

    Its keys: `subject`, `verdict` and `weaknesses` in sentences, `members` with the course of each
    training, `scores` by horizon, `claims`, `gates` and whether they `passed`, `settings`,
    `lineage`, and `market`.
    """
    evaluation = material.evaluation
    return {
        "subject": evaluation.subject,
        "market": material.market,
        "verdict": headlines(evaluation, material.gates),
        "weaknesses": weaknesses(evaluation),
        "members": {name: _course(course) for name, course in material.courses.items()},
        "scores": {
            ahead_of(evaluation, one.steps): _plain(one) for one in evaluation.horizons
        },
        "claims": [
            {"horizon": ahead_of(evaluation, claim.steps), "claimed": claim.is_made,
             **_plain(claim)}
            for claim in evaluation.claims
        ],
        "gates": [{"verdict": gate.verdict, **_plain(gate)} for gate in material.gates],
        "passed": all_passed(material.gates),
        "settings": dict(material.settings),
        "lineage": dict(material.lineage),
    }  # fmt: skip


def _plain(record: msgspec.Struct) -> dict[str, Any]:
    """Return a record as JSON holds it: names as text, intervals as lists."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(record))
    return found


def _course(course: Course) -> dict[str, Any]:
    return {
        "unit": course.unit,
        "number": len(course.train_loss),
        "kept": course.best + 1,
        "seconds": round(course.seconds, 3),
        "train_loss": course.train_loss[course.best],
        "validation_loss": course.validation_loss[course.best],
    }
