"""What the picture of a leak audit shows is what the audit has found."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import num2date
from matplotlib.figure import Figure

from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.leakage import leak_figure
from quantgod.leakage.borders import borders_of
from quantgod.leakage.figure import BORDER, LEAKING, SOUND, STEP_POINTS
from quantgod.leakage.pipeline import in_small
from tests.leakage.small import bars, settings

CUTS = ("2024-01-01T10:00+00:00", "2024-01-01T20:30+00:00")
RESULT = LeakAuditResult(
    cuts=CUTS,
    compared={"features": 40, "labels": 30, "scaler": 1},
    leaks=(
        f"labels: 3 of 30 values known by the cut at {CUTS[1]} changed with what came after it",
    ),
    provenance=None,
    messages=False,
    changed={"features": 7, "scaler": 2},
    nearest={"features": 1, "labels": 4},
    scope="made again: " + "word " * 40,
)


@pytest.fixture(scope="module")
def figure() -> Figure:
    return leak_figure(RESULT, bars(), settings(minutes=2_500))


def test_each_stage_has_a_bar_of_what_was_known_and_one_of_what_changed(figure: Figure) -> None:
    axes: Any = figure.axes[0]
    known, later = axes.containers[:2]
    assert [bar.get_width() for bar in known] == [40, 30, 1]
    assert [bar.get_width() for bar in later] == [7, 0, 2]
    for row, (above, below) in enumerate(zip(known, later, strict=True)):
        assert above.get_y() + above.get_height() / 2 == pytest.approx(row - 0.2)
        assert below.get_y() + below.get_height() / 2 == pytest.approx(row + 0.2)
        assert above.get_y() + above.get_height() < below.get_y(), "they do not touch"
    assert [to_hex(bar.get_facecolor()) for bar in known] == [SOUND, LEAKING, SOUND]
    assert {to_hex(bar.get_facecolor()) for bar in later} == {SOUND}
    assert {bar.get_alpha() for bar in known} == {1.0}
    assert {bar.get_alpha() for bar in later} == {0.35}
    assert [text.get_text() for text in axes.texts] == ["40", "30", "1", "7", "0", "2"]
    shown = [text.get_text() for text in axes.get_yticklabels()]
    assert shown == ["features (1)", "labels (4)", "scaler (–)"]  # noqa: RUF001
    assert axes.get_yticks().tolist() == [0, 1, 2]
    bottom, top = axes.get_ylim()
    assert bottom > top, "the first stage stands on top"
    assert axes.get_xscale() == "symlog"
    assert axes.xaxis.get_transform().linthresh == 1
    assert axes.get_title() == "1 leaks"
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "known by the cut",
        "known later, and changed",
    ]
    assert " ".join(figure.get_supxlabel().split()) == RESULT.scope.strip()


def test_a_long_picture_has_room_for_its_stages(figure: Figure) -> None:
    many = {f"stage {number}": 1 for number in range(23)}
    longer = leak_figure(
        LeakAuditResult(cuts=CUTS, compared=many, leaks=(), provenance=None, messages=False),
        bars(),
        settings(),
    )
    assert longer.get_figheight() - figure.get_figheight() == pytest.approx(20 * 0.3)


def test_the_cuts_stand_among_the_borders_in_time(figure: Figure) -> None:
    axes: Any = figure.axes[1]
    audited = bars().iloc[-2_500:]
    borders = borders_of(pd.DatetimeIndex(audited.index), in_small(settings()))
    named = {"validation": borders.validation, "calibration": borders.calibration}
    named |= {"fold 1": borders.folds[0], "fold 2": borders.folds[1], "test": borders.test}
    newest_first = sorted(named, key=named.__getitem__, reverse=True)
    assert len(newest_first) == 5
    for step, (text, name) in enumerate(zip(axes.texts, newest_first, strict=True)):
        assert text.get_text() == name
        assert num2date(text.xy[0]).timestamp() * 1_000 == pytest.approx(named[name], abs=1)
        assert text.xy[1] == 1
        assert text.get_position() == (0, 3 + STEP_POINTS * step)
        assert text.arrowprops["shrinkA"] == 0
        assert text.arrowprops["relpos"] == (0, 0)
    verticals = [line for line in axes.lines if line.get_color() == BORDER]
    assert [line.get_xdata()[0] for line in verticals] == [text.xy[0] for text in axes.texts]
    crosses = [line for line in axes.lines if line.get_color() != BORDER]
    for row, (line, cut) in enumerate(zip(crosses, CUTS, strict=True)):
        assert num2date(line.get_xdata()[0]) == pd.Timestamp(cut)
        assert line.get_ydata() == [row]
        assert line.get_color() == (LEAKING if row == 1 else SOUND)
    spans = [
        (part.get_segments()[0], to_hex(part.get_color()[0]), part.get_linestyle()[0][1])
        for part in axes.collections
    ]
    for row, cut in enumerate(CUTS):
        (before, colour, solid), (after, other, dotted) = spans[2 * row : 2 * row + 2]
        times = [num2date(x).replace(microsecond=0) for x, _ in (*before, *after)]
        at = pd.Timestamp(cut)
        assert times == [audited.index[0], at, at, audited.index[-1]]
        assert {y for _, y in (*before, *after)} == {row}
        assert colour == other == (LEAKING if row == 1 else SOUND)
        assert (solid is None, dotted is None) == (True, False)
    bottom, top = axes.get_ylim()
    assert bottom > top
    assert axes.get_yticks().tolist() == []
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("UTC; dotted: perturbed", "cuts")
