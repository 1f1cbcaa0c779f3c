"""The description of all routes, for programs (OpenAPI) and as a page without any script."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader
from starlette.responses import HTMLResponse, JSONResponse

router = APIRouter(include_in_schema=False)
_PAGES: Final = Environment(loader=PackageLoader("quantgod.api", "."), autoescape=True)


@router.get("/openapi.json")
def openapi(request: Request) -> JSONResponse:
    """Return the OpenAPI description."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """Return the same as a page."""
    described: dict[str, Any] = request.app.openapi()
    return HTMLResponse(_PAGES.get_template("docs.html.j2").render(described))
