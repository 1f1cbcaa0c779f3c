"""Draw lines over minutes as SVG that takes its colours from the page's stylesheet.

A template draws them, and matplotlib only finds round numbers for the scale: its own SVG carries
style attributes, which the content security policy forbids inline, has one theme's colours, and
takes thirty times as long (118 ms of two hours' bars, against 4). Widths are shares of the page's,
so that text keeps its size on a phone.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from matplotlib.ticker import MaxNLocator

HEIGHT: Final = 220
"""Of the drawing in pixels."""

MARGIN: Final = 18
"""Above and below what is drawn, for marks and text."""

WIDTH: Final = 1000
"""Units of the width that lines are drawn in; the page stretches them."""

STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)
"""Minutes between times that are written below a chart."""

MOST_TIMES: Final = 5


class Point(NamedTuple):
    """A value at an epoch minute; None where there is none."""

    minute: int
    value: float | None


class Mark(NamedTuple):
    """Something that happened: `kind` names its shape, `said` tells it in words."""

    minute: int
    value: float
    kind: str
    said: str


class Line(NamedTuple):
    """A line and its name."""

    name: str
    points: Sequence[Point]


class Tick(NamedTuple):
    """A place on an axis (pixels from above, or a share of the width in %), and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """What a template draws.

    Attributes:
        paths: SVG path data of each line, by name; a gap where minutes have no value.
        marks: x in % of the width, y in pixels, and the mark.
        heights: ticks of the values.
        times: ticks of the minutes.
    """

    paths: dict[str, str]
    marks: list[tuple[float, float, Mark]]
    heights: list[Tick]
    times: list[Tick]


def draw(
    lines: Sequence[Line], marks: Sequence[Mark] = (), span: tuple[int, int] | None = None
) -> Drawing | None:
    """Return what is to be drawn; None if no line has a value.

    Args:
        lines: that are drawn.
        marks: at minutes within those of the lines.
        span: first and last minute of the axis; by default those of the lines.
    """
    minutes = span or [point.minute for line in lines for point in line.points]
    values = [point.value for line in lines for point in line.points if point.value is not None]
    if not values:
        return None
    first, last = min(minutes), max(minutes)
    ticks = [float(one) for one in MaxNLocator(4).tick_values(min(values), max(values))]
    low, high = ticks[0], ticks[-1]

    def across(minute: int) -> float:
        return (minute - first) / max(1, last - first)

    def down(value: float) -> float:
        return MARGIN + (high - value) / (high - low) * (HEIGHT - 2 * MARGIN)

    def path(points: Sequence[Point]) -> Iterator[str]:
        before = None  # the last minute with a value
        for minute, value in points:
            if value is not None:
                pen = "L" if before == minute - 1 else "M"
                yield f"{pen}{across(minute) * WIDTH:.1f} {down(value):.1f}h0"
                before = minute

    return Drawing(
        {line.name: "".join(path(line.points)) for line in lines},
        [(100 * across(one.minute), down(one.value), one) for one in marks],
        [Tick(down(one), number(one)) for one in ticks],
        [Tick(100 * across(one), time_of(one)) for one in _times(first, last)],
    )


def time_of(minute: int) -> str:
    """Return an epoch minute as a time of its day, UTC.

    >>> time_of(29_000_000)
    '21:20'
    """
    return f"{dt.datetime.fromtimestamp(60 * minute, dt.UTC):%H:%M}"


def number(value: float) -> str:
    """Return a number as short as six digits allow.

    >>> number(30000.0), number(0.25), number(0.30000000000000004)
    ('30,000', '0.25', '0.3')
    """
    return f"{value:,.6g}"


def _times(first: int, last: int) -> list[int]:
    """Return round minutes between two, at most `MOST_TIMES` of them."""
    step = next((one for one in STEPS if (last - first) / one < MOST_TIMES), STEPS[-1])
    return list(range(math.ceil(first / step) * step, last + 1, step))
