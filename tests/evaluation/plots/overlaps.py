"""Which texts of a figure lie over each other, as only a look at the picture would show."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from matplotlib.axis import Tick
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK = 1.5
"""Pixels by which two texts may touch: their boxes hold more than their ink."""


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Each two texts of a figure that lie over each other, as it is drawn."""
    figure.draw_without_rendering()
    boxes = [(text.get_text(), box) for text, box in _boxes(figure)]
    return [
        (one, other)
        for (one, first), (other, second) in itertools.combinations(boxes, 2)
        if (shared := Bbox.intersection(first, second)) is not None
        and min(shared.width, shared.height) > SLACK
    ]


def _boxes(figure: Figure) -> Iterator[tuple[Text, Bbox]]:
    """Texts that are seen, with the box around each; one that is askew has none of its own."""
    hidden = _hidden_ticks(figure)
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text not in hidden:
            assert text.get_rotation() % 90 == 0, f"{text.get_text()} is askew"
            yield text, Text.get_window_extent(text)  # an annotation's own holds its arrow, too


def _hidden_ticks(figure: Figure) -> set[Text]:
    """Labels of ticks that are not drawn: outside of their axis, or hidden with it."""
    every, drawn = set(), set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            every |= _labels([*axis.get_major_ticks(), *axis.get_minor_ticks()])
            if axes.axison and axis.get_visible():
                drawn |= _labels(axis._update_ticks())
    return every - drawn


def _labels(ticks: Iterable[Tick]) -> set[Text]:
    return {label for tick in ticks for label in (tick.label1, tick.label2)}
