"""The management page, its sections to be loaded again, its files, and what its forms do."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse, RedirectResponse, Response

from quantgod.api.answers import AbsentError
from quantgod.api.desk import AtDesk
from quantgod.api.page.actions import ACTIONS, Posted, Refused, carried_out
from quantgod.api.page.rendering import MOVING, fragment, page_of

router = APIRouter(include_in_schema=False)

KINDS: Final = {
    "style.css": "text/css",
    "script.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
FILES: Final = {name: files("quantgod.api.page").joinpath(name).read_bytes() for name in KINDS}


@router.get("/")
def page(
    desk: AtDesk,
    done: str = "",
    gates: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> HTMLResponse:
    """Return the page; `done` names what a form has just done, `gates` whose verdict to show."""
    return HTMLResponse(page_of(desk, done=done, gates=gates))


@router.get("/page/files/{name}")
def file(name: str) -> Response:
    """Return a file of the page."""
    if name not in FILES:
        raise AbsentError(f"one of {', '.join(FILES)} expected")
    return Response(FILES[name], media_type=KINDS[name])


@router.get("/page/sections/{name}")
def section(desk: AtDesk, name: str) -> HTMLResponse:
    """Return a section as it is now."""
    if name not in MOVING:
        raise AbsentError(f"one of {', '.join(MOVING)} expected")
    return HTMLResponse(fragment(desk, name))


@router.get("/page/{action}")
def back(action: str) -> Response:
    """Lead back to the page whoever loads the address of a refused form again."""
    return RedirectResponse("/", 303)


@router.post("/page/{action}")
def act(desk: AtDesk, action: str, form: Posted) -> Response:
    """Do what a form asks for and lead back to its section; what is refused stands beside it."""
    if action not in ACTIONS:
        raise AbsentError(f"one of {', '.join(ACTIONS)} expected")
    outcome = carried_out(desk, action, form)
    if ACTIONS[action].done and not isinstance(outcome, Refused):
        return RedirectResponse(f"/?done={action}#{ACTIONS[action].section}", 303)
    status = outcome.status if isinstance(outcome, Refused) else 200
    shown = page_of(desk, posted=action, typed=form.fields, outcome=outcome)
    return HTMLResponse(shown, status)
