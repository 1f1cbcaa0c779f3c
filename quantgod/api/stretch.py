"""A stretch of time that a route is asked for, and its rows in pages of whole minutes."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Final, NamedTuple

from fastapi import Depends, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from quantgod.api.answers import FieldError
from quantgod.api.desk import AtDesk
from quantgod.api.journal import DAY, Row, newest_minute

MOST: Final = 10_000
EVER: Final = 2**62
"""After every epoch minute."""

_MINUTE: Final = 60
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def _written(value: Any) -> Any:
    """Refuse a number as a time: only a text with a date is as the description says."""
    if isinstance(value, str) and not _DATE.match(value):
        raise ValueError("a time as in RFC 3339 expected: 2025-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written)]


class Paged(BaseModel):
    """Rows in order of time."""

    following: dt.datetime | None = Field(
        description="Where the next call goes on (`since`), if there are more; else null."
    )


class Stretch(NamedTuple):
    """Epoch minutes from `since` to before `until`, and how many rows are told at once."""

    since: int
    until: int
    limit: int

    def page(self, rows: list[Row]) -> tuple[list[Row], dt.datetime | None]:
        """Return the first rows, whole minutes and at least one, and the minute of the next."""
        if len(rows) <= self.limit:
            return rows, None
        first, cut = rows[0]["minute"], rows[self.limit]["minute"]
        if cut == first:
            cut = next((row["minute"] for row in rows if row["minute"] > first), None)
        page = rows if cut is None else [row for row in rows if row["minute"] < cut]
        return page, None if cut is None else dt.datetime.fromtimestamp(cut * _MINUTE, dt.UTC)


def _stretch(
    desk: AtDesk,
    since: Annotated[
        Moment | None, Query(description="From this time on; else of a day before `until`.")
    ] = None,
    until: Annotated[
        Moment | None,
        Query(
            description="Before this time; else to the last, or without `since` to the minute that "
            "was journaled last."
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="So many, but whole minutes.")] = 1000,
) -> Stretch:
    begin, end = (None if one is None else _minute(one.timestamp()) for one in (since, until))
    if since is not None and until is not None and since > until:
        raise FieldError("query.since", "a time before `until` expected")
    if begin is None:
        end = (newest_minute(desk.journal) or 0) + 1 if end is None else end
        begin = end - DAY
    return Stretch(begin, EVER if end is None else end, limit)


Asked = Annotated[Stretch, Depends(_stretch)]
"""Gives a route the stretch that it is asked for."""


def _minute(seconds: float) -> int:
    """Return the first whole epoch minute at or after a time."""
    return int(-(-seconds // _MINUTE))
