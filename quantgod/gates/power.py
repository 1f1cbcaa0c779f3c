"""Test whether the gates tell skill from luck, with models of many markets.

A gate that always fails stops every lucky model, and one that always passes stops no good model. So
both are counted: on markets without a signal no model may pass, and on markets with a planted
signal nearly all must.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from quantgod.ensemble.spoilt import STRATEGIES
from quantgod.evaluation.ensemble_scores import ENSEMBLE
from quantgod.evaluation.scored_rows import EQUAL_WEIGHTS
from quantgod.gates import Gate, all_passed
from quantgod.settings import PowerSettings, Settings, with_values

Kind = Literal["null", "planted"]
KINDS: Final[tuple[Kind, ...]] = ("null", "planted")


LOSS_OF: Final = "log_loss_of_"
TOGETHER: Final = f"{LOSS_OF}{ENSEMBLE}"
SPOILT: Final = "spoilt_"
FIXED, *MOVING = STRATEGIES


class Cell(NamedTuple):
    """A place on the curve: the strength of the signal, the days of data, and whose settings.

    With `trades` they are those of `power.curve.trading`.
    """

    signal: float
    days: int
    trades: bool = False

    @property
    def name(self) -> str:
        """Return a name like `0.25-16d` or `0-8d-trading`."""
        return f"{self.signal:g}-{self.days}d{'-trading' if self.trades else ''}"


class Market(NamedTuple):
    """A market of the experiment, with its own seed."""

    kind: Kind
    seed: int
    cell: Cell | None = None

    @property
    def name(self) -> str:
        """Return a name like `null-100`, with its place on the curve if there is one."""
        return f"{self.kind}-{self.seed}{f'-{self.cell.name}' if self.cell else ''}"

    def settings(self, settings: Settings) -> Settings:
        """Return the experiment's settings with this market's seed, and no signal in a null market.

        All else is equal for every market, but for its place on the curve.
        """
        own: dict[str, Any] = {"simulate.seed": self.seed}
        if self.kind == "null":
            own["simulate.signal"] = 0.0
        if self.cell is not None:
            own |= {"simulate.signal": self.cell.signal, "simulate.days": self.cell.days}
            curve = settings.power.curve
            own |= curve.trading if curve is not None and self.cell.trades else {}
        return with_values(settings, own)


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one market's model.

    Attributes:
        kind: of the market.
        seed: of the market.
        gates: all gates with their verdicts.
        figures: other figures by name.
        seconds: duration.
        cell: the market's place on the curve, if one is measured.
    """

    kind: Kind
    seed: int
    gates: tuple[Gate, ...]
    figures: dict[str, float]
    seconds: float
    cell: Cell | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the names of the gates that failed or had too little data."""
        return tuple(gate.name for gate in self.gates if gate.passed is False or gate.unjudged)

    @property
    def passed(self) -> bool:
        """Return whether a version with these gates could reach production."""
        return all_passed(self.gates)

    @property
    def is_ensemble(self) -> bool:
        """Return whether several members were judged as one model."""
        return TOGETHER in self.figures

    @property
    def beats_best_member(self) -> bool:
        """Return whether members together have a smaller log-loss than each by itself."""
        return self.figures[TOGETHER] < min(self.figures[name] for name in self.alone)

    @property
    def alone(self) -> list[str]:
        """Return the names of the figures that are log-losses of single members."""
        together = TOGETHER, f"{LOSS_OF}{EQUAL_WEIGHTS}"
        return [one for one in self.figures if one.startswith(LOSS_OF) and one not in together]

    def outlasts(self, strategy: str) -> bool:
        """Return whether moving weights lose less than fixed ones where a member is spoilt."""
        return self.figures[f"{SPOILT}{strategy}"] < self.figures[f"{SPOILT}{FIXED}"]


class Count(NamedTuple):
    """How many models passed a gate, and how many were judged by it."""

    passed: int
    judged: int


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """The whole experiment.

    Attributes:
        rehearsals: one per market, in the order of `markets`; stored as `trials`.
        planted_passes: how many models of planted markets must pass; of ensembles, how many must
            beat their best member.
    """

    rehearsals: tuple[Rehearsal, ...] = msgspec.field(name="trials")
    planted_passes: int

    def of(self, kind: Kind) -> tuple[Rehearsal, ...]:
        """Return the rehearsals of one kind of market."""
        return tuple(rehearsal for rehearsal in self.rehearsals if rehearsal.kind == kind)

    def passes(self, kind: Kind) -> int:
        """Return how many models of that kind of market passed all gates."""
        return sum(rehearsal.passed for rehearsal in self.of(kind))

    def gate_counts(self, kind: Kind) -> dict[str, Count]:
        """Return how many models of that kind of market passed each gate."""
        return count_gates(rehearsal.gates for rehearsal in self.of(kind))

    @property
    def problem(self) -> str:
        """Return what is wrong with the gates according to the experiment; empty if nothing."""
        wrong = []
        if self.passes("null"):
            seeds = ", ".join(
                str(rehearsal.seed) for rehearsal in self.of("null") if rehearsal.passed
            )
            wrong.append(f"the gates let models of null markets through: seeds {seeds}")
        ensembles = [one for one in self.of("planted") if one.is_ensemble]
        if ensembles:
            if (found := sum(one.beats_best_member for one in ensembles)) < self.planted_passes:
                wrong.append(
                    f"{found} of {len(ensembles)} ensembles beat their best member, at least "
                    f"{self.planted_passes} expected"
                )
            wrong += [
                f"{count} of {len(ensembles)} ensembles lose less by {strategy} weights than by "
                "fixed ones where a member is spoilt, more than half expected"
                for strategy in MOVING
                if 2 * (count := sum(one.outlasts(strategy) for one in ensembles)) <= len(ensembles)
            ]
        elif (found := self.passes("planted")) < self.planted_passes:
            wrong.append(
                f"{found} of {len(self.of('planted'))} models of planted markets passed, at least "
                f"{self.planted_passes} expected"
            )
        return "; ".join(wrong)


def markets(settings: PowerSettings) -> list[Market]:
    """Return all markets of the experiment, null ones first, each with its own seed."""
    border = settings.first_seed + settings.null_markets
    return [
        *(Market("null", seed) for seed in range(settings.first_seed, border)),
        *(Market("planted", seed) for seed in range(border, border + settings.planted_markets)),
    ]


def summary_rows(power: Power) -> list[list[str]]:
    """Return one row per kind of market: its name, its number, and how many models passed."""
    return [
        [kind, str(len(power.of(kind))), str(power.passes(kind))]
        for kind in KINDS
        if power.of(kind)
    ]


def ensemble_rows(power: Power) -> list[list[str]]:
    """Return a row per kind of market: in how many an ensemble beats its best member, and lasts."""
    return [
        [
            kind,
            *(
                f"{sum(verdicts)}/{len(verdicts)}"
                for verdicts in (
                    [one.beats_best_member for one in some],
                    *([one.outlasts(strategy) for one in some] for strategy in MOVING),
                )
            ),
        ]
        for kind in KINDS
        if (some := [one for one in power.of(kind) if one.is_ensemble])
    ]


def loss_rows(power: Power) -> tuple[list[str], list[list[str]]]:
    """Return the head and a row per market of ensembles: log-losses of each and of what it is of.

    They are those of all members together, of each alone, of equal weights, of the auditor, and of
    each strategy where the best member is spoilt.
    """
    found = [one for one in power.rehearsals if one.is_ensemble]
    names = [TOGETHER, *found[0].alone, f"{LOSS_OF}{EQUAL_WEIGHTS}", "log_loss"]
    names += [f"{SPOILT}{strategy}" for strategy in STRATEGIES]
    said = [name.removeprefix(LOSS_OF).replace("_", " ") for name in names]
    said[said.index("log loss")] = "auditor"
    rows = [
        [f"{one.kind}-{one.seed}", *(f"{one.figures[name]:.3f}" for name in names)] for one in found
    ]
    return ["market", *said], rows


def gate_rows(power: Power) -> list[list[str]]:
    """Return one row per gate: its name, and how many models of each kind of market passed."""
    return gate_table([power.gate_counts(kind) for kind in KINDS])


def count_gates(judged: Iterable[Iterable[Gate]]) -> dict[str, Count]:
    """Return by how many of several models each gate was passed."""
    verdicts: dict[str, list[bool]] = {}
    for gates in judged:
        for gate in gates:
            told = verdicts.setdefault(gate.name, [])
            if gate.passed is not None or gate.unjudged:
                told.append(bool(gate.passed))
    return {name: Count(sum(told), len(told)) for name, told in verdicts.items()}


def gate_table(counts: Sequence[Mapping[str, Count]]) -> list[list[str]]:
    """Return one row per gate: its name, and by how many of each count it was passed."""
    names = dict.fromkeys(name for each in counts for name in each)
    return [[name, *(_count_text(each.get(name)) for each in counts)] for name in names]


def rehearsal_line(rehearsal: Rehearsal) -> str:
    """Return `null 104: 12 of 18 gates, failed beats_majority_macro_f1, ...`."""
    judged = [gate for gate in rehearsal.gates if gate.passed is not None or gate.unjudged]
    kept = len(judged) - len(rehearsal.failed)
    failed = f", failed {_listed(rehearsal.failed)}" if rehearsal.failed else ""
    verdict = "passed" if rehearsal.passed else "not passed"
    market = Market(rehearsal.kind, rehearsal.seed, rehearsal.cell)
    return (
        f"{market.name.replace('-', ' ')}: {verdict}, {kept} of {len(judged)} gates in "
        f"{rehearsal.seconds:.0f} s{failed}"
    )


def _count_text(count: Count | None) -> str:
    return f"{count.passed}/{count.judged}" if count and count.judged else "-"


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
