"""Say why a request was not carried out: a status, a code for programs, a reason for people."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from quantgod.api.jobs import JobRefusedError
from quantgod.live.journal import JournalError
from quantgod.registry.ledger import LedgerError
from quantgod.registry.ledger_run import ConcurrentPromotionError
from quantgod.registry.moving import LedgerWentOnError
from quantgod.registry.registered import EmptyVersionError, NoSuchVersionError, VersionError
from quantgod.registry.verdict import GatesNotPassedError
from quantgod.settings import without_passwords


class Refusal(BaseModel):
    """Why a request was not carried out."""

    code: str = Field(description="For programs; it does not change.")
    reason: str = Field(description="For people: what came, what was expected, what to do.")


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Where it stands: `body.version`, `query.limit`.")
    problem: str = Field(description="What was expected.")


class InvalidRequest(Refusal):
    """A request that is not of the described form."""

    fields: list[FieldProblem] = Field(description="Each field that is wrong.")


class GatesRefusal(Refusal):
    """A change that the present state or the gates do not allow."""

    failed: list[str] = Field(
        description="Names of the gates that failed; empty for other reasons."
    )


class FieldError(ValueError):
    """A field that is of the described form, but names what is not there.

    Attributes:
        field: where it stands: `body.version`.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


class AbsentError(LookupError):
    """There is no such thing."""


Documented = dict[int | str, dict[str, Any]]

_LATER: Final = {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
ANYWHERE: Final[Documented] = {
    401: {"model": Refusal, "description": "Without the token, or with a wrong one."},
    403: {"model": Refusal, "description": "Another host's name, or another site's page."},
    413: {"model": Refusal, "description": "A body that is too long or does not come."},
    422: {"model": InvalidRequest, "description": "Not of the described form; names the fields."},
    429: {"model": Refusal, "description": "Too many requests or wrong tokens.", **_LATER},
    503: {
        "model": Refusal,
        "description": "The tracking store does not answer, or the server ends.",
    },
}
"""What any route may answer."""

ABSENT: Final[Documented] = {404: {"model": Refusal, "description": "There is no such thing."}}
CONFLICT: Final[Documented] = {
    409: {"model": GatesRefusal, "description": "The gates, or the present state, do not allow it."}
}

_STATUS: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (NoSuchVersionError, 404, "no_such_version"),
    (EmptyVersionError, 404, "empty_version"),
    (JournalError, 404, "no_journal"),
    (AbsentError, 404, "absent"),
    (JobRefusedError, 409, "not_now"),
    (LedgerWentOnError, 412, "ledger_went_on"),
    (GatesNotPassedError, 409, "gates_failed"),
    (VersionError, 409, "not_allowed"),
    (ConcurrentPromotionError, 409, "another_was_first"),
    (LedgerError, 409, "ledger_broken"),
    (MlflowException, 503, "store_away"),
)
"""Statuses and codes of known errors, the most special first."""

_NO_OBJECT: Final = "a JSON object expected, as Content-Type: application/json"

KNOWN: Final[tuple[type[Exception], ...]] = (*(kind for kind, _, _ in _STATUS), FieldError)
"""Errors that are answered by a status and a reason."""


def status_of(error: Exception) -> tuple[int, str]:
    """Return the status and the code that a known error is answered by."""
    found = ((status, code) for kind, status, code in _STATUS if isinstance(error, kind))
    return next(found, (422, "invalid"))


def refused(
    status: int, code: str, reason: str, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """Return an answer that says why a request was not carried out."""
    said = {"code": code, "reason": without_passwords(reason), **more}
    return JSONResponse(said, status, dict(headers or {}))


def told_elsewhere(told: str, code: str) -> Response:
    """Return the answer to an error that another process has told as `NAME: reason`.

    Args:
        told: name and reason; an unknown name is a part of the reason.
        code: for unknown ones, which are answered with 409.
    """
    name, _, reason = told.partition(": ")
    known = {kind.__name__: (status, its) for kind, status, its in _STATUS}
    status, its = known.get(name, (409, code))
    more: dict[str, Any] = {"failed": []} if status == HTTPStatus.CONFLICT else {}
    return refused(status, its, reason if name in known else told, None, **more)


def answer_errors(app: FastAPI) -> None:
    """Let an application answer known errors by status, code and reason."""
    for kind, _, _ in _STATUS:
        app.exception_handler(kind)(_known)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(FieldError)(_field)
    app.exception_handler(HTTPException)(_http)


async def _known(_request: Request, error: Exception) -> Response:
    status, code = status_of(error)
    failed = list(getattr(error, "failed", ()))
    more: dict[str, Any] = {"failed": failed} if status == HTTPStatus.CONFLICT else {}
    return refused(status, code, str(error), None, **more)


async def _invalid(_request: Request, error: RequestValidationError) -> Response:
    """Name each field, without what came: it may be a secret in a wrong place."""
    return _named(*map(problem_of, error.errors()))


def problem_of(error: Mapping[str, Any]) -> dict[str, str]:
    """Return the field that pydantic's error names, and what is wrong with it."""
    if error["type"] == "json_invalid":
        where, said = error["loc"][-1], error["ctx"]["error"]
        return {"field": "body", "problem": f"JSON expected, at character {where}: {said}"}
    said = _NO_OBJECT if error["type"] == "model_attributes_type" else error["msg"]
    said = said.removeprefix("Value error, ")
    return {"field": ".".join(map(str, error["loc"])), "problem": said}


async def _field(_request: Request, error: FieldError) -> Response:
    return _named({"field": error.field, "problem": str(error)})


def _named(*fields: dict[str, str]) -> Response:
    named = "; ".join(f"{one['field']}: {one['problem']}" for one in fields)
    return refused(422, "invalid", named, fields=list(fields))


async def _http(_request: Request, error: HTTPException) -> Response:
    if (
        error.status_code == HTTPStatus.BAD_REQUEST
    ):  # said by FastAPI alone, of bytes that are no text
        return _named({"field": "body", "problem": "JSON in UTF-8 expected"})
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return refused(error.status_code, code, str(error.detail), error.headers)
