"""The report is one page that loads nothing, hides nothing and trusts no name."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import pytest

from quantgod.evaluation.intervals import terms
from quantgod.evaluation.wording import interval_text, verdict
from quantgod.report.findings import headlines, weaknesses
from quantgod.report.page import page
from quantgod.report.report import png
from quantgod.report.tables import detail_tables, score_tables
from tests.evaluation.evaluations import case
from tests.evaluation.plots.overlaps import overlapping
from tests.report.written import examined, figures, report

FIGURES = (
    "comparison", "advantages", "confusion", "reliability", "tiers", "selective", "conformal",
    "slices", "importance", "drift", "forecast_shift", "timeline",
)  # fmt: skip
VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = "<script>alert('1')</script>\"&x=1"


class Page(HTMLParser):
    """Reads a page strictly: every tag that opens is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text += data


def named(name: str, baseline: str) -> str:
    """The page of the same evaluation under other names, with images of a byte."""
    given = case()
    result = given.evaluated.result
    result = msgspec.structs.replace(
        result,
        subject=name,
        models={**result.models, baseline: result.models["majority"]},
        differences={**result.differences, baseline: result.differences["majority"]},
    )
    evaluated = replace(given.evaluated, result=result)
    images = {figure.name: b"1" for figure in figures()}
    return page(evaluated, examined(), given.table, given.settings, figures(), images)


def test_the_page_is_whole() -> None:
    read = Page(report().html)
    tags = [tag for tag, _ in read.tags]
    assert tags.count("h1") == 1 and tags.count("img") == len(FIGURES)
    assert report().html.startswith("<!DOCTYPE html>")


def test_a_simulated_market_stands_in_the_pages_header() -> None:
    given, images = case(), {figure.name: b"1" for figure in figures()}
    market = "simulated market on the prices of <b>.csv"
    text = page(given.evaluated, examined(), given.table, given.settings, figures(), images, market)
    header = text[text.index("<header>") : text.index("</header>")]
    assert "Of a simulated market on the prices of &lt;b&gt;.csv:" in header
    assert "simulated market" not in report().html


@pytest.mark.long
def test_no_text_of_its_figures_lies_over_another() -> None:
    assert {one.name: found for one in figures() if (found := overlapping(one.figure))} == {}


def test_the_page_loads_nothing() -> None:
    assert "://" not in report().html
    read = Page(report().html)
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in read.tags}
    for _, attributes in read.tags:
        for name, value in attributes.items():
            assert name != "src" or (value or "").startswith("data:image/png;base64,")
            assert name != "href" or (value or "").startswith("#")
            assert not name.startswith("on")
    assert not re.search(r"@import|url\(", report().html)


def test_links_within_the_page_lead_somewhere() -> None:
    read = Page(report().html)
    ids = {attributes["id"] for _, attributes in read.tags if "id" in attributes}
    links = {attributes["href"] for _, attributes in read.tags if "href" in attributes}
    assert links and {str(link).removeprefix("#") for link in links} <= ids


def test_every_figure_is_on_the_page_with_its_title_and_how_to_read_it() -> None:
    read = Page(report().html)
    assert tuple(report().figures) == FIGURES == tuple(report().images)
    embedded = [str(attributes["src"]) for tag, attributes in read.tags if tag == "img"]
    for figure, source in zip(figures(), embedded, strict=True):
        image = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
        assert image == report().images[figure.name]
        assert image.startswith(b"\x89PNG")
        assert figure.title in read.text and figure.reading in read.text


@pytest.mark.parametrize("name", [HOSTILE, "{{ 7 * 7 }}", "a & b < c"])
def test_no_name_is_taken_for_markup(name: str) -> None:
    text = named(name, name)
    read = Page(text)
    assert "script" not in [tag for tag, _ in read.tags]
    assert name in read.text and HOSTILE not in text
    # In the title, the heading, provenance, and tables and verdicts.
    assert read.text.count(name) > 6


def test_verdict_and_weaknesses_stand_above_the_scores() -> None:
    given = case()
    read = Page(report().html)
    for line in (
        *headlines(given.evaluated.result),
        *weaknesses(given.evaluated.result, examined(), given.settings),
    ):
        assert 0 < read.text.index(line) < read.text.index("Scores on the test part")


def test_every_score_stands_on_the_page_beside_those_of_the_baselines() -> None:
    text, result = Page(report().html).text, case().evaluated.result
    for scores in result.models.values():
        for score in ("macro_f1", "mcc", "accuracy", "log_loss", "brier", "ece", "f1_buy"):
            assert interval_text(scores[score]) in text
    for found in result.differences.values():
        assert interval_text(found["log_loss"]) in text
        assert verdict("log_loss", found["log_loss"]) in text
    assert "absent" in text  # of weekdays


def test_provenance_names_what_was_scored_and_how() -> None:
    given = case()
    text = Page(report().html).text
    assert given.settings.digest() in text
    waves = terms(given.evaluated.result.effective_rows)
    assert f"of rows weighed by {waves} waves" in text
    assert "p99 20.00 ms" in text
    assert "hold what comes in 90%: from 0.2 on" in text
    assert "tracking" not in text and "sqlite" not in text


def test_every_row_of_a_table_has_a_cell_for_each_head() -> None:
    result = case().evaluated.result
    tables = [*score_tables(result), *detail_tables(result, examined())]
    assert len({table.title for table in tables}) == len(tables) == 14
    for table in tables:
        assert {len(row) for row in table.body} == {len(table.head)}, table.title
    absent = next(row for table in tables for row in table.body if "absent" in row)
    assert set(absent[1:]) == {"absent"} and absent[0] != "absent"


def test_the_page_shows_its_settings_and_no_empty_lines() -> None:
    shown = case().settings.model_dump(
        mode="json", include={"label", "window", "split", "ensemble", "evaluate", "gates"}
    )
    assert json.dumps(shown, indent=2) in Page(report().html).text
    lines = report().html.splitlines()
    assert not any(line.isspace() for line in lines)


def test_tables_are_json_without_anything_that_json_has_not() -> None:
    text = json.dumps(report().tables, allow_nan=False)
    assert {"overall", "by_cut", "tiers", "selective", "importance"} <= json.loads(text).keys()


def test_the_same_evaluation_gives_the_same_page() -> None:
    assert named("a", "b") == named("a", "b")
    figure = report().figures["comparison"]
    assert png(figure) == png(figure) == report().images["comparison"]
