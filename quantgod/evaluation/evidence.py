"""Records of evaluations, backtests and leak audits, which gates read.

Each is stored as JSON with its run, so that a gate judges exactly what was stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import msgspec

from quantgod.evaluation.drift import Shift
from quantgod.evaluation.intervals import Interval
from quantgod.files import atomic_path

EVALUATION_FILE: Final = "evaluation.json"
BACKTEST_FILE: Final = "backtest.json"
LEAK_AUDIT_FILE: Final = "leak_audit.json"

BREACHES: Final = ("daily_loss", "total_loss")
"""Outcomes of an account that broke a rule."""

Record = TypeVar("Record", bound=msgspec.Struct)


class EvidenceError(ValueError):
    """A record is missing, damaged, or of another kind."""


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Conformal sets on the test part.

    Attributes:
        promised: the share of rows whose true class shall be in the set.
        found: the share of rows whose true class was in the set.
        threshold: a class is in the set if its probability is at least this.
        singletons: share of rows with exactly one class in the set; on all others the model
            abstains.
        empty: share of rows with an empty set.
    """

    promised: float
    found: Interval
    threshold: float
    singletons: float
    empty: float


class Inference(msgspec.Struct, frozen=True, kw_only=True):
    """Time per window when served, in ms (p50 and p99 of `windows` calls)."""

    p50: float
    p99: float
    windows: int


class MemberResult(msgspec.Struct, frozen=True, kw_only=True):
    """A member of an ensemble on the test part.

    Attributes:
        window: rows that it looks at.
        columns: of each row.
        has_book: whether it looks at the book.
        first_weight: its share of all weights at the first test row.
        last_weight: the same at the last one.
        spoke: share of the rows on which it was not absent.
    """

    window: int
    columns: int
    has_book: bool
    first_weight: float
    last_weight: float
    spoke: float


class EnsembleResult(msgspec.Struct, frozen=True, kw_only=True):
    """An ensemble beside its members on the test part.

    Attributes:
        strategy: how its combiner makes one forecast of all.
        moved_by: what moves the weights: `adaptive`, `hedge`, or nothing (empty).
        rules: of its combiner: `quorum`, the members that have to speak, and the thresholds.
        members: by name.
        models: scores of `ensemble` (what the auditor audits), of each member and of
            `equal_weights`, on the rows on which every member spoke.
        differences: the ensemble's score minus the other's, paired, of the same rows.
        rows: number of these rows.
        effective_rows: number of independent labels among them.
        unanswered: test rows without an answer, for want of a quorum; they are not scored.
        agreement: mean share of the speaking members that say what all together do.
        unanimous: share of the scored rows on which all that speak say the same.
        moves: scored rows whose conformal set holds a decided SELL or BUY and nothing else.
        held_back: of them those that are not acted on, since the members would not trade.
    """

    strategy: str
    moved_by: str
    rules: dict[str, float]
    members: dict[str, MemberResult]
    models: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]
    rows: int
    effective_rows: float
    unanswered: int
    agreement: float
    unanimous: float
    moves: int
    held_back: int


class EvaluationResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `evaluate` on the test part.

    Attributes:
        subject: the scored model: `NAME/VERSION`, or `run ID`.
        first: first minute of the test rows, ISO 8601.
        last: last minute.
        rows: number of test rows.
        effective_rows: number of independent labels.
        models: scores with intervals, by model (`auditor`, `base`, the baselines) and score.
        differences: the auditor's score minus the other's, paired, by other model and score.
        coverage: of conformal sets.
        drift: shift of each feature from the training rows to the test rows.
        forecast_shift: shift of each probability from out-of-fold rows to the test rows.
        confidence: `aurc` and `brier` of the base's decisions, by the `confidence` that is served
            and by the `probability` of the decided class; empty of a model without confidence.
        inference: None if a run's model, not a version, was scored.
        ensemble: of a model of several members; None of a single network and in older records.
    """

    subject: str
    first: str
    last: str
    rows: int
    effective_rows: float
    models: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]
    coverage: Coverage
    drift: dict[str, Shift]
    forecast_shift: dict[str, Shift]
    inference: Inference | None = None
    confidence: dict[str, dict[str, Interval]] = msgspec.field(default_factory=dict)
    ensemble: EnsembleResult | None = None


class BacktestResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a backtest of the test part. Money is in the quote currency.

    Attributes:
        trades: closed trades.
        net_pnl: after all costs, with an interval.
        gross_pnl: at mid prices, before any cost.
        fees: paid.
        funding: paid (negative: received).
        slippage: cost of walking the book, against the mid at the time of each fill.
        turnover: traded notional.
        hit_rate: share of trades with a net gain.
        profit_factor: gains over losses; None if no trade lost.
        sharpe: annual Sharpe ratio of minute gains, with an interval.
        sortino: annual Sortino ratio, with an interval.
        probabilistic_sharpe: probability that the true Sharpe ratio is above zero.
        deflated_sharpe: probability that it is above the best of `trials` without skill.
        trials: number of trials in the lineage's search.
        max_drawdown: as a share of the peak of equity.
        average_drawdown: mean over minutes.
        exposure: share of minutes with a position.
        outcome: state of the account at the end: `open`, `target`, `daily_loss` or `total_loss`.
        by_latency: net PnL by latency in ms (as text).
        by_session: net PnL by session of entry.
        drift: move of the mid against the trades within the latency; a part of the gross PnL.
        minutes: number of minutes.
        observations: independent horizons behind the two probabilities.
        initial_balance: of the account.
        trading_days: UTC days on which a position was opened.
        target_at: when the profit target was reached; trading goes on after it.
        ended_at: when a breach ended the account.
        signals: minutes with a signal.
        ignored: signals beyond the position limit.
        lapsed: orders that met no book in time, or not before the end.
        partial: entries that were filled only in part, because the book was too thin.
        thin_exits: exits that the recorded levels could not fill completely.
        books: `archive` if orders of every latency met the true book of their moment, `minutes` if
            some met the next minute's book.
    """

    trades: int
    net_pnl: Interval
    gross_pnl: float
    fees: float
    funding: float
    slippage: float
    turnover: float
    hit_rate: float
    profit_factor: float | None
    sharpe: Interval
    sortino: Interval
    probabilistic_sharpe: float
    deflated_sharpe: float
    trials: int
    max_drawdown: float
    average_drawdown: float
    exposure: float
    outcome: str
    by_latency: dict[str, float]
    by_session: dict[str, float]
    drift: float = 0.0
    minutes: int = 0
    observations: float = 0.0
    initial_balance: float = 100_000.0
    trading_days: int = 0
    target_at: str | None = None
    ended_at: str | None = None
    signals: int = 0
    ignored: int = 0
    lapsed: int = 0
    partial: int = 0
    thin_exits: int = 0
    books: str = "minutes"


class LeakAuditResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a leak audit.

    Attributes:
        cuts: the cut times, ISO 8601.
        compared: number of compared values (known by a cut), by stage.
        leaks: one line for each stage and cut where a value before the cut changed.
        provenance: what is wrong with the auditor's rows, judged by their file only; None if
            nothing.
        messages: True if raw messages were perturbed too, False if only bars.
        changed: number of values known only later that changed, by stage.
        nearest: by stage, the smallest number of rows, over the cuts, that a value must look ahead
            to reach the first changed row. With 1 the smallest look-ahead is detected.
        unshown: one line for each stage that was not compared, or whose values did not react to the
            perturbation: nothing is shown about it.
        scope: what was run again, on how many minutes, and what was not; empty in older records.
    """

    cuts: tuple[str, ...]
    compared: dict[str, int]
    leaks: tuple[str, ...]
    provenance: str | None
    messages: bool
    changed: dict[str, int] = msgspec.field(default_factory=dict)
    nearest: dict[str, int] = msgspec.field(default_factory=dict)
    unshown: tuple[str, ...] = ()
    scope: str = ""

    @property
    def broken(self) -> tuple[str, ...]:
        """Return what is wrong with the lineage."""
        return (*self.leaks, *([self.provenance] if self.provenance else []))

    @property
    def blind(self) -> tuple[str, ...]:
        """Return a line for each stage where a look-ahead of one row would not be detected."""
        if not self.nearest:
            return ("nothing says how near to its cuts this audit has compared; audit again",)
        return tuple(
            f"{stage}: a look-ahead of less than {self.nearest[stage]} rows would not have shown"
            if stage in self.nearest
            else f"{stage}: no look-ahead would have shown"
            for stage in self.compared
            if self.nearest.get(stage) != 1
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """Return all that is wrong with the lineage or was not shown, the worst first."""
        nothing = () if self.cuts and any(self.compared.values()) else ("nothing was compared",)
        return (*self.broken, *nothing, *self.unshown, *self.blind)

    @property
    def passed(self) -> bool:
        """Return whether no stage looks ahead by even one row, and provenance holds."""
        return not self.problems


def write_evidence(path: Path, record: msgspec.Struct) -> None:
    """Write a record as JSON, atomically."""
    with atomic_path(path) as part:
        part.write_bytes(evidence_bytes(record))


def evidence_bytes(record: msgspec.Struct) -> bytes:
    """Return what `write_evidence` writes."""
    return msgspec.json.format(msgspec.json.encode(record)) + b"\n"


def read_evidence(path: Path, kind: type[Record]) -> Record:
    """Read what `write_evidence` wrote.

    Raises:
        EvidenceError: if the file is missing, or not a record of this kind.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise EvidenceError(f"{path}: a {kind.__name__} expected: {error}") from None
