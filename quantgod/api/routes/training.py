"""Training in a process of its own: one at a time, with progress and cancel (document 001)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field

from quantgod.api.answers import CONFLICT, FieldError
from quantgod.api.desk import AtDesk, Desk
from quantgod.api.fields import WHOLE, Like, Symbol
from quantgod.api.job_runs import ended_how, run_of
from quantgod.api.jobs import Job, OtherRequestError
from quantgod.api.training import has_data, losses, training_command

router = APIRouter(prefix="/api/ensemble/training", tags=["Training"])

Count = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
Name = Annotated[
    str,
    Like(
        "[A-Za-z0-9][A-Za-z0-9_-]{0,99}",
        "a name of letters, digits, - and _ expected, at most 100, such as tcn_lstm",
    ),
]
Key = Annotated[str, Like("[!-~]{1,200}", "1 to 200 characters of ASCII without blanks expected")]


class Training(BaseModel):
    """What to train."""

    model_config = ConfigDict(extra="forbid")

    architecture: Name = Field(
        description="A member of the server's settings; where they have none, a network's name.",
    )
    symbol: Symbol | None = Field(
        None, description="Else that of the settings. Its data has to be there."
    )
    epochs: Count | None = Field(None, description="At most; else as the settings say.")
    batch_size: Count | None = Field(None, description="Windows a step; else as the settings say.")


class TrainingStatus(BaseModel):
    """The training that runs, or else the last one."""

    is_training: bool
    state: Literal["none", "running", "finished", "failed", "cancelled"]
    current_epoch: int = Field(description="Epochs that are done. A member's folds follow them.")
    total_epochs: int | None = Field(description="At most: it may stop earlier.")
    current_loss: float | None = Field(description="On the validation part, after that epoch.")
    best_loss: float | None = Field(description="The least one so far.")
    architecture: str | None
    symbol: str | None
    progress_percent: float = Field(description="Of the epochs; 100 once it has finished.")
    job: str | None = Field(description="Identifies the training.")
    since: str | None = Field(description="ISO 8601, UTC.")
    run_id: str | None = Field(description="Its run in MLflow; null until that begins.")
    reason: str | None = Field(description="Why it failed.")


@router.post("/start", status_code=202, responses=CONFLICT)
def start(
    desk: AtDesk,
    asked: Training,
    idempotency_key: Annotated[
        Key | None,
        Header(
            description="The same request with the same key starts nothing, and tells of the "
            "training that the first one has started.",
        ),
    ] = None,
) -> TrainingStatus:
    """Start `python -m steps.train` in a process of its own; 409 while another one runs.

    It trains and registers nothing: `main` makes a version of it, which gates judge.
    """
    members = desk.settings.members
    if members and asked.architecture not in members:
        known = ", ".join(members)
        raise FieldError("body.architecture", f"one of the members {known} expected")
    own = desk.settings.data.symbol
    if asked.symbol not in (None, own) and not has_data(desk.settings, asked.symbol):
        raise FieldError("body.symbol", f"{own}, or another with labels, bars or archives expected")
    said = asked.model_dump()
    try:
        desk.jobs.begin(training_command(desk, said), said, idempotency_key or "")
    except OtherRequestError as error:
        raise FieldError("header.idempotency-key", str(error)) from None
    return status(desk)


@router.get("/status")
def status(desk: AtDesk) -> TrainingStatus:
    """Return how far the training is, or how the last one has ended."""
    job = desk.jobs.last()
    return _none() if job is None else _of(desk, job)


@router.post("/cancel", status_code=202, responses=CONFLICT)
def cancel(desk: AtDesk) -> TrainingStatus:
    """Ask the training to end; its checkpoints are kept, and the same request goes on from them.

    A second call kills it with all its children.
    """
    return _of(desk, desk.jobs.cancel())


def _of(desk: Desk, job: Job) -> TrainingStatus:
    is_running = desk.jobs.is_running(job)
    run = run_of(desk.client, job, "train")
    told = [] if run is None else losses(desk.client, run)
    state, reason = ("running", None) if is_running else ended_how(desk.jobs, job, run)
    total = None if run is None else int(run.data.params["train.epochs"])
    share = 1.0 if state == "finished" else len(told) / (total or 1)
    return TrainingStatus.model_validate(
        {
            **{name: job.asked[name] for name in ("architecture", "symbol")},
            "is_training": is_running,
            "state": state,
            "current_epoch": len(told),
            "total_epochs": total,
            "current_loss": told[-1] if told else None,
            "best_loss": min(told, default=None),
            "progress_percent": round(100 * min(share, 1.0), 1),
            "job": job.id,
            "since": job.since,
            "run_id": None if run is None else run.info.run_id,
            "reason": reason,
        }
    )


def _none() -> TrainingStatus:
    empty = dict.fromkeys(TrainingStatus.model_fields)
    known = {"is_training": False, "state": "none", "current_epoch": 0, "progress_percent": 0.0}
    return TrainingStatus.model_validate(empty | known)
