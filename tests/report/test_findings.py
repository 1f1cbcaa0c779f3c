"""What is said in words: nothing is better, or weak, that the intervals do not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from quantgod.evaluation.drift import Shift
from quantgod.evaluation.evidence import EvaluationResult
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.wording import interval_text, verdict
from quantgod.gates import judge_gates
from quantgod.report.examination import ALL_DECISIONS, Examination
from quantgod.report.findings import headlines, weaknesses
from quantgod.settings import Settings
from tests.evaluation.evaluations import case
from tests.gates.records import Evidence
from tests.report.written import examined

RESULT = case().evaluated.result
SETTINGS = case().settings


def differences(favour: float, near: float, far: float) -> dict[str, Interval]:
    """By how much the auditor is better by each score, with an interval from near to far."""
    signs = {"macro_f1": 1, "mcc": 1, "accuracy": 1, "log_loss": -1, "brier": -1, "ece": -1}
    return {
        score: Interval(sign * favour, *sorted((sign * near, sign * far)))
        for score, sign in signs.items()
    }


GOOD = differences(0.1, 0.05, 0.15)
OPEN = differences(0.1, -0.01, 0.2)
BAD = differences(-0.1, -0.2, -0.01)


def result(differences: Mapping[str, Mapping[str, Interval]], **changes: Any) -> EvaluationResult:
    """A result without fault but for what is given."""
    models = {**RESULT.models, "auditor": {**RESULT.models["auditor"], "ece": Interval(0, 0, 0)}}
    coverage = msgspec.structs.replace(
        RESULT.coverage, found=Interval(RESULT.coverage.promised, 0.8, 1.0)
    )
    faultless = {
        "models": models, "coverage": coverage, "effective_rows": 500.0,
        "drift": {}, "forecast_shift": {}, "differences": differences,
    }  # fmt: skip
    return msgspec.structs.replace(RESULT, **(faultless | changes))


def sound() -> Examination:
    """The small evaluation without its few and absent slices."""
    curve = msgspec.structs.replace(
        examined().selective[ALL_DECISIONS]["auditor"], gain=Interval(0.1, 0.05, 0.2)
    )
    found = msgspec.structs.replace(
        examined(),
        tiers={"auditor": dict.fromkeys(examined().tiers["auditor"])},
        selective={ALL_DECISIONS: {"auditor": curve}},
    )
    return better_slices(found)


def better_slices(
    found: Examination, accuracy: Interval | None = GOOD["macro_f1"], rows: float = 100.0
) -> Examination:
    part = found.overall["all"]
    assert part is not None
    told = msgspec.structs.replace(
        part, differences={"base": {"accuracy": accuracy}}, effective_rows=rows
    )
    return msgspec.structs.replace(found, by_cut={"session": {"Tokyo": told}})


def told(
    given: EvaluationResult, found: Examination | None = None, settings: Settings = SETTINGS
) -> str:
    return "\n".join(weaknesses(given, found or sound(), settings))


@pytest.mark.parametrize(
    ("score", "low", "high", "expected"),
    [
        ("macro_f1", 0.01, 0.2, "better"),
        ("macro_f1", 0.0, 0.2, "not shown to be better"),
        ("macro_f1", -0.1, 0.2, "not shown to be better"),
        ("macro_f1", -0.1, 0.0, "not shown to be better"),
        ("macro_f1", -0.1, -0.01, "worse"),
        ("log_loss", -0.1, -0.01, "better"),
        ("log_loss", -0.1, 0.0, "not shown to be better"),
        ("log_loss", 0.01, 0.2, "worse"),
        ("brier", 0.01, 0.2, "worse"),
        ("ece", -0.2, -0.1, "better"),
    ],
)
def test_only_an_interval_clear_of_zero_shows_anything(
    score: str, low: float, high: float, expected: str
) -> None:
    assert verdict(score, Interval((low + high) / 2, low, high)) == expected


def test_a_headline_sorts_everyone_by_what_was_shown() -> None:
    differences = {"base": GOOD, "majority": OPEN, "gradient_boosting": BAD, "persistence": GOOD}
    decisions, chances = headlines(result(differences))
    expected = (
        "better than base, persistence; not shown to be better than majority; "
        "worse than gradient boosting."
    )
    assert decisions.startswith("macro-F1") and decisions.endswith(expected)
    assert chances.startswith("log-loss") and chances.endswith(expected)
    assert interval_text(RESULT.models["auditor"]["macro_f1"]) in decisions


def test_a_model_without_fault_has_no_weakness() -> None:
    assert told(result({"base": GOOD, "majority": GOOD})) == ""
    assert told(result({"base": GOOD}, effective_rows=100.0)) == ""


def test_who_is_not_beaten_is_named() -> None:
    decisive = {**GOOD, "macro_f1": BAD["macro_f1"], "log_loss": BAD["log_loss"]}
    found = told(result({"base": GOOD, "logistic_regression": decisive, "majority": OPEN}))
    assert found.count("\n") == 3
    assert (
        "worse than logistic regression by macro-F1: difference -0.100 [-0.200, -0.010] "
        "(gate > 0: FAIL)."
    ) in found
    assert "worse than logistic regression by log-loss" in found
    assert "not shown to be better than majority by macro-F1" in found
    assert "base" not in found


def test_what_a_gate_lets_pass_is_told_with_its_bound() -> None:
    """The gates of the same result have the same figures, bounds and verdicts."""
    small = Interval(0.00315, 0.000469, 0.00583)
    evidence = Evidence().differing("base", "log_loss", small)
    line = next(one for one in told(evidence.evaluation).splitlines() if "base by log" in one)
    gates = judge_gates(*evidence[:3], SETTINGS.gates, evidence.champion)
    (gate,) = (gate for gate in gates if gate.name == "auditor_no_worse_log_loss")
    assert line == (
        f"The auditor is worse than base by log-loss: difference {gate.figure} "
        f"(gate {gate.bound}: {gate.verdict})."
    )
    assert (gate.figure, gate.bound, gate.verdict) == (
        "0.0032 [0.0005, 0.0058]", "<= 0.02", "pass",
    )  # fmt: skip


def test_other_scores_count_only_where_they_are_shown_worse() -> None:
    found = told(result({"base": {**GOOD, "accuracy": OPEN["accuracy"]}}))
    assert found == ""
    worse = {**GOOD, "accuracy": BAD["accuracy"], "brier": BAD["brier"]}
    lines = told(result({"base": worse, "majority": OPEN})).splitlines()
    # The decisive ones come first, whoever they are against.
    assert ["majority" in line for line in lines] == [True, True, False, False]
    assert "worse than base by Brier score: difference 0.100 [0.010, 0.200]" in lines[2]
    assert lines[3].endswith("worse than base by accuracy: difference -0.100 [-0.200, -0.010].")
    beaten = result({"majority": {**GOOD, "accuracy": BAD["accuracy"]}})
    assert told(beaten).endswith("by accuracy: difference -0.100 [-0.200, -0.010].")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"effective_rows": 99.0}, "about 99 independent labels"),
        (
            {
                "models": {
                    "auditor": {"ece": Interval(0.07, 0, 1, False), "macro_f1": GOOD["macro_f1"]}
                }
            },
            "error is 0.070 (too few rows) (gate <= 0.05: not judged)",
        ),
        (
            {
                "coverage": msgspec.structs.replace(
                    RESULT.coverage, promised=0.9, found=Interval(0.9, 0, 1, False)
                )
            },
            "0.9 and have 0.900 (too few rows) (gate 0.9 +- 0.02: not judged)",
        ),
        (
            {
                "models": {
                    "auditor": {"ece": Interval(0.07, 0.01, 0.1), "macro_f1": GOOD["macro_f1"]}
                }
            },
            "error is 0.070 [0.010, 0.100] (gate <= 0.05: FAIL)",
        ),
        (
            {"drift": {"volatility": Shift(0.6, 0.5)}},
            "learned from: PSI 0.6, KS 0.5 (gate PSI <= 0.5 or KS <= 0.45: FAIL)",
        ),
        ({"forecast_shift": {"auditor_sell": Shift(0.6, 0.5)}}, "Probability auditor sell"),
        (
            {
                "coverage": msgspec.structs.replace(
                    RESULT.coverage, promised=0.9, found=Interval(0.8, 0.7, 0.85)
                )
            },
            "0.9 and have 0.800 [0.700, 0.850] (gate 0.9 +- 0.02: FAIL)",
        ),
    ],
    ids=[
        "short",
        "no calibration",
        "no coverage",
        "calibration",
        "drift",
        "shift",
        "coverage",
    ],
)
def test_each_fault_of_the_result_is_said_once(changes: dict[str, Any], expected: str) -> None:
    found = told(result({"base": GOOD}, **changes))
    assert expected in found and "\n" not in found


def test_what_moved_by_one_statistic_alone_has_not_moved() -> None:
    drift = {"volatility": Shift(0.6, 0.1), "body": Shift(0.1, 0.6)}
    assert told(result({"base": GOOD}, drift=drift)) == ""
    gates = SETTINGS.gates.model_copy(update={"drift_psi_at_most": None, "drift_ks_at_most": None})
    unasked = SETTINGS.model_copy(update={"gates": gates})
    drift = {"volatility": Shift(9.0, 0.9)}
    assert told(result({"base": GOOD}, drift=drift), settings=unasked) == ""


def test_a_slice_where_the_auditor_decides_worse_is_named() -> None:
    worse = Interval(-0.1, -0.2, -0.01)
    assert "By session, Tokyo: the auditor decides worse" in told(
        result({"base": GOOD}), better_slices(sound(), worse)
    )
    for unclear in (Interval(-0.1, -0.2, 0.0), Interval(0.1, 0.01, 0.2), None):
        assert told(result({"base": GOOD}), better_slices(sound(), unclear)) == ""
    for rows, is_few in ((20.0, False), (19.9, True)):
        found = told(result({"base": GOOD}), better_slices(sound(), worse, rows))
        assert found.endswith(", on few independent labels.") is is_few


def test_an_absent_slice_is_named() -> None:
    found = msgspec.structs.replace(sound(), by_cut={"weekday": {"Mon": None, "Tue": None}})
    assert "Nothing is known by weekday of: Mon, Tue" in told(result({"base": GOOD}), found)


def test_a_tier_that_promises_too_much_is_named() -> None:
    part = examined().overall["all"]
    assert part is not None
    scores = {**part.models["auditor"], "accuracy": Interval(0.7, 0.6, 0.79)}
    told_part = msgspec.structs.replace(part, models={"auditor": scores})
    tiers = {**dict.fromkeys(examined().tiers["auditor"]), "0.8 to 0.9": told_part}
    found = msgspec.structs.replace(sound(), tiers={"auditor": tiers})
    assert "of decisions given 0.8 to 0.9 came true 0.700" in told(result({"base": GOOD}), found)
    fine = {**dict.fromkeys(examined().tiers["auditor"]), "0.7 to 0.8": told_part}
    found = msgspec.structs.replace(sound(), tiers={"auditor": fine})
    assert told(result({"base": GOOD}), found) == ""
    just = {**scores, "accuracy": Interval(0.7, 0.6, 0.8)}
    few = {**scores, "accuracy": Interval(0.2, 0.1, 0.3)}
    tiers |= {"0.8 to 0.9": msgspec.structs.replace(part, models={"auditor": just})}
    lowest = next(iter(examined().tiers["auditor"]))
    tiers |= {lowest: msgspec.structs.replace(part, models={"auditor": few})}
    found = msgspec.structs.replace(sound(), tiers={"auditor": tiers})
    assert told(result({"base": GOOD}), found) == "", "what may be as right as it says is sound"


def test_a_confidence_that_knows_nothing_is_named() -> None:
    curve = examined().selective[ALL_DECISIONS]["auditor"]
    for low, is_told in ((-0.01, True), (0.0, True), (0.001, False)):
        known = msgspec.structs.replace(curve, gain=Interval(0.1, low, 0.2))
        selective = {**examined().selective, ALL_DECISIONS: {"auditor": known}}
        found = msgspec.structs.replace(sound(), selective=selective)
        said = told(result({"base": GOOD}), found)
        assert ("not shown to tell right decisions from wrong" in said) is is_told
    unknown = {ALL_DECISIONS: {"auditor": msgspec.structs.replace(curve, gain=None)}}
    found = msgspec.structs.replace(sound(), selective=unknown)
    assert told(result({"base": GOOD}), found) == ""


def test_a_model_that_never_moves_or_always_abstains_is_named() -> None:
    part = examined().overall["all"]
    assert part is not None
    still = {"all": msgspec.structs.replace(part, moves={"auditor": 0, "base": 3})}
    found = msgspec.structs.replace(sound(), overall=still)
    assert "never decided SELL or BUY" in told(result({"base": GOOD}), found)
    found = msgspec.structs.replace(sound(), set_sizes=(3, 0, 7, 0))
    assert "it always abstains" in told(result({"base": GOOD}), found)
