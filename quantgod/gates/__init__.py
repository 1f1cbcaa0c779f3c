"""Judge whether a version may serve: records in, verdicts out."""

from quantgod.gates.judge import judge_gates
from quantgod.gates.report import (
    GATES_FILE,
    ChampionResult,
    Duel,
    Gate,
    GateReport,
    all_passed,
    bounds_digest,
)

__all__ = [
    "GATES_FILE",
    "ChampionResult",
    "Duel",
    "Gate",
    "GateReport",
    "all_passed",
    "bounds_digest",
    "judge_gates",
]
