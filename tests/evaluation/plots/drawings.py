"""What a figure draws, as numbers and words: all that is put into it, but not how it looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import matplotlib.colors
import matplotlib.dates
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.spines import Spine
from matplotlib.text import Text

FEW = 24
"""More numbers are told by their count, their sum, and their sum weighed by place."""
GAP = -1e6
"""Stands for what is not a number."""

Shown = tuple[str, list[Any], list[str]]
"""A kind of part, the numbers that it shows, and the words."""


def drawn(figure: Figure) -> dict[str, list[Any]]:
    """Return numbers and words by kind of part, of each panel and of the figure."""
    parts = [(f"{place} {kind}", *shown) for place, axes in enumerate(figure.axes)
             for kind, *shown in _parts(axes)]  # fmt: skip
    found: dict[str, list[Any]] = {}
    for place, some in groupby(sorted(parts, key=lambda part: part[0]), lambda part: part[0]):
        _, numbers, words = zip(*some, strict=True)
        found[place] = _few([one for group in numbers for one in group])
        found[f"{place}, words"] = _once(word for group in words for word in group)
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    texts += [text for text in (figure._supxlabel, figure._suptitle) if text]  # type: ignore[attr-defined]
    return found | {"words": [text.get_text() for text in texts]}


def _parts(axes: Axes) -> Iterator[Shown]:
    scales = [axes.get_xscale(), axes.get_yscale(), f"turned: {axes.yaxis_inverted()}"]
    titles = [axes.get_title(), axes.get_xlabel(), axes.get_ylabel(), *scales]
    yield "axes", [*_limits(axes), *axes.margins(), axes.get_box_aspect() or 0.0], titles
    yield (
        "frame",
        [*_shared(axes), *_ticks(axes)],
        [name for name, spine in axes.spines.items() if spine.get_visible()],
    )
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if hasattr(axis.get_major_locator(), "locs"):  # ticks that were set, not found
            labels = [tick.get_text() for tick in axis.get_ticklabels()]
            yield f"{name} ticks", _numbers(axis.get_major_locator().locs), labels
    if (legend := axes.get_legend()) is not None:
        yield "legend", [], [text.get_text() for text in legend.get_texts()]
    for one in axes.get_children():
        yield from _artist(one, axes)


def _limits(axes: Axes) -> Iterator[float]:
    """Return the limits that were set, not those that were found by what is drawn."""
    if not axes.get_autoscalex_on():
        yield from axes.get_xlim()
    if not axes.get_autoscaley_on():
        yield from axes.get_ylim()


def _shared(axes: Axes) -> Iterator[float]:
    """Return with how many panels its axes are shared."""
    for shared in (axes.get_shared_x_axes(), axes.get_shared_y_axes()):
        yield len(shared.get_siblings(axes))


def _ticks(axes: Axes) -> Iterator[float]:
    """Return how long its ticks are, where that was set."""
    for axis in (axes.xaxis, axes.yaxis):
        yield axis.get_tick_params().get("length", GAP)


def _artist(one: Artist, axes: Axes) -> Iterator[Shown]:
    if isinstance(one, Line2D):
        data = [*_numbers(one.get_xdata(orig=False)), *_numbers(one.get_ydata(orig=False))]
        yield "line", data, [_colour(one.get_color()), str(one.get_linestyle())]
    elif isinstance(one, Text) and one.get_text() and one is not axes.title:
        places = [one.get_position(), getattr(one, "xy", ()), getattr(one, "xyann", ())]
        numbers = [number for place in places for number in _numbers(place)]
        words = [one.get_text(), one.get_ha(), one.get_va(), _colour(one.get_color())]
        yield "text", numbers, words
    elif isinstance(one, Collection):
        paths = [number for path in one.get_paths() for number in _numbers(path.vertices)]
        values = []
        if one.get_array() is not None:
            values = [*_numbers(one.get_array()), *one.get_clim()]
        colours = [*one.get_facecolor(), *one.get_edgecolor()]
        yield "shape", [*_numbers(one.get_offsets()), *paths, *values], [*map(_colour, colours)]
    elif isinstance(one, AxesImage):
        yield "image", [*_numbers(one.get_array()), *one.get_clim()], []
    elif isinstance(one, Patch) and not isinstance(one, Spine) and one is not axes.patch:
        corners = one.get_path().transformed(one.get_patch_transform()).vertices
        yield "patch", _numbers(corners), [_colour(one.get_facecolor())]


def _numbers(values: Any) -> list[float]:
    """Return the numbers of an array: days for times, nothing for names."""
    array = np.asarray(values)
    if array.dtype.kind in "MO":
        array = np.asarray(matplotlib.dates.date2num(values))
    if array.dtype.kind not in "fiub":
        return []
    return [float(one) for one in np.nan_to_num(array.astype(float), nan=GAP).ravel()]


def _few(numbers: list[float]) -> list[float]:
    if len(numbers) <= FEW:
        return numbers
    weighed = np.multiply(numbers, 1 + np.arange(len(numbers)) % 97)
    return [len(numbers), float(np.sum(numbers)), float(weighed.sum())]


def _colour(colour: Any) -> str:
    return matplotlib.colors.to_hex(colour)


def _once(words: Iterable[str]) -> list[str]:
    """Return words, those that follow their like by their number."""
    counts = [(word, len([*alike])) for word, alike in groupby(words)]
    return [word if count == 1 else f"{count} times {word}" for word, count in counts]
