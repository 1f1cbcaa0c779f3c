"""Figures say what they were given; what is few is hollow, and what is absent has no dot."""

from __future__ import annotations

import io
from typing import Any

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from quantgod.contracts import CLASSES
from quantgod.evaluation import plots
from quantgod.evaluation.drift import Shift
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.plots.style import MODEL_COLOURS
from quantgod.evaluation.selective import COVERAGES, Curve
from quantgod.evaluation.slices import Slice, Slices
from quantgod.evaluation.wording import verdict

SCORES = ["accuracy", "hit_rate"]
SCORES += [f"{score}_{name.lower()}" for score in ("precision", "recall") for name in CLASSES]
BOTH = ("auditor", "base")


def part(value: float, effective_rows: float = 50.0, models: tuple[str, ...] = BOTH) -> Slice:
    told = dict.fromkeys(SCORES, Interval(value, value - 0.1, value + 0.05))
    return Slice(
        rows=1234, share=0.5, effective_rows=effective_rows, moves={},
        models={model: {**told, "hit_rate": None} for model in models}, differences={},
    )  # fmt: skip


def sliced(**changes: Slice | None) -> Slices:
    return {"Tokyo": part(0.4), "London": None, "New York": part(0.6, 19.9), **changes}


def dots(axes: Any) -> list[tuple[float, bool]]:
    """The height of every dot, and whether it is filled."""
    return [
        (float(group.get_offsets()[0][1]), not np.allclose(group.get_facecolors()[0][:3], 1))
        for group in axes.collections
        if len(group.get_offsets()) == 1
        and len(group.get_paths()) == 1
        and hasattr(group, "get_sizes")
    ]


def spans(axes: Any) -> list[list[float]]:
    return [
        group.get_segments()[0][:, 1].tolist()
        for group in axes.collections
        if hasattr(group, "get_segments") and len(group.get_segments()) == 1
    ]


def text_of(figure: Figure) -> str:
    return " ".join(
        text.get_text() for text in figure.findobj(lambda found: hasattr(found, "get_text"))
    )


def curve(rows: int = 100) -> Curve:
    points = tuple(Interval(0.8 - 0.3 * share, 0.4, 0.9) for share in COVERAGES)
    return Curve(
        rows=rows, values=points if rows else (), gain=None,
        area=Interval(0.65, 0.6, 0.7) if rows else None,
    )  # fmt: skip


def time(minutes: int, stride: str = "min") -> pd.Series:
    return pd.Series(pd.date_range("2024-01-01", periods=minutes, freq=stride, tz="UTC"))


def test_slices_show_value_and_interval_hollow_where_few_and_nothing_where_absent() -> None:
    figure = plots.slices({"session": sliced()}, {"accuracy": "accuracy"}, {"all": part(0.5)})
    axes = figure.axes[0]
    assert sorted(dots(axes)) == [(0.4, True), (0.4, True), (0.6, False), (0.6, False)]
    assert np.allclose(sorted(spans(axes)), [[0.3, 0.45]] * 2 + [[0.5, 0.65]] * 2)
    overall = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert overall == [0.5, 0.5]
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert ticks == ["Tokyo\n1,234\n(50)", "London\nabsent", "New York\n1,234\n(20)"]


def test_a_score_that_counts_no_row_has_no_dot() -> None:
    figure = plots.slices({"session": sliced()}, {"hit_rate": "hits"}, {"all": part(0.5)})
    assert dots(figure.axes[0]) == [] and spans(figure.axes[0]) == []


def test_tiers_stand_in_the_range_of_probability_that_they_promise() -> None:
    tiers = {"below 0.5": part(0.45), "0.5 to 0.8": None, "0.8 or more": part(0.9, 3.0)}
    figure = plots.tiers({"auditor": tiers, "base": tiers}, (0.5, 0.8))
    bars = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in figure.axes[0].patches]
    assert np.allclose(bars, [(0, 0.5), (0.5, 0.8), (0.8, 1)])
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert len(panels) == 8
    for name in CLASSES:
        for title in (f"precision of {name}", f"recall of {name} (within the tier)"):
            assert sorted(dots(panels[title])) == [
                (0.45, True), (0.45, True), (0.9, False), (0.9, False),
            ]  # fmt: skip
    heights = [bar.get_height() for bar in panels["share of all rows"].patches]
    assert heights == [0.5, 0.0, 0.5] * 2


def test_selective_accuracy_shows_curve_band_and_mean() -> None:
    figure = plots.risk_coverage(
        {"all": {"auditor": curve()}, "moves": {"auditor": curve(0), "base": curve(0)}}
    )
    left, right = figure.axes
    assert left.lines[0].get_ydata() == pytest.approx([0.8 - 0.3 * share for share in COVERAGES])
    band = left.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((0.4, 0.9))
    assert "auditor 0.650 [0.600, 0.700]" in text_of(figure)
    assert not right.lines and "no such rows" in text_of(figure)


def test_a_difference_is_coloured_by_what_it_shows() -> None:
    differences = {
        "majority": {"log_loss": Interval(-0.2, -0.3, -0.1)},
        "persistence": {"log_loss": Interval(-0.2, -0.3, 0.1)},
        "base": {"log_loss": Interval(0.2, 0.1, 0.3)},
    }
    figure = plots.advantages(differences, verdict, ["log_loss"])
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["better", "not shown to be better", "worse"]
    colours = [matplotlib.colors.to_hex(text.get_color()) for text in figure.axes[0].texts]
    assert len(set(colours)) == 3
    assert "left of 0" in figure.axes[0].get_xlabel()


def test_a_group_s_cost_stands_beside_it_for_each_model() -> None:
    costs = {"volume": Interval(0.1, 0.0, 0.2), "spread": Interval(-0.1, -0.2, 0.0)}
    figure = plots.group_importance({"rise": {"auditor": costs, "base": costs}})
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.1, -0.1, 0.1, -0.1]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["volume", "spread"]
    lines = [line[:, 0].tolist() for group in axes.collections for line in group.get_segments()]
    assert lines == [[0.0, 0.2], [-0.2, 0.0]] * 2
    assert [line.get_xdata() for line in axes.lines] == [[0, 0]]
    places = [bar.get_y() for bar in axes.patches]
    assert axes.yaxis_inverted() and places[0] < places[2] < places[1]  # auditor above base


def test_conformal_sets_stand_beside_their_promise() -> None:
    found = {"all rows": Interval(0.92, 0.85, 0.95), "SELL came": None}
    figure = plots.conformal(0.9, found, (5, 60, 30, 5))
    left, right = figure.axes
    assert left.lines[0].get_xdata() == [0.9, 0.9]
    assert {"92.0%", "absent"} <= {text.get_text() for text in left.texts}
    assert [bar.get_height() for bar in right.patches] == [5, 60, 30, 5]


def test_what_lies_beyond_a_limit_stands_out() -> None:
    found = {"body": Shift(0.6, 0.2), "volume": Shift(0.1, 0.1)}
    left, right = plots.shifts(found, 0.5, 0.45).axes
    colours = [[matplotlib.colors.to_hex(c) for c in axes.collections[1].get_facecolors()]
               for axes in (left, right)]  # fmt: skip
    assert colours == [["#d55e00", "#0072b2"], ["#0072b2", "#0072b2"]]
    assert left.lines[0].get_xdata() == [0.5, 0.5] and right.lines[0].get_xdata() == [0.45, 0.45]
    assert not plots.shifts(found, None, None).axes[0].lines


def test_both_distributions_of_a_probability_are_drawn_in_shares() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.dirichlet([1, 3, 1], 40), rng.dirichlet([1, 1, 1], 700)
    found = {f"auditor_{name.lower()}": Shift(0.3, 0.2) for name in CLASSES}
    figure = plots.forecast_shift({"auditor": before}, {"auditor": now}, found)
    assert [axes.get_title() for axes in figure.axes] == [
        f"auditor, {name}: PSI 0.30, KS 0.20" for name in CLASSES
    ]
    heights = sum(bar.get_height() for bar in figure.axes[1].patches[1:])
    assert heights == pytest.approx(100)


def test_the_timeline_draws_every_move_and_no_neutral_minute() -> None:
    rng = np.random.default_rng(0)
    classes = rng.choice(3, 500)
    said = rng.dirichlet([1, 1, 1], 500)
    figure = plots.timeline(time(500), np.linspace(1, 2, 500), said, {"came": classes})
    strips = figure.axes[2].collections
    assert [len(strip.get_segments()) for strip in strips] == [
        (classes == 0).sum(), (classes == 2).sum(),
    ]  # fmt: skip
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx(np.linspace(1, 2, 500))
    assert figure.axes[1].lines[0].get_ydata() == pytest.approx(said[:, 0])


def test_a_long_timeline_keeps_its_mean_and_range_and_breaks_where_minutes_lack() -> None:
    minutes = time(20_000, "min").drop(range(8_000, 12_000)).reset_index(drop=True)
    close = np.sin(np.arange(16_000))
    said = np.full((16_000, 3), 1 / 3)
    figure = plots.timeline(minutes, close, said, {"came": np.ones(16_000, int)})
    drawn = figure.axes[0].lines[0].get_ydata()
    assert len(drawn) <= 1_000 and np.isnan(drawn).mean() == pytest.approx(0.2, abs=0.01)
    band = figure.axes[0].collections[0].get_paths()
    assert len(band) == 2  # one on each side of the break
    assert max(path.vertices[:, 1].max() for path in band) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("minutes", [1, 2, 3])
def test_a_timeline_of_a_few_minutes_is_drawn_too(minutes: int) -> None:
    figure = plots.timeline(
        time(minutes), np.ones(minutes), np.full((minutes, 3), 1 / 3),
        {"came": np.zeros(minutes, int)},
    )  # fmt: skip
    figure.savefig(io.BytesIO(), format="png")


def test_a_strided_timeline_is_one_line() -> None:
    figure = plots.timeline(
        time(300, "10min"), np.ones(300), np.full((300, 3), 1 / 3), {"came": np.ones(300, int)}
    )
    assert not np.isnan(figure.axes[0].lines[0].get_ydata()).any()


def test_a_model_has_one_colour_everywhere_and_none_of_a_class() -> None:
    colours = [*MODEL_COLOURS.values(), *plots.style.CLASS_COLOURS]
    assert len(set(colours)) == len(colours)
    interval = {"mcc": Interval(0.1, 0.0, 0.2)}
    bars = plots.comparison({"base": interval, "auditor": interval}, ["mcc"]).axes[0].patches
    assert [matplotlib.colors.to_hex(bar.get_facecolor()) for bar in bars] == [
        MODEL_COLOURS["base"], MODEL_COLOURS["auditor"],
    ]  # fmt: skip
