"""What a change of the ensemble would do to its test scores, before it is made."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from quantgod.api.answers import ABSENT, CONFLICT, FieldError
from quantgod.api.desk import AtDesk
from quantgod.api.fields import Weight
from quantgod.api.members import InPlace, in_place
from quantgod.api.previews import look
from quantgod.evaluation.intervals import Interval
from quantgod.registry import preview as told
from quantgod.registry.changing import EnsembleChange
from quantgod.settings.ensemble import Strategy

router = APIRouter(prefix="/api/ensemble/preview", tags=["Ensemble"])

HONEST: Final = (
    "Scores of the members together before the auditor, on the version's test part, which {looks} "
    "different changes have been looked at with. Who looks at many finds one that fits by chance. "
    "Only the gates decide."
)
Name = Annotated[str, Field(max_length=100)]


class Preview(BaseModel):
    """A change of the ensemble in place; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    strategy: Strategy | None = Field(None, description="As in the settings of an ensemble.")
    weights: dict[Name, Weight] = Field(
        default_factory=dict, description="Of members, before any outcome; only ratios count."
    )
    disabled: list[Name] = Field(
        default_factory=list, max_length=100, description="Members that abstain."
    )


class ScoreInterval(BaseModel):
    """A score with its 95 % interval."""

    value: float
    low: float
    high: float
    enough: bool = Field(description="False: too few rows, and the interval says nothing.")
    why: str = Field(description="What is lacking then.")


class Scores(BaseModel):
    """What the members say together."""

    log_loss: ScoreInterval | None = Field(description="Null without a row that both answer.")
    macro_f1: ScoreInterval | None
    accuracy: ScoreInterval | None
    answered: float = Field(description="Share of the test minutes that have an answer.")


class Differences(BaseModel):
    """The change's score minus the one as now, on the same minutes."""

    log_loss: ScoreInterval | None
    macro_f1: ScoreInterval | None
    accuracy: ScoreInterval | None


class Previewed(BaseModel):
    """What a change would do to the test scores of the version in place."""

    version: int
    now: Scores
    changed: Scores
    differences: Differences
    rows: int = Field(description="Test minutes that are scored: with an answer as now and then.")
    effective_rows: float = Field(description="Independent labels among them.")
    looks: int = Field(description="Different changes of this version that were previewed.")
    said: str = Field(description="What these numbers are not.")


@router.post("", responses={**ABSENT, **CONFLICT})
def preview(desk: AtDesk, asked: Preview) -> Previewed:
    """Return what a change would do to the test scores. It changes nothing, and is counted.

    What would be refused as a change is refused here by the same words.

    What the members said of the test part is combined anew; weights that move go on from what came
    out of fold, as `evaluate` moves them. The first preview of a change takes seconds.
    """
    found = in_place(desk)
    _check(found, asked)
    change = told.WhatIf(
        strategy=asked.strategy,
        weights=dict(sorted(asked.weights.items())),
        disabled=tuple(sorted({*asked.disabled})),
    )
    result, looks = look(desk.client, desk.settings.manage.folder, found.version, change)
    return Previewed(
        version=int(found.version.version),
        now=Scores(**_scores(result.now.scores), answered=result.now.answered),
        changed=Scores(**_scores(result.changed.scores), answered=result.changed.answered),
        differences=Differences(**_scores(result.differences)),
        rows=result.rows,
        effective_rows=result.effective_rows,
        looks=looks,
        said=HONEST.format(looks=looks),
    )


def _check(found: InPlace, asked: Preview) -> None:
    """Refuse what names no member, and whatever would be refused as a change."""
    known = ", ".join(found.combiner.members)
    for field in ("weights", "disabled"):
        if {*getattr(asked, field)} - {*found.combiner.members}:
            raise FieldError(f"body.{field}", f"members of {known} expected")
    if found.own is not None:
        enabled = dict.fromkeys(asked.disabled, False)
        EnsembleChange(asked.weights, asked.strategy, enabled).of(found.own)


def _scores(scores: dict[str, Interval]) -> dict[str, ScoreInterval | None]:
    return {
        name: ScoreInterval(**scores[name]._asdict()) if name in scores else None
        for name in told.SCORES
    }
