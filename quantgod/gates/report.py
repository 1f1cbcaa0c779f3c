"""Records of gates: their verdicts on a version, and what these are bound to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from quantgod.evaluation.intervals import Interval
from quantgod.files import value_digest
from quantgod.settings import GateSettings

GATES_FILE: Final = "gates.json"
UNJUDGED: Final = "not judged"
ARITHMETIC_NATS: Final = 1e-6
"""Rounding difference of two copies of one network in log-loss; a real difference is larger."""


def bounds_digest(settings: GateSettings) -> str:
    """Return the digest of a set of bounds, the same as before there were any of ensembles."""
    bounds = settings.model_dump(mode="json")
    if settings.ensemble_margin is None:
        del bounds["ensemble_margin"]
    return value_digest(bounds)


class Gate(msgspec.Struct, frozen=True):
    """One gate's verdict.

    Attributes:
        name: of the gate.
        figure: the measured value, with its interval if it has one.
        bound: the bound it is compared with.
        passed: None if it is not checked, has nothing to judge, or too little data.
        detail: the meaning of figure and bound.
        unjudged: True if it is checked but has too little data.
    """

    name: str
    figure: str
    bound: str
    passed: bool | None
    detail: str
    unjudged: bool = False

    @property
    def verdict(self) -> str:
        """Return `pass`, `FAIL`, `not judged` (too little data), or `-` (not checked)."""
        if self.passed is None:
            return UNJUDGED if self.unjudged else "-"
        return "pass" if self.passed else "FAIL"


def all_passed(gates: Iterable[Gate]) -> bool:
    """Return whether no gate failed or lacked data, and at least one passed."""
    told = [gate for gate in gates if gate.passed is not None or gate.unjudged]
    return bool(told) and all(gate.passed for gate in told)


class Duel(msgspec.Struct, frozen=True, kw_only=True):
    """The challenger's score minus the champion's, on the same rows.

    Attributes:
        rows: number of compared rows.
        effective_rows: number of independent labels among them.
        log_loss: of the probabilities, in nats; None if there is a problem.
        macro_f1: of the decided classes; None if there is a problem.
        problem: why the two cannot be compared; empty if they were.
        too_few: True if there are too few independent rows for a verdict.
    """

    rows: int = 0
    effective_rows: float = 0.0
    log_loss: Interval | None = None
    macro_f1: Interval | None = None
    problem: str = ""
    too_few: bool = False

    @property
    def won(self) -> bool:
        """Return whether the challenger is clearly better in log-loss and not worse in macro-F1."""
        if self.problem or self.too_few or self.log_loss is None or self.macro_f1 is None:
            return False
        return self.log_loss.high < -ARITHMETIC_NATS and self.macro_f1.value >= 0


class ChampionResult(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison of a challenger with the champion.

    Attributes:
        champion: `NAME/VERSION`.
        test: on the challenger's test rows.
        live: on signals of the same live minutes; None if there are none.
        is_same: True if both are the same model, so that there is nothing to compare.
    """

    champion: str
    test: Duel = Duel()
    live: Duel | None = None
    is_same: bool = False


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """All gates of one version, bound to its files, its data and the champion at the time.

    Attributes:
        name: of the registered model.
        version: its number.
        files_sha256: digest of its files.
        data: digests of the data in its lineage, by name.
        champion: the champion when it was judged; None if there was none.
        at: time of the verdict, ISO 8601, UTC.
        run_id: the run of the verdict.
        gates: all gates.
        bounds: digest of the gate settings; empty in older reports.
        otherwise: judging settings that differ from the version's own.
        market: says that the market is simulated; empty for a real one and in older reports.
    """

    name: str
    version: int
    files_sha256: str
    data: dict[str, str]
    champion: int | None
    at: str
    run_id: str
    gates: tuple[Gate, ...]
    bounds: str = ""
    otherwise: tuple[str, ...] = ()
    market: str = ""

    @property
    def passed(self) -> bool:
        """Return whether no gate failed or lacked data, and at least one passed."""
        return all_passed(self.gates)

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the names of the gates that failed."""
        return tuple(gate.name for gate in self.gates if gate.passed is False)

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Return the names of the gates with too little data."""
        return tuple(gate.name for gate in self.gates if gate.unjudged)

    @property
    def stopped(self) -> tuple[str, ...]:
        """Return the names of the gates that stop the version: failed, or with too little data."""
        return self.failed + self.unjudged

    @property
    def held_back(self) -> str:
        """Return what stops the version: these gates, or that none has passed; empty if passed."""
        return ", ".join(self.stopped) or ("" if self.passed else "no gate has passed")

    def in_words(self) -> str:
        """Return `12 of 15 gates passed; failed: mcc; not judged: ece; simulated market`."""
        passed = sum(gate.passed is True for gate in self.gates)
        asked = passed + len(self.stopped)
        kept = {"; failed: ": self.failed, f"; {UNJUDGED}: ": self.unjudged}
        kept["; judged by "] = tuple(self.otherwise)
        told = "".join(f"{how}{', '.join(names)}" for how, names in kept.items() if names)
        market = f"; {self.market}" if self.market else ""
        return f"{passed} of {asked} gates passed{told}{market}"
