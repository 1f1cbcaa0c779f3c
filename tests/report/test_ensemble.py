"""Report and card say what an ensemble is, and how it stands beside its members."""

from __future__ import annotations

from functools import cache

import pytest
from msgspec.structs import replace

from quantgod.evaluation.evidence import EnsembleResult
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.wording import interval_text
from quantgod.report import Report, complete
from quantgod.report.card import CHARACTERS
from quantgod.report.ensemble import MOST_SHOWN, card_lines, doubts, member_table
from quantgod.settings import Settings, with_values
from tests.evaluation.ensembles import COMBINER, MEMBERS, ensemble_case
from tests.evaluation.evaluations import case
from tests.evaluation.plots.overlaps import overlapping
from tests.report import written

SILENT = 40
NETWORKS = {"near": "tcn_lstm", "far": "linear", "blind": "tcn_lstm"}


def made_by(*names: str) -> Settings:
    members = {
        name: {"model": {"name": NETWORKS.get(name, "linear"), "params": {}}} for name in names
    }
    ensemble = {"strategy": "hedge", "quorum": 2, "confidence_threshold": 0.7}
    return with_values(case().settings, {"members": members, "ensemble": ensemble})


@cache
def report() -> Report:
    given = ensemble_case(SILENT)
    settings = with_values(made_by(*MEMBERS), {"evaluate.importance_rows": 40})
    return complete(given.evaluated, given.subject, given.table, settings)


def found() -> EnsembleResult:
    result = ensemble_case(SILENT).evaluated.result.ensemble
    assert result is not None
    return result


@pytest.mark.long
def test_the_card_says_what_each_member_is_and_how_it_scored() -> None:
    card, scores = report().card, found()
    assert (
        "- Combined by `hedge`, whose weights outcomes go on moving: 3 networks, of which 2" in card
    )
    assert "; confidence threshold 0.7. " in card
    assert f"so without an answer: {SILENT // 2} test rows." in card
    assert f"would not trade: {scores.held_back:,} of {scores.moves:,} sets of one move" in card
    for name, member in scores.members.items():
        line = next(line for line in card.splitlines() if line.startswith(f"| {name} |"))
        assert NETWORKS[name] in line and f"{member.window} rows of 9 columns" in line
        assert ("and the book" in line) == (name == "far")
        assert f"{member.first_weight:.2f} → {member.last_weight:.2f}" in line
        assert interval_text(scores.models[name]["log_loss"]) in line
    assert "Several networks look at an order book and vote" in card
    assert len(card) <= CHARACTERS and "## Not for" in card


def test_a_card_of_many_members_still_fits() -> None:
    names = [f"member_number_{number}" for number in range(30)]
    one = found()
    many = replace(
        one,
        members=dict.fromkeys(names, one.members["far"]),
        models={"ensemble": one.models["ensemble"], **dict.fromkeys(names, one.models["far"])},
        differences=dict.fromkeys(names, one.differences["far"]),
    )
    lines = card_lines(many, made_by(*names))
    assert sum(line.startswith("| member number") for line in lines) == MOST_SHOWN - 1
    assert f"{31 - MOST_SHOWN} more members: see the report." in lines
    assert len("\n".join(lines)) < CHARACTERS / 2


def test_the_report_shows_members_and_their_weights() -> None:
    page = report().html
    assert {"members", "weights"} < report().figures.keys()
    assert "The ensemble and its members" in page and "Combined by `hedge`" in page
    table = member_table(found(), made_by(*MEMBERS))
    assert [row[0] for row in table.body] == [*MEMBERS, "ensemble", "equal weights"]
    assert {len(row) for row in table.body} == {len(table.head)}
    for row in table.body:
        assert all(cell.replace("→", "&#8594;").split()[0] in page for cell in row)
    for name in ("members", "weights"):
        assert overlapping(report().figures[name]) == []


def test_importance_leaves_out_windows_without_an_answer() -> None:
    """Of the 40 that are asked for at once, half of those in which `far` is silent."""
    assert report().tables["importance"]["rows"] == SILENT // 2


@pytest.mark.long
def test_a_single_network_has_no_such_section() -> None:
    alone = written.report()
    assert not {"members", "weights"} & alone.figures.keys()
    assert "The ensemble" not in alone.html and "## The ensemble" not in alone.card


@pytest.mark.parametrize(
    ("score", "apart", "is_worse"),
    [
        ("log_loss", Interval(0.1, 0.05, 0.2), True),
        ("log_loss", Interval(-0.1, -0.2, -0.05), False),
        ("macro_f1", Interval(-0.1, -0.2, -0.05), True),
        ("macro_f1", Interval(-0.1, -0.2, 0.05), False),
    ],
)
def test_a_member_that_is_better_is_a_weakness(score: str, apart: Interval, is_worse: bool) -> None:
    one = found()
    differences = {name: dict(of) for name, of in one.differences.items()}
    differences["far"][score] = apart
    result = replace(
        ensemble_case(SILENT).evaluated.result, ensemble=replace(one, differences=differences)
    )
    told = "\n".join(doubts(result, made_by(*MEMBERS)))
    word = {"log_loss": "log-loss", "macro_f1": "macro-F1"}[score]
    line = f"The ensemble is worse than far by {word}: difference {interval_text(apart)}."
    assert (line in told) is is_worse


def test_gates_that_fail_and_members_that_are_silent_are_weaknesses() -> None:
    result = ensemble_case(SILENT).evaluated.result
    told = "\n".join(doubts(result, made_by(*MEMBERS)))
    assert "Of no worse than members: " in told
    assert "no answer to 0.63% of the test rows" in told
    assert "Its member far spoke on 99.4% of the scored rows." in told
    assert "blind spoke" not in told
    assert COMBINER.rules.quorum == 2
    assert [*doubts(case().evaluated.result, case().settings)] == []
