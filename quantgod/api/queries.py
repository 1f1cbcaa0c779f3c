"""Refuse a query that a route does not know: who has mistyped one would be told something else."""

from __future__ import annotations

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute


async def check_queries(request: Request) -> None:
    """Refuse each query that the route does not take.

    Raises:
        RequestValidationError: naming them, and those that it takes.
    """
    route: APIRoute = request.scope["route"]
    fields = get_flat_params(route.dependant)
    known = [field.alias for field in fields if isinstance(field.field_info, Query)]
    others = dict.fromkeys(name for name in request.query_params if name not in known)
    said = f"one of {', '.join(known)} expected" if known else "no query expected"
    if others:
        raise RequestValidationError(
            [{"type": "unknown", "loc": ("query", name), "msg": said} for name in others]
        )
