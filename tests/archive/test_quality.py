"""The quality report: what it counts, what it shows, and that it survives JSON."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from quantgod.archive.outcome import (
    ArchiveReport,
    Span,
    dropped_minutes,
    dropped_spans,
    frozen_spans,
    lost_minutes,
    outcome_of,
)
from quantgod.archive.quality import QualityReport, quality_figure
from quantgod.contracts import FEATURES
from tests.evaluation.plots.overlaps import overlapping
from tests.later import later

MIDNIGHT = 28_401_120  # epoch minute of 2024-01-01T00:00Z


def archive(day: int, symbol: str = "BTCUSDT", **changes: object) -> ArchiveReport:
    date = (dt.date(2024, 1, 1) + dt.timedelta(days=day)).isoformat()
    values: dict[str, object] = {
        "archive": f"{date}_{symbol}_ob500.data.zip",
        "symbol": symbol,
        "date": date,
        "depth": 500,
        "outcome": "accepted",
        "lines": 100,
        "applied": 98,
        "rejected": {"gap": 2},
        "rows": 1440,
    }
    return ArchiveReport(**(values | changes))  # type: ignore[arg-type]


REPORT = QualityReport(
    archives=[
        archive(0),
        archive(1, outcome="accepted_with_gaps", rows=720, dropped={"silence": 700, "gap": 20}),
        archive(
            1,
            outcome="quarantined",
            reason="duplicate_day",
            lines=0,
            applied=0,
            rejected={},
            rows=0,
        ),
        archive(3, outcome="quarantined", reason="bad_crc", rows=0),
        archive(0, symbol="ETHUSDT", dropped={"no_previous_close": 1}, rows=1439),
    ],
    missing={"BTCUSDT": ["2024-01-03"]},
    ignored=["notes.txt"],
)


def test_the_sums_are_the_archives_sums() -> None:
    totals = REPORT.totals
    assert totals["outcomes"] == {"accepted": 2, "accepted_with_gaps": 1, "quarantined": 2}
    assert totals["quarantined"] == {"duplicate_day": 1, "bad_crc": 1}
    assert totals["lines"] == totals["applied"] + sum(totals["rejected"].values()) == 400
    assert totals["rows"] == 1440 + 720 + 1439
    assert totals["dropped"] == {"gap": 20, "no_previous_close": 1, "silence": 700}
    assert totals["missing_days"] == 1


def test_coverage_counts_the_bars_a_day_has() -> None:
    btc = {"2024-01-01": 1.0, "2024-01-02": 0.5, "2024-01-04": 0.0}
    assert REPORT.coverage == {"BTCUSDT": btc, "ETHUSDT": {"2024-01-01": 1439 / 1440}}


def test_a_report_with_a_quarantine_says_so() -> None:
    assert REPORT.has_quarantine
    assert not QualityReport(archives=[archive(0)]).has_quarantine


def test_the_report_is_json() -> None:
    value = REPORT.as_dict()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert value["archives"][3]["reason"] == "bad_crc"
    assert value["totals"]["archives"] == 5


def test_dropped_minutes_of_one_reason_are_joined() -> None:
    dropped = [(MIDNIGHT + 3, "gap"), (MIDNIGHT, "gap"), (MIDNIGHT + 1, "gap")]
    spans = dropped_spans([*dropped, (MIDNIGHT + 2, "silence")])
    assert spans == [
        Span("2024-01-01T00:00Z", 2, "gap"),
        Span("2024-01-01T00:02Z", 1, "silence"),
        Span("2024-01-01T00:03Z", 1, "gap"),
    ]
    assert dropped_minutes(spans) == sorted([*dropped, (MIDNIGHT + 2, "silence")])
    assert dropped_spans([]) == []


def test_a_price_that_stands_still_is_found() -> None:
    minutes = MIDNIGHT + np.array([*range(10), *range(11, 30)])
    features = np.ones((29, 9))
    quiet = [FEATURES.index("volatility"), FEATURES.index("log_ret_close")]
    features[np.ix_(range(4, 20), quiet)] = 0
    features[5, quiet[0]] = 3e-16
    features[22, quiet] = 1e-12, 0  # a tick moves more
    assert frozen_spans(minutes, features, 6) == [
        Span("2024-01-01T00:04Z", 6, "frozen"),
        Span("2024-01-01T00:11Z", 10, "frozen"),
    ]
    assert frozen_spans(minutes, features, 11) == []
    assert frozen_spans(minutes[:0], features[:0], 1) == []


@pytest.mark.parametrize(
    ("first", "rows", "dropped", "expected"),
    [
        (None, [], [], (0, {})),
        (5, [], [], (0, {})),  # a file of seconds
        (5, [], [(5, "no_book")], (0, {})),  # the minute that it begins in
        (5, [7], [(5, "no_book"), (6, "no_previous_close")], (2, {})),
        (5, [5, 8], [(6, "silence"), (7, "gap"), (9, "gap")], (4, {"gap": 2, "silence": 1})),
        (5, [2, 7], [(3, "silence"), (4, "silence"), (5, "silence"), (6, "gap")], (2, {"gap": 1})),
    ],
)
def test_lost_minutes_are_those_without_a_row_after_the_one_that_messages_begin_in(
    first: int | None,
    rows: list[int],
    dropped: list[tuple[int, str]],
    expected: tuple[int, dict[str, int]],
) -> None:
    assert lost_minutes(first, np.array(rows, dtype=np.int64), dropped) == expected


def test_an_archive_is_thin_when_it_keeps_less_of_its_minutes_than_it_must() -> None:
    reports = [
        archive(0, spanned=100, lost={"gap": 1, "no_book": 19}),
        archive(1, spanned=100, lost={"gap": 1, "no_book": 20}),
        archive(2),
        archive(3, outcome="quarantined", reason="bad_crc", spanned=9, lost={"gap": 9}),
    ]
    report = QualityReport(archives=reports, least_coverage=0.8)
    assert report.thin == reports[1:2]
    assert report.losses() == [
        f"{reports[1].archive}: 21 of 100 minutes (21.0 %) are lost: gap 1, no_book 20;"
        " at least 80 % must be there (etl.least_coverage)"
    ]
    assert "1 lost too many minutes" in report.headline()
    assert report.refused() == [f"{reports[3].archive}: quarantined, bad_crc"]
    why = [archive(one, outcome="quarantined", reason="empty", detail="0 B") for one in range(7)]
    told = QualityReport(archives=why).refused()
    assert told[0] == f"{why[0].archive}: quarantined, empty: 0 B"
    assert told[5:] == ["and 2 more archives were quarantined"]
    many = QualityReport(archives=reports[1:2] * 8, least_coverage=0.8)
    assert many.losses()[5:] == ["and 3 more archives lost too many"]


def test_an_archive_without_rows_is_named_with_the_reason() -> None:
    """Unless it is named already as one that lost too many."""
    reports = [
        archive(0, rows=0, dropped={"no_book": 1}),
        archive(1, rows=0, spanned=1, dropped={"no_previous_close": 1}),
        archive(2, rows=0, spanned=9, dropped={"gap": 9}, lost={"gap": 9}),
        archive(3, outcome="quarantined", reason="bad_crc", rows=0),
        archive(4),
    ]
    short = f"{reports[0].archive}: no rows, since no whole minute comes after the one that its"
    empty = QualityReport(archives=reports, least_coverage=0.8).empty()
    assert empty == [
        f"{short} messages begin in",
        f"{reports[1].archive}: no rows, since all its minutes were dropped: no_previous_close 1",
    ]
    assert QualityReport(archives=reports[:1] * 7).empty()[5:] == [
        "and 2 more archives have no rows"
    ]


@pytest.mark.parametrize(
    ("dropped", "rejected", "outcome"),
    [
        ({}, {}, "accepted"),
        ({"no_previous_close": 2}, {"stale": 3}, "accepted"),
        ({"no_previous_close": 2, "gap": 1}, {}, "accepted_with_gaps"),
        ({}, {"corrupt_json": 1}, "accepted_with_gaps"),
    ],
)
def test_a_first_minute_or_a_repeated_line_is_no_gap_and_any_other_loss_is(
    dropped: dict[str, int], rejected: dict[str, int], outcome: str
) -> None:
    assert outcome_of(dropped, rejected) == outcome


@pytest.mark.parametrize("days", [0, 10, *later(1, 64, 1200)])
def test_the_figure_draws_none_one_and_many_days(days: int) -> None:
    reports = [
        archive(day, dropped={"silence": day % 7, "gap": 3, "no_previous_close": 1})
        for day in range(days)
    ]
    figure = quality_figure(QualityReport(archives=reports, missing={"BTCUSDT": ["2024-06-01"]}))
    assert overlapping(figure) == []
    labels = [len(axis.get_xticklabels()) for axis in figure.axes]
    assert all(count <= 14 for count in labels)


def test_the_figure_shows_every_symbol_reason_and_quarantine() -> None:
    figure = quality_figure(REPORT)
    FigureCanvasAgg(figure).draw()
    assert [axes.get_title() for axes in figure.axes[::2]] == ["BTCUSDT", "ETHUSDT"]
    shown = [axes.get_legend_handles_labels()[1] for axes in figure.axes[:2]]
    assert shown == [["rows", "quarantined", "no archive"], ["gap", "silence"]]


def areas(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """The heights that are drawn, by label, and what each stands upon."""
    drawn = {patch.get_label(): patch.get_data() for patch in axes.patches}
    days = np.datetime64("2024-01-01") + np.arange(5)
    for stairs in drawn.values():
        assert (np.array(stairs.edges, dtype="datetime64[D]") == days[: len(stairs.edges)]).all()
    return {
        label: (list(stairs.values), np.broadcast_to(stairs.baseline, len(stairs.values)).tolist())
        for label, stairs in drawn.items()
    }


def test_the_figure_draws_what_the_report_says() -> None:
    figure = quality_figure(REPORT)
    btc, dropped, eth, of_eth = figure.axes
    flat = [0.0] * 4
    assert areas(btc) == {
        "rows": ([100, 50, 0, 0], flat), "quarantined": ([0, 0, 0, 100], flat),
        "no archive": ([0, 0, 100, 0], flat),
    }  # fmt: skip
    assert areas(dropped) == {
        "gap": ([0, 20, 0, 0], flat),
        "silence": ([0, 720, 0, 0], [0, 20, 0, 0]),
    }
    assert areas(eth) == {"rows": ([100 * 1439 / 1440], [0.0])}
    assert areas(of_eth) == {"no_previous_close": ([1], [0.0])}
    assert btc.get_ylim() == (0, 105)
    assert all(patch.get_fill() for axes in figure.axes for patch in axes.patches)
    assert [label.get_text() for label in btc.get_xticklabels()] == [
        "2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"
    ]  # fmt: skip
    assert len(quality_figure(QualityReport(archives=[])).axes) == 2


@pytest.mark.parametrize(("days", "are_named"), [(10, True), (11, False)])
def test_few_days_are_each_named_in_the_figure(days: int, are_named: bool) -> None:
    reports = [archive(day) for day in range(days)]
    labels = quality_figure(QualityReport(archives=reports)).axes[0].get_xticklabels()
    assert ([label.get_text() for label in labels] == [one.date for one in reports]) == are_named


def test_an_archive_that_spans_nothing_keeps_all() -> None:
    assert archive(0).kept_share == 1.0
    assert archive(0, spanned=4, lost={"gap": 1}).kept_share == 0.75


def test_the_headline_and_the_figures_tell_the_same() -> None:
    assert REPORT.headline() == (
        "5 archives: 2 accepted, 1 accepted_with_gaps, 2 quarantined; 3599 rows "
        "(quarantined: bad_crc, duplicate_day)"
    )
    figures = REPORT.figures()
    assert figures["rows"] == 3599
    assert figures["outcome_quarantined"] == 2
    assert figures["dropped_silence"] == 700
    assert all(type(value) is float for value in figures.values())
    assert QualityReport(archives=[]).headline() == "0 archives: none; 0 rows"
