"""What gates have said of a version, and what that verdict is bound to."""

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
"""By which two copies of one network may differ in log-loss: to be clear of zero is more."""


def bounds_digest(settings: GateSettings) -> str:
    """What tells one set of bounds from another."""
    return value_digest(settings.model_dump(mode="json"))


class Gate(msgspec.Struct, frozen=True):
    """One gate's verdict.

    Attributes:
        name: of the gate.
        figure: what was found, with its interval where it has one.
        bound: what it is held against.
        passed: None where it is not asked for, there is nothing to judge, or too little to tell.
        detail: what figure and bound mean.
        unjudged: it is asked for, and there are too few data to tell.
    """

    name: str
    figure: str
    bound: str
    passed: bool | None
    detail: str
    unjudged: bool = False

    @property
    def verdict(self) -> str:
        """`pass`, `FAIL`, `not judged` for want of data, or `-` where nothing was asked."""
        if self.passed is None:
            return UNJUDGED if self.unjudged else "-"
        return "pass" if self.passed else "FAIL"


def all_passed(gates: Iterable[Gate]) -> bool:
    """No gate failed or wanted for data, and at least one was asked for and passed."""
    told = [gate for gate in gates if gate.passed is not None or gate.unjudged]
    return bool(told) and all(gate.passed for gate in told)


class Duel(msgspec.Struct, frozen=True, kw_only=True):
    """The challenger's score minus the champion's, on the same rows.

    Attributes:
        rows: compared.
        effective_rows: independent labels among them.
        log_loss: of the probabilities, in nats; None where there is a problem.
        macro_f1: of the decided classes; None where there is a problem.
        problem: why the two cannot be compared; empty where they were.
        too_few: there are too few independent rows to tell.
    """

    rows: int = 0
    effective_rows: float = 0.0
    log_loss: Interval | None = None
    macro_f1: Interval | None = None
    problem: str = ""
    too_few: bool = False

    @property
    def won(self) -> bool:
        """The challenger is clearly better in log-loss, and not worse in macro-F1."""
        if self.problem or self.too_few or self.log_loss is None or self.macro_f1 is None:
            return False
        return self.log_loss.high < -ARITHMETIC_NATS and self.macro_f1.value >= 0


class ChampionResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a challenger did against the version in place.

    Attributes:
        champion: `NAME/VERSION`.
        test: on the challenger's test rows.
        live: on what both said in live sessions; None where they never spoke of the same minute.
    """

    champion: str
    test: Duel
    live: Duel | None = None


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """All gates of one version, bound to its files, its data, and the version then in place.

    Attributes:
        name: of the registered model.
        version: its number.
        files_sha256: digest of its files.
        data: digests of the data in its lineage, by name.
        champion: the version in place when it was judged; None if there was none.
        at: when, ISO 8601, UTC.
        run_id: the run that judged.
        gates: one each.
        bounds: digest of the settings that they were judged by; empty in reports that lack it.
        otherwise: in what it was judged otherwise than the version's own settings say.
        market: that its market is simulated; empty for a real one, and in reports that do not say.
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
        """No gate failed or wanted for data, and at least one was asked for and passed."""
        return all_passed(self.gates)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the gates that failed."""
        return tuple(gate.name for gate in self.gates if gate.passed is False)

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Names of the gates that there are too few data for."""
        return tuple(gate.name for gate in self.gates if gate.unjudged)

    @property
    def stopped(self) -> tuple[str, ...]:
        """Names of the gates that keep the version back: failed, or asked for and not judged."""
        return self.failed + self.unjudged

    @property
    def held_back(self) -> str:
        """What keeps it back: those gates by name, or that none has passed; empty if passed."""
        return ", ".join(self.stopped) or ("" if self.passed else "no gate has passed")

    def in_words(self) -> str:
        """`12 of 15 gates passed; failed: mcc; not judged: ece; simulated market`."""
        passed = sum(gate.passed is True for gate in self.gates)
        asked = passed + len(self.stopped)
        kept = {"; failed: ": self.failed, f"; {UNJUDGED}: ": self.unjudged}
        kept["; judged by "] = tuple(self.otherwise)
        told = "".join(f"{how}{', '.join(names)}" for how, names in kept.items() if names)
        market = f"; {self.market}" if self.market else ""
        return f"{passed} of {asked} gates passed{told}{market}"
