"""The figure holds every gate with its figure and its bound, and shows which failed."""

from __future__ import annotations

from pathlib import Path

from matplotlib.colors import to_rgba

from quantgod.gates import Gate, judge_gates
from quantgod.gates.figure import COLOURS, gate_figure
from quantgod.settings import load_settings
from tests.evaluation.plots.overlaps import overlapping
from tests.gates.records import Evidence

GATES = (
    Gate("mcc", "0.31 [0.2, 0.4]", "> 0", True, ""),
    Gate("drawdown", "0.3", "<= 0.1", False, ""),
    Gate("ece", "0.2", "not asked for", None, ""),
)


def test_every_gate_is_told_in_full_and_its_verdict_in_colour() -> None:
    axes = gate_figure(GATES, "quantgod 5").axes[0]
    said = [text.get_text() for text in axes.texts]
    for gate in GATES:
        assert {gate.name, gate.figure, gate.bound, gate.verdict} <= set(said)
    stripes = [patch.get_facecolor()[:3] for patch in axes.patches]
    assert stripes == [to_rgba(COLOURS[gate.verdict])[:3] for gate in GATES]
    assert len(set(stripes)) == 3 and axes.get_title() == "quantgod 5"


def test_no_text_lies_over_another_where_every_gate_is_told_at_length() -> None:
    asked = load_settings(Path("conf/full.yaml")).gates
    evaluated, traded, audited, champion = Evidence()
    gates = judge_gates(evaluated, traded, audited, asked, champion)
    failed = ", ".join(gate.name for gate in gates)
    assert overlapping(gate_figure(gates, f"quantgod 5: 0 of {len(gates)} passed; {failed}")) == []
