"""Do what a form of the page asks for, with the functions of the API's routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quantgod.api.answers import KNOWN, problem_of, status_of
from quantgod.api.change import begin_change
from quantgod.api.desk import Desk
from quantgod.api.routes.change import Enabling, Reason, at_once
from quantgod.api.routes.change import cancel as cancel_change
from quantgod.api.routes.deployments import Promotion, Rollback, promotion, rollback
from quantgod.api.routes.ensemble import models
from quantgod.api.routes.preview import Preview, Previewed, preview
from quantgod.api.routes.training import Training, cancel, start
from quantgod.registry.changing import EnsembleChange
from quantgod.settings import without_passwords
from quantgod.settings.ensemble import Strategy

MOST_FIELDS: Final = 300
NUMBERS: Final = frozenset({"version", "epochs", "batch_size"})
SWITCHES: Final = {"force": "on", "enabled": "true"}
"""Fields that are true or false, and what says that they are true."""


class Form(NamedTuple):
    """What a form has sent.

    Attributes:
        fields: by name; those that were left empty are not there.
        seen: head of the ledger that the page has shown.
        key: idempotency key of the request.
    """

    fields: dict[str, str]
    seen: str
    key: str

    def values(self) -> dict[str, Any]:
        """Return the fields as JSON would have them: forms send texts alone.

        >>> Form({"weight.a": "2", "votes.a": "on", "reason": "7", "force": "on"}, "", "").values()
        {'weight': {'a': '2'}, 'votes': {'a': 'on'}, 'reason': '7', 'force': True}
        """
        made: dict[str, Any] = {}
        for name, text in self.fields.items():
            group, dot, member = name.partition(".")
            if dot:
                made.setdefault(group, {})[member] = text
            elif name in SWITCHES:
                made[name] = text == SWITCHES[name]
            else:
                is_number = name in NUMBERS and re.fullmatch(r"-?\d{1,18}", text)
                made[name] = int(text) if is_number else text
        return made


class Refused(NamedTuple):
    """Why something was not done.

    Attributes:
        action: what was asked for.
        status: HTTP's.
        reasons: in words.
        failed: gates that failed.
    """

    action: str
    status: int
    reasons: list[str]
    failed: list[str]

    @property
    def section(self) -> str:
        """Return the section that shows the form."""
        return ACTIONS[self.action].section


class Nothing(BaseModel):
    """A form without fields."""

    model_config = ConfigDict(extra="forbid")


class Proposal(BaseModel):
    """How the ensemble in place might be."""

    model_config = ConfigDict(extra="forbid")

    strategy: Strategy | None = None
    weight: dict[str, Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]] = {}
    votes: dict[str, str] = Field({}, description="Members that vote, as its keys.")
    reason: Reason = None


def preview_of(desk: Desk, asked: Proposal) -> Previewed:
    """Return what a proposal would do to the test scores."""
    parts = [one.model_type for one in models(desk) if one.weight is not None]
    disabled = [name for name in parts if name not in asked.votes]
    return preview(desk, Preview(strategy=asked.strategy, weights=asked.weight, disabled=disabled))


def change_of(desk: Desk, asked: Proposal) -> EnsembleChange:
    """Return what a proposal has otherwise than the ensemble in place."""
    parts = {one.model_type: one.weight is not None for one in models(desk)}
    enabled = {name: name in asked.votes for name in parts if parts[name] != (name in asked.votes)}
    return EnsembleChange(asked.weight, asked.strategy, enabled)


def switched(desk: Desk, asked: Enabling, seen: str) -> object:
    """Disable or enable a member: at once, or as a change if it takes another version."""
    change = EnsembleChange(enabled={asked.model_type: True})
    return at_once(desk, asked, seen) or begin_change(desk, change, seen, asked.reason)


class Action(NamedTuple):
    """What a form does.

    Attributes:
        section: that shows the form.
        body: of the API's route.
        do: calls it; what it returns is shown by the page anyway, but for a preview.
        done: said afterwards; empty if what was returned is shown.
    """

    section: str
    body: type[BaseModel]
    do: Callable[[Desk, Any, Form], object]
    done: str


ACTIONS: Final[Mapping[str, Action]] = {
    "rollback": Action(
        "deployments",
        Rollback,
        lambda desk, asked, form: rollback(desk, asked, form.seen, Response()),
        "Rolled back: the table's first line is in place.",
    ),
    "promote": Action(
        "versions",
        Promotion,
        lambda desk, asked, form: promotion(desk, asked, form.seen, Response()),
        "Promoted: the version is in place.",
    ),
    "preview": Action("ensemble", Proposal, lambda desk, asked, _: preview_of(desk, asked), ""),
    "change": Action(
        "ensemble",
        Proposal,
        lambda desk, asked, form: begin_change(
            desk, change_of(desk, asked), form.seen, asked.reason
        ),
        "The change has begun; the gates decide whether it takes over.",
    ),
    "enable": Action(
        "ensemble",
        Enabling,
        lambda desk, asked, form: switched(desk, asked, form.seen),
        "Done: the table tells who votes. A member that the version was made without takes another "
        "version, which has begun.",
    ),
    "cancel_change": Action(
        "ensemble",
        Nothing,
        lambda desk, _, __: cancel_change(desk),
        "The change was asked to end. A second request kills it.",
    ),
    "train": Action(
        "training",
        Training,
        lambda desk, asked, form: start(desk, asked, form.key or None),
        "The training has begun.",
    ),
    "cancel": Action(
        "training",
        Nothing,
        lambda desk, _, __: cancel(desk),
        "The training was asked to end. A second request kills it.",
    ),
}


def carried_out(desk: Desk, name: str, form: Form) -> object:
    """Do what a form asks for; return what came of it, or the refusal."""
    action = ACTIONS[name]
    try:
        return action.do(desk, action.body.model_validate(form.values()), form)
    except ValidationError as error:
        reasons = ["{field}: {problem}".format(**problem_of(one)) for one in error.errors()]
        return Refused(name, HTTPStatus.UNPROCESSABLE_ENTITY, reasons, [])
    except KNOWN as error:
        reason = without_passwords(str(error))
        return Refused(name, status_of(error)[0], [reason], list(getattr(error, "failed", ())))


async def _form_of(request: Request) -> Form:
    body = (await request.body()).decode("utf-8", "replace")
    fields = dict(parse_qsl(body, max_num_fields=MOST_FIELDS))  # empty ones are left out
    return Form(fields, fields.pop("seen", ""), fields.pop("key", ""))


Posted = Annotated[Form, Depends(_form_of)]
"""Gives a route the form that was sent."""
