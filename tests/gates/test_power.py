"""The experiment's verdict: when models of many markets show that the gates are at fault."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from pydantic import ValidationError

from quantgod.gates import Gate
from quantgod.gates.power import (
    Kind,
    Market,
    Power,
    Rehearsal,
    ensemble_rows,
    gate_rows,
    loss_rows,
    markets,
    rehearsal_line,
    summary_rows,
)
from quantgod.gates.power_figure import FAILED, NOTHING, PASSED, UNJUDGED, verdicts
from quantgod.settings import PowerSettings, load_settings
from tests.evaluation.plots.overlaps import overlapping

FULL, POWER = Path("conf/full.yaml"), Path("conf/power.yaml")
PASSES: tuple[bool | None, ...] = (True, True, None)
FAILS: tuple[bool | None, ...] = (True, False, None)


def rehearsal(kind: Kind, seed: int, verdicts: tuple[bool | None, ...] = PASSES) -> Rehearsal:
    gates = tuple(
        Gate(name, "1", "> 0", passed, "")
        for name, passed in zip(("mcc", "ece", "beats_champion"), verdicts, strict=True)
    )
    return Rehearsal(kind=kind, seed=seed, gates=gates, figures={"ece": 0.02}, seconds=61.4)


def power(null: int, planted: int, *, of: int = 3, at_least: int = 2) -> Power:
    """So many models of `of` null and `of` planted markets pass."""
    rehearsals = [
        rehearsal(kind, seed, PASSES if seed < passing else FAILS)
        for kind, passing in (("null", null), ("planted", planted))
        for seed in range(of)
    ]
    return Power(rehearsals=tuple(rehearsals), planted_passes=at_least)


def settings(**changes: int) -> PowerSettings:
    values = {
        "null_markets": 4, "planted_markets": 3, "planted_passes": 2, "first_seed": 50, "workers": 1
    }  # fmt: skip
    return PowerSettings(**(values | changes))


def test_no_two_markets_share_a_seed() -> None:
    asked = markets(settings())
    assert [market.name for market in asked[:2]] == ["null-50", "null-51"]
    assert [market.kind for market in asked] == ["null"] * 4 + ["planted"] * 3
    assert [market.seed for market in asked] == list(range(50, 57))


def test_a_null_market_differs_from_a_planted_one_by_seed_and_signal_alone() -> None:
    shared = load_settings(POWER)
    planted, null = Market("planted", 8).settings(shared), Market("null", 7).settings(shared)
    assert planted.simulate.signal == shared.simulate.signal > 0
    assert (null.simulate.signal, null.simulate.seed, planted.simulate.seed) == (0.0, 7, 8)
    same = {"seed": 8, "signal": shared.simulate.signal}
    again = null.model_copy(update={"simulate": null.simulate.model_copy(update=same)})
    assert again == planted


def test_the_experiment_asks_what_the_documents_ask_and_nothing_softer() -> None:
    mine, full = load_settings(POWER), load_settings(FULL)
    assert mine.gates == full.gates
    assert mine.backtest == full.backtest
    assert mine.audit.conformal_level == full.audit.conformal_level
    assert (mine.power.null_markets, mine.power.planted_markets) == (20, 10)
    assert mine.power.planted_passes == 9


def test_a_model_passes_when_no_gate_failed_and_one_at_least_was_judged() -> None:
    assert rehearsal("null", 1, PASSES).passed
    assert not rehearsal("null", 1, FAILS).passed
    assert not rehearsal("null", 1, (None, None, None)).passed
    assert rehearsal("null", 1, FAILS).failed == ("ece",)


def test_a_gate_that_wants_for_data_lets_no_model_pass_and_is_counted() -> None:
    open_gate = Gate("ece", "0.1 (too few rows)", "<= 0.05", None, "", unjudged=True)
    one = rehearsal("planted", 1, PASSES)
    found = msgspec.structs.replace(one, gates=(one.gates[0], open_gate))
    assert not found.passed and found.failed == ("ece",)
    told = Power(rehearsals=(found,), planted_passes=1)
    assert told.gate_counts("planted")["ece"] == (0, 1)
    (mesh,) = verdicts(told).axes[0].collections
    assert mesh.get_array().ravel().tolist() == [PASSED, UNJUDGED]


@pytest.mark.parametrize(
    ("null", "planted", "word"),
    [(0, 3, ""), (0, 2, ""), (1, 3, "null"), (0, 1, "planted"), (0, 0, "planted"), (3, 3, "null")],
)
def test_luck_that_passes_and_skill_that_does_not_are_problems(
    null: int, planted: int, word: str
) -> None:
    problem = power(null, planted).problem
    assert bool(problem) == bool(word)
    assert word in problem


def test_both_problems_are_told_and_the_lucky_seeds_are_named() -> None:
    problem = power(2, 0).problem
    assert "seeds 0, 1" in problem
    assert "0 of 3 models of planted markets passed, at least 2 expected" in problem


def test_the_tables_count_by_kind_and_leave_out_what_was_not_judged() -> None:
    found = power(1, 3)
    assert summary_rows(found) == [["null", "3", "1"], ["planted", "3", "3"]]
    assert gate_rows(found) == [
        ["mcc", "3/3", "3/3"],
        ["ece", "1/3", "3/3"],
        ["beats_champion", "-", "-"],
    ]


def test_a_finished_rehearsal_is_a_line_with_what_failed() -> None:
    assert rehearsal_line(rehearsal("planted", 7)) == "planted 7: passed, 2 of 2 gates in 61 s"
    said = rehearsal_line(rehearsal("null", 6, FAILS))
    assert said == "null 6: not passed, 1 of 2 gates in 61 s, failed ece"


def test_a_rehearsal_read_back_is_the_same() -> None:
    one = rehearsal("null", 6, FAILS)
    assert msgspec.json.decode(msgspec.json.encode(one), type=Rehearsal) == one


def test_more_passes_than_markets_cannot_be_asked_for() -> None:
    with pytest.raises(ValidationError, match="planted_passes is at most planted_markets"):
        settings(planted_passes=4)


def test_the_figure_has_a_cell_for_each_gate_and_market_and_ticks_what_passed() -> None:
    found = power(1, 3)
    figure = verdicts(found)
    assert overlapping(figure) == []
    (axes,) = figure.axes
    (mesh,) = axes.collections
    cells = mesh.get_array().reshape(3, 6)
    assert cells[0].tolist() == [PASSED] * 6
    assert cells[1].tolist() == [PASSED, FAILED, FAILED, *[PASSED] * 3]
    assert cells[2].tolist() == [NOTHING] * 6
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[:2] == ["✓ null 0", "null 1"]


def ensemble(seed: int, together: float, adaptive: float) -> Rehearsal:
    """Members with log-losses of 0.9 and 1.0; fixed weights lose 1.2 with a spoilt member."""
    figures = {
        "log_loss_of_ensemble": together, "log_loss_of_a": 1.0, "log_loss_of_b": 0.9,
        "log_loss_of_equal_weights": 0.5, "log_loss": 0.85, "spoilt_weighted_voting": 1.2,
        "spoilt_adaptive": adaptive, "spoilt_hedge": 1.0,
    }  # fmt: skip
    return msgspec.structs.replace(rehearsal("planted", seed), figures=figures)


def test_ensembles_have_to_beat_their_best_member_and_to_outlast_fixed_weights() -> None:
    good = [ensemble(seed, 0.8, 1.1) for seed in range(3)]
    found = Power(rehearsals=tuple(good), planted_passes=3)
    assert found.problem == ""
    assert ensemble_rows(found) == [["planted", "3/3", "3/3", "3/3"]]
    head, rows = loss_rows(found)
    assert head[:6] == ["market", "ensemble", "a", "b", "equal weights", "auditor"]
    assert " ".join(rows[2]) == "planted-2 0.800 1.000 0.900 0.500 0.850 1.200 1.100 1.000"
    worse = Power(
        rehearsals=(*good[:1], ensemble(1, 0.95, 1.3), ensemble(2, 0.8, 1.3)), planted_passes=3
    )
    assert worse.problem == (
        "2 of 3 ensembles beat their best member, at least 3 expected; 1 of 3 ensembles lose less "
        "by adaptive weights than by fixed ones where a member is spoilt, more than half expected"
    )
    assert ensemble_rows(power(0, 3)) == []
