"""Verdicts follow their figures, and nothing that is missing ever passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from quantgod.contracts import FEATURES
from quantgod.evaluation.drift import Shift
from quantgod.evaluation.evidence import (
    EvidenceError,
    LeakAuditResult,
    read_evidence,
    write_evidence,
)
from quantgod.evaluation.intervals import Interval
from quantgod.files import value_digest
from quantgod.gates import (
    GATES_FILE,
    ChampionResult,
    Gate,
    GateReport,
    bounds_digest,
    judge_gates,
)
from quantgod.settings import GateSettings, load_settings
from tests.gates.records import (
    HIGHER,
    LOWER,
    Evidence,
    around,
    duel,
    ensemble,
    evaluation,
    leak_audit,
)

SETTINGS = load_settings(Path("conf/full.yaml")).gates
NAN = math.nan
GOOD = Evidence()
BASELINES = ("majority", "persistence", "logistic_regression", "gradient_boosting")


def asked(**changes: Any) -> GateSettings:
    return SETTINGS.model_copy(update=changes)


def verdicts(
    evidence: Evidence = GOOD, settings: GateSettings = SETTINGS
) -> dict[str, bool | None]:
    return {gate.name: gate.passed for gate in judge(evidence, settings)}


def judge(evidence: Evidence = GOOD, settings: GateSettings = SETTINGS) -> tuple[Gate, ...]:
    evaluation, backtest, leak_audit, champion = evidence
    return judge_gates(evaluation, backtest, leak_audit, settings, champion)


Worsen = Callable[[Evidence, float], Evidence]

BEATS: dict[str, Worsen] = {
    f"beats_{other}_{score}": lambda evidence, x, other=other, score=score, sign=sign: (
        evidence.differing(other, score, around(sign * x))
    )
    for other in BASELINES
    for score, sign in (("macro_f1", -1), ("log_loss", 1))
}
WORSE: dict[str, Worsen] = {
    **BEATS,
    "mcc": lambda evidence, x: evidence.scored("mcc", around(-x)),
    "ece": lambda evidence, x: evidence.scored("ece", around(x)),
    "accuracy": lambda evidence, x: evidence.scored("accuracy", around(-x)),
    "auditor_no_worse_macro_f1": lambda evidence, x: evidence.differing(
        "base", "macro_f1", around(-x)
    ),
    "auditor_no_worse_log_loss": lambda evidence, x: evidence.differing(
        "base", "log_loss", around(x)
    ),
    "no_worse_than_members": lambda evidence, x: evidence.beside("far", "log_loss", around(x)),
    "no_worse_than_equal_weights": lambda evidence, x: evidence.beside(
        "equal_weights", "macro_f1", around(-x)
    ),
    "coverage": lambda evidence, x: evidence.covered(0.9 + abs(x)),
    "net_pnl": lambda evidence, x: evidence.traded(net_pnl=around(-x)),
    "deflated_sharpe": lambda evidence, x: evidence.traded(deflated_sharpe=-x),
    "drawdown": lambda evidence, x: evidence.traded(max_drawdown=x),
    "account": lambda evidence, x: evidence.traded(outcome="open" if x <= 1 else "daily_loss"),
    "inference_p99": lambda evidence, x: evidence.timed(100 * x),
    "leak_audit": lambda evidence, x: evidence.leaking(x),
    "drift": lambda evidence, x: evidence.drifted(x, x),
    "beats_champion": lambda evidence, x: evidence.met(test=duel(log_loss=around(x))),
    "beats_champion_live": lambda evidence, x: evidence.met(live=duel(macro_f1=around(-x))),
}
"""For each gate, evidence whose figure is the worse the larger x is (not a number: unknown)."""

ASKED_BY = {
    "beats": set(BEATS),
    "beats_on": set(BEATS),
    "mcc_above": {"mcc"},
    "ece_at_most": {"ece"},
    "accuracy_at_least": {"accuracy"},
    "auditor_margin": {"auditor_no_worse_macro_f1", "auditor_no_worse_log_loss"},
    "ensemble_margin": {"no_worse_than_members", "no_worse_than_equal_weights"},
    "coverage_within": {"coverage"},
    "net_pnl_above": {"net_pnl"},
    "deflated_sharpe_at_least": {"deflated_sharpe"},
    "drawdown_at_most": {"drawdown"},
    "account": {"account"},
    "inference_p99_ms": {"inference_p99"},
    "leak_audit": {"leak_audit"},
    "champion": {"beats_champion", "beats_champion_live"},
}
"""Which gates a setting asks for; `drift` takes two bounds, `champion_rows` is the comparison's."""


def test_a_good_version_passes_every_gate_of_the_default_set() -> None:
    assert verdicts() == dict.fromkeys(WORSE, True)


@pytest.mark.parametrize("name", WORSE)
def test_each_gate_alone_can_fail_and_says_so(name: str) -> None:
    found = {gate.name: gate for gate in judge(WORSE[name](GOOD, 2.0))}
    assert [gate.name for gate in found.values() if gate.passed is False] == [name]
    assert found[name].verdict == "FAIL" and found[name].figure and found[name].bound


@pytest.mark.parametrize("name", WORSE)
@given(x=st.floats(-3, 3), y=st.floats(-3, 3))
def test_a_verdict_never_gets_better_as_its_figure_gets_worse(
    name: str, x: float, y: float
) -> None:
    better, worse = sorted((x, y), key=abs if name == "coverage" else None)
    before, after = verdicts(WORSE[name](GOOD, better)), verdicts(WORSE[name](GOOD, worse))
    assert before[name] or not after[name]
    assert {**before, name: None} == {**after, name: None}, "no other gate looks at this figure"


@given(st.dictionaries(st.sampled_from(sorted(WORSE)), st.tuples(*2 * [st.floats(-1, 1)])))
def test_worse_evidence_never_turns_a_failing_report_into_a_passing_one(
    figures: dict[str, tuple[float, float]],
) -> None:
    before = after = GOOD
    for name, pair in figures.items():
        better, worse = sorted(pair, key=abs if name == "coverage" else None)
        before, after = WORSE[name](before, better), WORSE[name](after, worse)
    assert report(judge(before)).passed or not report(judge(after)).passed


@pytest.mark.parametrize("name", WORSE)
def test_what_is_not_a_number_never_passes(name: str) -> None:
    assert verdicts(WORSE[name](GOOD, NAN))[name] is False


INTERVALS: dict[str, Callable[[Interval], Evidence]] = {
    "mcc": lambda found: GOOD.scored("mcc", found),
    "net_pnl": lambda found: GOOD.traded(net_pnl=found),
    "beats_majority_macro_f1": lambda found: GOOD.differing("majority", "macro_f1", found),
    "beats_majority_log_loss": lambda found: GOOD.differing(
        "majority", "log_loss", negative(found)
    ),
    "auditor_no_worse_macro_f1": lambda found: GOOD.differing("base", "macro_f1", found),
    "auditor_no_worse_log_loss": lambda found: GOOD.differing("base", "log_loss", negative(found)),
    "no_worse_than_members": lambda found: GOOD.beside("near", "macro_f1", found),
    "no_worse_than_equal_weights": lambda found: GOOD.beside(
        "equal_weights", "log_loss", negative(found)
    ),
    "beats_champion": lambda found: GOOD.met(test=duel(log_loss=negative(found))),
    "beats_champion_live": lambda found: GOOD.met(live=duel(macro_f1=found)),
}


def negative(found: Interval) -> Interval:
    return Interval(-found.value, -found.high, -found.low, found.enough)


@pytest.mark.parametrize("end", range(3))
@pytest.mark.parametrize("name", INTERVALS)
def test_an_interval_with_an_end_that_is_not_a_number_never_passes(name: str, end: int) -> None:
    good = Interval(0.5, 0.4, 0.6)
    spoiled = Interval(*(NAN if place == end else value for place, value in enumerate(good)))
    assert verdicts(INTERVALS[name](good))[name] is True
    assert verdicts(INTERVALS[name](spoiled))[name] is False


@pytest.mark.parametrize("setting", ASKED_BY)
def test_every_setting_asks_for_its_gates_and_null_turns_exactly_those_off(setting: str) -> None:
    off: Any = {"beats": (), "beats_on": ()}.get(setting)
    off = False if setting in ("leak_audit", "champion", "account") else off
    settings = asked(**{setting: off})
    left = verdicts(settings=settings)
    assert {name for name in WORSE if left.get(name) is None} == ASKED_BY[setting]
    for name in ASKED_BY[setting]:
        found = verdicts(WORSE[name](GOOD, 2.0), settings)
        assert found.get(name) is None and False not in found.values()


def test_no_setting_is_without_a_gate() -> None:
    others = {"drift_psi_at_most", "drift_ks_at_most", "champion_rows"}
    assert set(ASKED_BY) | others == set(GateSettings.model_fields)
    assert set().union(*ASKED_BY.values()) | {"drift"} == set(WORSE)


def test_what_is_not_asked_for_is_shown_as_such() -> None:
    found = {gate.name: gate for gate in judge(settings=asked(mcc_above=None, beats=()))}
    assert found["mcc"] == Gate("mcc", "0.300 [0.290, 0.310]", "not asked for", None,
                                found["mcc"].detail)  # fmt: skip
    assert found["beats_baselines"].bound == "not asked for"
    assert found["mcc"].verdict == "-"


def test_bounds_are_kept_where_they_are_met_exactly_and_intervals_must_be_clear() -> None:
    assert SETTINGS.ece_at_most is not None and SETTINGS.accuracy_at_least is not None
    met = {
        "ece": GOOD.scored("ece", around(SETTINGS.ece_at_most)),
        "accuracy": GOOD.scored("accuracy", around(SETTINGS.accuracy_at_least)),
        "coverage": GOOD.covered(0.88),
        "deflated_sharpe": GOOD.traded(deflated_sharpe=0.95),
        "drawdown": GOOD.traded(max_drawdown=0.1),
        "inference_p99": GOOD.timed(150.0),
        "drift": GOOD.drifted(0.5, 0.45),
    }
    for name, evidence in met.items():
        assert verdicts(evidence)[name] is True, name
    touching = Interval(0.1, 0.0, 0.2)
    for name in ("mcc", "net_pnl", "beats_majority_macro_f1", "beats_majority_log_loss"):
        assert verdicts(INTERVALS[name](touching))[name] is False, name
    assert verdicts(INTERVALS["beats_champion"](touching))["beats_champion"] is False


@pytest.mark.parametrize("score", [*HIGHER, *LOWER])
def test_a_baseline_is_beaten_on_the_better_side_of_a_score(score: str) -> None:
    settings = asked(beats_on=(score,), beats=("majority",))
    better, worse = around(0.1), around(-0.1)
    if score in LOWER:
        better, worse = worse, better
    name = f"beats_majority_{score}"
    assert verdicts(GOOD.differing("majority", score, better), settings)[name] is True
    assert verdicts(GOOD.differing("majority", score, worse), settings)[name] is False


def test_the_auditor_may_be_worse_than_its_base_by_the_margin_at_the_far_end() -> None:
    for score, sign in (("macro_f1", -1), ("log_loss", 1)):
        for far, is_kept in ((0.02, True), (0.021, False)):
            low, high = sorted((sign * far, sign * -0.1))
            found = GOOD.differing("base", score, Interval(0.0, low, high))
            assert verdicts(found)[f"auditor_no_worse_{score}"] is is_kept


def test_an_ensemble_may_be_worse_than_no_member_by_more_than_the_margin() -> None:
    for other in ("near", "far", "equal_weights"):
        name = "no_worse_than_members" if other in ("near", "far") else f"no_worse_than_{other}"
        for score, sign in (("macro_f1", -1), ("log_loss", 1)):
            for far, is_kept in ((0.02, True), (0.021, False)):
                low, high = sorted((sign * far, sign * -0.1))
                found = GOOD.beside(other, score, Interval(0.0, low, high))
                gates = {gate.name: gate for gate in judge(found)}
                assert gates[name].passed is is_kept
                assert f"minus that of {other}" in gates[name].detail


def test_the_gates_of_ensembles_do_not_ask_a_version_of_one_network() -> None:
    alone = GOOD._replace(evaluation=evaluation(ensemble=None))
    found = {gate.name: gate for gate in judge(alone)}
    for name in ASKED_BY["ensemble_margin"]:
        assert (found[name].verdict, found[name].figure) == ("-", "one network")
    assert report(judge(alone)).passed


def test_members_that_never_spoke_together_leave_their_ensemble_unjudged() -> None:
    silent = GOOD._replace(evaluation=evaluation(ensemble=ensemble(differences={}, rows=0)))
    found = {gate.name: gate for gate in judge(silent)}
    for name in ASKED_BY["ensemble_margin"]:
        assert (found[name].unjudged, found[name].figure) == (True, "none")
    assert not report(judge(silent)).passed


def test_bounds_of_earlier_settings_keep_their_digest() -> None:
    """So that a verdict of before there were ensembles still lets its version be promoted."""
    earlier = asked(ensemble_margin=None)
    values = earlier.model_dump(mode="json")
    del values["ensemble_margin"]
    assert bounds_digest(earlier) == value_digest(values) != bounds_digest(SETTINGS)


@pytest.mark.parametrize("name", [*INTERVALS, "ece", "accuracy", "coverage"])
def test_what_has_too_few_rows_is_not_judged_and_lets_nothing_pass(name: str) -> None:
    few = Interval(0.9, 0.89, 0.91, enough=False)
    made = {
        "ece": lambda found: GOOD.scored("ece", found._replace(value=0.01)),
        "accuracy": lambda found: GOOD.scored("accuracy", found),
        "coverage": lambda found: GOOD._replace(
            evaluation=evaluation(coverage=replace(GOOD.evaluation.coverage, found=found))
        ),
    }.get(name, INTERVALS.get(name))
    assert made is not None
    if name.startswith("beats_champion"):
        spoiled = GOOD.met(**{"live" if name.endswith("live") else "test": duel(too_few=True)})
    else:
        spoiled = made(few)
    found = {gate.name: gate for gate in judge(spoiled)}[name]
    assert (found.passed, found.unjudged, found.verdict) == (None, True, "not judged")
    assert "too few" in found.detail
    kept = report(judge(spoiled))
    assert not kept.passed and kept.failed == () and kept.stopped == kept.unjudged == (name,)
    count = len(WORSE)
    assert kept.in_words() == f"{count - 1} of {count} gates passed; not judged: {name}"


def test_coverage_fails_on_either_side_of_its_promise() -> None:
    for found in (0.87, 0.93):
        assert verdicts(GOOD.covered(found))["coverage"] is False


def test_a_feature_has_drifted_when_both_statistics_are_over() -> None:
    over, under = 0.9, 0.1
    assert verdicts(GOOD.drifted(over, under))["drift"] is True
    assert verdicts(GOOD.drifted(under, over))["drift"] is True
    found = {gate.name: gate for gate in judge(GOOD.drifted(over, over))}["drift"]
    assert found.passed is False and found.figure == "volatility: PSI 0.9, KS 0.9"
    bounds = SETTINGS, asked(drift_psi_at_most=None), asked(drift_ks_at_most=None)
    for psi, ks in ((NAN, under), (under, NAN), (NAN, NAN)):
        for settings in bounds:
            assert verdicts(GOOD.drifted(psi, ks), settings)["drift"] is False


def test_drift_with_one_bound_is_judged_by_that_one() -> None:
    only_psi = asked(drift_ks_at_most=None)
    assert verdicts(GOOD.drifted(0.9, 0.1), only_psi)["drift"] is False
    assert verdicts(GOOD.drifted(0.1, 0.9), only_psi)["drift"] is True
    neither = asked(drift_ks_at_most=None, drift_psi_at_most=None)
    assert verdicts(GOOD.drifted(0.9, 0.9), neither)["drift"] is None


def test_a_version_that_was_not_timed_and_one_that_was_not_audited_fail() -> None:
    bare = GOOD._replace(evaluation=evaluation(inference=None), leak_audit=None)
    found = {gate.name: gate for gate in judge(bare)}
    assert found["inference_p99"].passed is False
    assert found["inference_p99"].detail == "no version was timed"
    assert found["leak_audit"].passed is False and "no leak audit" in found["leak_audit"].detail
    left = verdicts(bare, asked(inference_p99_ms=None, leak_audit=False))
    assert left["inference_p99"] is None and left["leak_audit"] is None


@pytest.mark.parametrize(
    "empty",
    [
        {"compared": {}},
        {"compared": {"labels": 0}},
        {"cuts": ()},
        {"provenance": "row 3"},
        {"unshown": ("folds",)},
        {"nearest": {"features": 1, "labels": 2}},
        {"nearest": {"features": 1}},
    ],
    ids=str,
)
def test_a_leak_audit_that_shows_nothing_or_not_to_the_row_fails(empty: dict[str, Any]) -> None:
    assert verdicts(GOOD.audited(**empty))["leak_audit"] is False


def test_a_leak_audit_says_why_it_could_not_have_seen_one_row() -> None:
    """So does a record of before it was told how near an audit had come."""
    by_hand = judge(GOOD.audited(nearest={"features": 1, "labels": 12}))
    (gate,) = (gate for gate in by_hand if gate.name == "leak_audit")
    assert gate.detail == "labels: a look-ahead of less than 12 rows would not have shown"
    kept = msgspec.to_builtins(leak_audit())
    del kept["nearest"]
    old = msgspec.convert(kept, LeakAuditResult)
    (gate,) = (gate for gate in judge(GOOD._replace(leak_audit=old)) if gate.name == "leak_audit")
    assert gate.passed is False
    assert gate.detail == "nothing says how near to its cuts this audit has compared; audit again"


def test_without_another_version_in_place_there_is_no_champion_to_beat() -> None:
    alone = judge(GOOD._replace(champion=None))
    left = {gate.name: gate.passed for gate in alone}
    assert left["beats_champion"] is None and left["beats_champion_live"] is None
    assert report(alone).passed
    found = {gate.name: gate for gate in judge(GOOD.met(live=None))}
    assert found["beats_champion_live"].passed is None and found["beats_champion"].passed is True
    assert found["beats_champion_live"].detail == (
        "no journaled shadow predictions beside quantgod/1"
    )


def test_a_champion_that_is_the_same_model_need_not_be_beaten_and_it_says_so() -> None:
    same = GOOD._replace(champion=ChampionResult(champion="quantgod/1", is_same=True))
    test, live = judge(same)[-2:]
    for gate in (test, live):
        assert (gate.figure, gate.passed, gate.unjudged) == ("the same model", None, False)
        assert gate.detail.startswith("this is the same model as the champion quantgod/1: ")
    assert report(judge(same)).passed
    unasked = judge(same, asked(champion=False))[-1]
    assert (unasked.bound, unasked.passed) == ("not asked for", None)


def test_where_no_champion_is_asked_for_nobody_says_that_there_is_none() -> None:
    rivals = judge(GOOD._replace(champion=None), asked(champion=False))[-2:]
    assert {gate.detail for gate in rivals} == {"the version in place need not be beaten"}
    assert {gate.bound for gate in rivals} == {"not asked for"}


def test_versions_that_cannot_be_compared_fail_and_say_why() -> None:
    found = {gate.name: gate for gate in judge(GOOD.met(test=duel(problem="3 rows")))}
    assert found["beats_champion"].passed is False and "3 rows" in found["beats_champion"].detail
    for missing in ("log_loss", "macro_f1"):
        assert verdicts(GOOD.met(test=duel(**{missing: None})))["beats_champion"] is False


def test_evidence_that_lacks_what_is_asked_for_is_refused_by_name() -> None:
    said = "quantgod/2 holds no oracle in differences; it holds base, majority, "
    with pytest.raises(EvidenceError, match=said):
        judge(settings=asked(beats=("oracle",)))
    with pytest.raises(EvidenceError, match="holds no auditor in models"):
        judge(GOOD._replace(evaluation=evaluation(models={})))
    bare = {name: {} for name in GOOD.evaluation.differences}
    with pytest.raises(EvidenceError, match="no macro_f1 in differences of majority; it holds not"):
        judge(GOOD._replace(evaluation=evaluation(differences=bare)))
    some = {name: Shift(0.0, 0.0) for name in FEATURES[1:]}
    with pytest.raises(EvidenceError, match="holds no body in drift"):
        judge(GOOD._replace(evaluation=evaluation(drift=some)))


def report(gates: tuple[Gate, ...]) -> GateReport:
    return GateReport(
        name="quantgod", version=2, files_sha256="f", data={"labels": "d"}, champion=None,
        at="2025-01-01T00:00:00+00:00", run_id="r", gates=gates,
    )  # fmt: skip


def test_a_report_passes_when_no_gate_fails_and_one_at_least_passes() -> None:
    def gate(passed: bool | None) -> Gate:
        return Gate("mcc", "1", "> 0", passed, "")

    open_gate = Gate("ece", "1", "> 0", None, "", unjudged=True)
    assert not report((gate(True), open_gate)).passed and not report((open_gate,)).passed
    assert report((gate(True), gate(None))).passed
    assert not report((gate(True), gate(False))).passed
    assert not report((gate(None),)).passed and not report(()).passed


def test_a_report_says_in_a_line_what_failed() -> None:
    said = report(judge(WORSE["mcc"](GOOD, 1.0))).in_words()
    count = len(WORSE)
    assert said == f"{count - 1} of {count} gates passed; failed: mcc"
    assert (
        report(judge(GOOD._replace(champion=None))).in_words()
        == f"{count - 2} of {count - 2} gates passed"
    )


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    whole = report(judge())
    write_evidence(tmp_path / GATES_FILE, whole)
    assert read_evidence(tmp_path / GATES_FILE, GateReport) == whole


def test_a_leak_audit_without_messages_says_so() -> None:
    for messages in (False, True):
        found = {gate.name: gate for gate in judge(GOOD.audited(messages=messages))}
        assert found["leak_audit"].figure.endswith(", bars alone") is not messages
