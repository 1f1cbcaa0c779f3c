"""Gates of forecasts pass skill of the width, and stop what is worse, too narrow or unproven."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest
from pydantic import ValidationError

from quantgod.evaluation.evidence import EvidenceError, LeakAuditResult
from quantgod.evaluation.forecasts.coverage import Covered
from quantgod.evaluation.forecasts.evaluate import ForecastEvaluation, evaluate_forecasts
from quantgod.evaluation.intervals import Interval
from quantgod.gates import Gate, all_passed
from quantgod.gates.forecasts import judge_forecasts
from quantgod.settings.forecasting import ForecastGateSettings
from tests.evaluation.forecasts.matured import matured
from tests.gates.records import leak_audit

NAMES = ("pinball_skill", "coverage_80", "coverage_95", "no_worse")


@cache
def evaluation() -> ForecastEvaluation:
    outcomes = [matured(3, steps, 800, foresight=0.2, clusters=0.7) for steps in (1, 7, 30)]
    return evaluate_forecasts(outcomes, "subject")


def with_scores(**parts: object) -> ForecastEvaluation:
    """The same with other scores of the subject at one candle."""
    first, *others = evaluation().horizons
    scores = msgspec.structs.replace(first.models["subject"], **parts)
    first = msgspec.structs.replace(first, models={**first.models, "subject": scores})
    return msgspec.structs.replace(evaluation(), horizons=(first, *others))


def by_name(found: ForecastEvaluation, **bounds: object) -> dict[str, Gate]:
    settings = ForecastGateSettings(**bounds)
    return {gate.name: gate for gate in judge_forecasts(found, settings, leak_audit())}


def test_a_forecaster_with_skill_passes_and_its_far_horizon_is_told_without_a_verdict() -> None:
    gates = by_name(evaluation())
    named = [f"{name}_{steps}" for steps in (1, 7, 30) for name in NAMES]
    assert list(gates) == [*named, "leak_audit"]
    assert all_passed(gates.values())
    assert {gate.verdict for name, gate in gates.items() if name.endswith("_30")} == {"-"}
    assert gates["coverage_80_7"].bound == "0.8 +- 0.03"
    assert gates["pinball_skill_7"].detail.startswith("7 days ahead: of quantiles over the random")


def test_a_gated_horizon_with_too_few_dates_apart_is_not_judged_and_stops() -> None:
    gates = by_name(evaluation(), horizons=(1, 30))
    assert gates["pinball_skill_30"].verdict == gates["no_worse_30"].verdict == "not judged"
    assert gates["pinball_skill_7"].verdict == "-" and not all_passed(gates.values())


@pytest.mark.parametrize(
    ("name", "parts", "bounds"),
    [
        ("pinball_skill_1", {"pinball_skill": {"random_walk": Interval(0.1, 0.0, 0.2)}}, {}),
        ("pinball_skill_1", {}, {"pinball_skill_above": 0.9}),
        ("no_worse_1", {"mse_skill": {"zero": Interval(0.0, -0.051, 0.1)}}, {}),
        (
            "coverage_80_1",
            {"coverage": (Covered(promised=0.8, issued=Interval(0.769, 0.7, 0.9)),)},
            {},
        ),
        (
            "coverage_80_1",
            {"coverage": (Covered(promised=0.8, issued=Interval(0.831, 0.7, 0.9)),)},
            {},
        ),
    ],
)
def test_a_figure_beyond_its_bound_fails_unless_it_is_not_asked_for(
    name: str, parts: dict[str, object], bounds: dict[str, float]
) -> None:
    found = with_scores(**parts)
    assert by_name(found, **bounds)[name].verdict == "FAIL"
    unasked = {"pinball_skill_above": None, "coverage_within": None, "worse_at_most": None}
    assert by_name(found, **unasked)[name].bound == "not asked for"


def test_figures_on_the_very_bound_pass_but_skill_has_to_be_above_it() -> None:
    edge = with_scores(
        coverage=(Covered(promised=0.8, issued=Interval(0.77, 0.7, 0.9)),),
        mse_skill={"zero": Interval(0.0, -0.05, 0.1)},
    )
    gates = by_name(edge)
    assert gates["coverage_80_1"].passed and gates["no_worse_1"].passed


def test_a_leak_audit_is_asked_for_that_finds_nothing_in_any_stage() -> None:
    def gate(audited: LeakAuditResult | None, **bounds: object) -> Gate:
        return judge_forecasts(evaluation(), ForecastGateSettings(**bounds), audited)[-1]

    assert gate(leak_audit()).verdict == "pass"
    assert gate(leak_audit(leaks=("scales: median of BTCUSDT",))).verdict == "FAIL"
    assert gate(leak_audit(unshown=("regimes: no value was known",))).verdict == "FAIL"
    none = gate(None)
    assert (none.verdict, none.detail) == ("FAIL", "no leak audit of this forecaster")
    assert gate(None, leak_audit=False).verdict == "-"


def test_missing_figures_and_impossible_bounds_are_named() -> None:
    with pytest.raises(EvidenceError, match=r"at \[3\] candles expected; there are \[1, 7, 30\]"):
        by_name(evaluation(), horizons=(1, 3))
    with pytest.raises(EvidenceError, match="subject beside random_walk expected, got garch"):
        by_name(with_scores(pinball_skill={"garch": Interval(0.1, 0.0, 0.2)}))
    with pytest.raises(ValidationError, match="horizons must rise"):
        ForecastGateSettings(horizons=(7, 1))
