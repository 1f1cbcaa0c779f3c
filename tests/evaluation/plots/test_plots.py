"""Figures say what they were given: labels, numbers, and nothing left open."""

from __future__ import annotations

import functools
import io
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from quantgod.contracts import CLASSES, META_FEATURES
from quantgod.dataset.labels import label
from quantgod.evaluation import plots
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.drift import Shift
from quantgod.evaluation.intervals import Interval
from quantgod.served.calibration import decide
from quantgod.settings import LabelSettings
from quantgod.training.confusion import confusion_matrix
from tests.evaluation.class_forecasts import calibrated_forecasts
from tests.evaluation.plots.forecast_figures import FORECAST_FIGURES
from tests.evaluation.plots.overlaps import overlapping
from tests.evaluation.plots.test_evaluation_figures import BOTH, curve, part, sliced, time
from tests.later import later
from tests.synthetic import synthetic_bars

LABEL = LabelSettings(horizon_minutes=60, buy_above=0.008, sell_below=-0.004)
TARGET, GIVEN = calibrated_forecasts(400)


def contributions() -> Figure:
    values = np.random.default_rng(0).normal(size=(300, 3, 15)) * np.arange(1, 16)
    values[:, :, -1] = 1e6  # the bias
    return plots.contributions(values, values[:, 0, :14], META_FEATURES, rows=200)


FIGURES = {
    "confusion": lambda: plots.confusion_matrix(confusion_matrix(TARGET, decide(GIVEN))),
    "confusions": lambda: plots.confusion_matrices(
        dict.fromkeys(("auditor", "base", "auditor, acting"), np.diag([9, 9999, 99]))
    ),
    "advantages": lambda: plots.advantages(
        {"base": {"f1": Interval(0.0, -0.1, 0.1)}, "majority": {"f1": Interval(0.6, 0.5, 0.7)}},
        lambda *_: "not shown to be better",
        ["f1"],
    ),
    "reliability": lambda: plots.reliability(TARGET, {"base": GIVEN, "auditor": GIVEN**2}),
    "curves": lambda: plots.curves(
        [1, 2], {"loss": {"train": [1, 2], "val": [1]}, "F1": {"": [0]}}
    ),
    "labels": lambda: plots.label_distribution(label(synthetic_bars(900), LABEL, 5), LABEL),
    "balance": lambda: plots.class_balance({"train": TARGET, "test": TARGET[:9]}),
    "comparison": lambda: plots.comparison(
        compare(TARGET, {"a": ModelOutput(GIVEN, GIVEN.argmax(axis=1))}, 9.0).models
    ),
    "importance": lambda: plots.importance({"body": 0.2, "entropy": 1.0}, "mean gain"),
    "contributions": contributions,
    "timeline": lambda: plots.timeline(
        time(400), np.linspace(1, 2, 400), GIVEN, {"came": TARGET, "decided": decide(GIVEN)}
    ),
    "shifts": lambda: plots.shifts({"body": Shift(0.6, 0.2), "obi": Shift(0.1, 0)}, 0.5, 0.45),
    "forecast shift": lambda: plots.forecast_shift(
        {"auditor": GIVEN, "base": GIVEN}, {"auditor": GIVEN[:50], "base": GIVEN[:50]},
        {f"{model}_{name.lower()}": Shift(0.3, 0.2) for model in BOTH for name in CLASSES},
    ),
    "slices": lambda: plots.slices(
        {"session": sliced()}, {"accuracy": "accuracy"}, {"all": part(0.5)}
    ),
    "tiers": lambda: plots.tiers(
        {model: {"below": part(0.45), "0.5 or more": part(0.9, 3.0)} for model in BOTH}, (0.5,)
    ),
    "coverage": lambda: plots.risk_coverage({"all": {"auditor": curve(), "base": curve()}}),
    "conformal": lambda: plots.conformal(0.9, {"all": Interval(0.92, 0.8, 0.95)}, (5, 60, 30, 5)),
}  # fmt: skip
SHOWN = [*FIGURES, *list(FORECAST_FIGURES)[:2], *later(*list(FORECAST_FIGURES)[2:])]
FIGURES |= FORECAST_FIGURES


@functools.cache
def looked_at(name: str) -> tuple[Figure, list[tuple[str, str]]]:
    """A figure drawn once, for tests that only look at it, and its texts that lie over another."""
    figure = FIGURES[name]()
    return figure, overlapping(figure)


def drawn(figure: Figure) -> np.ndarray:
    """Where there is ink in the picture that a run keeps."""
    memory = io.BytesIO()
    figure.savefig(memory, format="png", dpi=120, bbox_inches="tight")
    memory.seek(0)
    return imread(memory)[:, :, :3].min(axis=2) < 0.98


def text_of(figure: Figure) -> str:
    texts = [text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text"))]
    return " ".join(texts)


@pytest.mark.parametrize("name", SHOWN)
def test_a_figure_is_drawn_with_labelled_axes(name: str) -> None:
    figure, _ = looked_at(name)
    lowest = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    assert any(axes.get_xlabel() for axes in lowest) or name in ("balance", "comparison", "slices")
    assert any(axes.get_ylabel() or axes.get_yticklabels() for axes in lowest)


@pytest.mark.parametrize("name", SHOWN)
def test_all_that_is_drawn_lies_within_its_axes(name: str) -> None:
    figure, _ = looked_at(name)
    for axes in figure.axes:
        if axes.get_yscale() == "log":  # where bars have no lower end
            continue
        within = axes.get_window_extent().padded(1.0)
        lines = [line for line in axes.lines if len(line.get_xdata())]
        for shape in (*lines, *axes.collections, *axes.patches):
            box = shape.get_window_extent() if shape.get_clip_on() else None
            if box is not None and np.isfinite(box.extents).all() and box.width + box.height:
                assert within.x0 <= box.x0 <= box.x1 <= within.x1, (name, shape)
                assert within.y0 <= box.y0 <= box.y1 <= within.y1, (name, shape)


@pytest.mark.parametrize("name", SHOWN)
def test_a_legend_stands_where_the_first_of_its_names_do(name: str) -> None:
    figure, _ = looked_at(name)
    names = [len(axes.get_legend_handles_labels()[1]) for axes in figure.axes]
    with_legend = [axes for axes in figure.axes if axes.get_legend() is not None]
    if with_legend:
        assert with_legend[0] is figure.axes[names.index(max(names))]


@pytest.mark.parametrize("name", SHOWN)
def test_no_text_lies_over_another(name: str) -> None:
    _, texts = looked_at(name)
    assert texts == []


def test_texts_that_lie_over_each_other_are_found() -> None:
    figure = FIGURES["labels"]()
    figure.axes[0].text(0.5, 0.5, "one", transform=figure.axes[0].transAxes)
    figure.axes[0].text(0.5, 0.5, "two", transform=figure.axes[0].transAxes)
    assert overlapping(figure) == [("one", "two")]


@pytest.mark.parametrize("name", [*list(FIGURES)[:3], *later(*list(FIGURES)[3:])])
def test_no_text_leaves_the_picture(name: str) -> None:
    """Neither a title at the rim nor a label beside its axes: both were cut in the report once."""
    figure = FIGURES[name]()
    first, second = drawn(figure), drawn(figure)
    assert first.shape == second.shape, "a layout that moves when it is drawn again cuts its titles"
    for ink in (first, second):
        assert ink.any()
        assert not any(edge.any() for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))
    for axes in figure.axes:
        for text in filter(lambda text: text.get_text(), (axes.title, *axes.texts)):
            left, right = text.get_window_extent().intervalx
            assert 0 <= left < right <= figure.bbox.x1, text


@pytest.mark.parametrize("name", ["advantages", "comparison", "contributions"])
def test_zero_is_marked_in_each_panel_of(name: str) -> None:
    for axes in FIGURES[name]().axes:
        if axes.get_label() != "<colorbar>":
            ends = [np.transpose(line.get_data()).tolist() for line in axes.lines]
            assert [line for line in ends if len(line) == 2] == [[[0, 0], [0, 1]]]


def test_no_figure_is_kept_by_pyplot() -> None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    before = pyplot.get_fignums() if pyplot else []
    FIGURES["confusion"]()
    assert (pyplot.get_fignums() if pyplot else []) == before


def test_the_confusion_matrix_shows_counts_and_shares_of_what_came() -> None:
    shown = text_of(plots.confusion_matrix(np.array([[3, 1, 0], [0, 1500, 0], [0, 0, 0]])))
    assert "75.0%\n3" in shown and "25.0%\n1" in shown and "100.0%\n1,500" in shown
    assert all(name in shown for name in CLASSES)


def test_reliability_shows_the_share_that_came_true_in_each_bin() -> None:
    given = np.tile([0.25, 0.65, 0.1], (40, 1))
    target = np.repeat([0, 1], [30, 10])
    upper = plots.reliability(target, given).axes[:3]
    points = [axes.collections[0].get_offsets()[0].tolist() for axes in upper]
    expected = [[0.25, 0.75], [0.65, 0.25], [0.1, 0.0]]
    assert np.allclose(points, expected)


def test_the_cuts_lie_on_edges_of_the_histogram() -> None:
    table = label(synthetic_bars(5000), LABEL, 5)
    left = plots.label_distribution(table, LABEL).axes[0]
    bars = {colour: [] for colour in range(3)}
    for number, container in enumerate(left.containers):
        bars[number] = [patch for patch in container if patch.get_height() > 0]
    assert max(patch.get_x() + patch.get_width() for patch in bars[0]) == pytest.approx(-0.4)
    assert min(patch.get_x() for patch in bars[2]) == pytest.approx(0.8)
    heights = sum(patch.get_height() for group in bars.values() for patch in group)
    assert heights == (table["target"] >= 0).sum()


def test_bars_carry_their_value_and_their_interval() -> None:
    models = {
        "base": {"mcc": Interval(0.1, 0.05, 0.2)},
        "auditor": {"mcc": Interval(0.3, 0.2, 0.4)},
    }
    figure = plots.comparison(models, ["mcc"])
    spans = [lines.get_segments()[0][:, 0].tolist() for lines in figure.axes[0].collections]
    assert spans == [[0.05, 0.2], [0.2, 0.4]]
    assert "0.100" in text_of(figure) and "higher is better" in text_of(figure)


def test_the_largest_values_stand_on_top_and_the_rest_is_left_out() -> None:
    axes = plots.importance({f"f{n}": float(n) for n in range(30)}, top=5).axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["f25", "f26", "f27", "f28", "f29"]


@pytest.mark.parametrize("epochs", [1, 2, 3, 40])
def test_epochs_are_whole_numbers(epochs: int) -> None:
    figure = plots.curves(range(1, epochs + 1), {"loss": {"train": [0.5] * epochs}})
    figure.savefig(io.BytesIO(), format="png")
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert shown and all(tick == round(tick) for tick in shown)


@pytest.mark.parametrize(
    ("values", "power"),
    [
        ([0.01, 0.09], ""),
        ([0.001, 0.009], "1e\N{MINUS SIGN}3"),
        ([10_000, 90_000], ""),
        ([100_000, 900_000], "1e5"),
    ],
)
def test_large_and_small_losses_are_told_in_powers(values: list[float], power: str) -> None:
    figure = plots.curves([1, 2], {"loss": {"train": values}})
    figure.savefig(io.BytesIO(), format="png")
    assert figure.axes[0].yaxis.get_offset_text().get_text() == power


def test_contributions_leave_out_the_bias_and_keep_every_dot() -> None:
    figure = contributions()
    dots = figure.axes[0].collections
    assert len(dots) == 14 and all(len(group.get_offsets()) == 200 for group in dots)
    assert all(np.abs(group.get_offsets()[:, 0]).max() < 1e3 for group in dots)
    # Each feature adds more than the one before it, and the largest stands on top.
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(META_FEATURES)


def test_contributions_of_one_row_are_one_dot_each() -> None:
    values = np.random.default_rng(0).normal(size=(1, 3, 15))
    panels = plots.contributions(values, values[:, 0, :14], META_FEATURES).axes[:3]
    for panel, found in zip(panels, values[0, :, :14], strict=True):
        assert sorted(dot.get_offsets()[0, 0] for dot in panel.collections) == sorted(found)
