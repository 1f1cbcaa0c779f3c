"""Put the application together: routes, errors, description, and the guard around all of it."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Depends, FastAPI

from quantgod.api.answers import ANYWHERE, answer_errors
from quantgod.api.desk import Desk
from quantgod.api.guard.guard import Guard
from quantgod.api.queries import check_queries
from quantgod.api.recent import RecentAnswers
from quantgod.api.routes import (
    bars,
    change,
    deployments,
    description,
    ensemble,
    health,
    live,
    page,
    preview,
    signals,
    training,
    versions,
    votes,
)

DESCRIPTION: Final = (
    "Signals, versions, deployments, members and training of one registered model. Every call "
    "needs the token; a change of what is in place needs the ETag of what it changes as If-Match, "
    "and ends as an entry of the ledger."
)
ROUTERS: Final = (
    *(health, live, signals, bars, versions, deployments, ensemble, change, preview, votes),
    *(training, description, page),
)


def make_app(desk: Desk, kept: str) -> Guard:
    """Return the management API as an ASGI application.

    Args:
        desk: what the routes work on.
        kept: hash of the token.
    """
    app = _Api(
        title="quantgod: management",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        responses=ANYWHERE,
        dependencies=[Depends(check_queries)],
    )
    app.state.desk = desk
    answer_errors(app)
    app.add_middleware(RecentAnswers, journal=desk.journal)
    for routes in ROUTERS:
        app.include_router(routes.router)
    return Guard(app, kept, desk.settings.manage)


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Return the description, which also says that each route is behind the guard's token."""
        described = super().openapi()
        bearer = {"type": "http", "scheme": "bearer"}
        described["components"]["securitySchemes"] = {"token": bearer}
        described["security"] = [{"token": []}]
        return described
