"""What an evaluation, a backtest and a leak audit have found: records that gates read.

Each is kept as JSON beside its run, so that a gate judges what was kept and nothing else.
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
"""How an account ends that broke a rule."""

Record = TypeVar("Record", bound=msgspec.Struct)


class EvidenceError(ValueError):
    """A record that is missing, damaged, or of another kind."""


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Conformal sets on the test part.

    Attributes:
        promised: the share of rows whose class their set was made to hold.
        found: the share that it held.
        threshold: a class is in the set from this probability on.
        singletons: share of rows with exactly one class in the set; on all others it abstains.
        empty: share of rows with none.
    """

    promised: float
    found: Interval
    threshold: float
    singletons: float
    empty: float


class Inference(msgspec.Struct, frozen=True, kw_only=True):
    """How long one window takes, in ms, as it is served (p50 and p99 of `windows` calls)."""

    p50: float
    p99: float
    windows: int


class EvaluationResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `evaluate` found on the test part.

    Attributes:
        subject: what was scored: `NAME/VERSION`, or `run ID`.
        first: first minute of the test rows, ISO 8601.
        last: the last one.
        rows: how many there are.
        effective_rows: how many independent labels they equal.
        models: scores with intervals by model (`auditor`, `base`, the baselines) and score.
        differences: the auditor's score minus the other's, paired, by that other and score.
        coverage: of conformal sets.
        drift: of each feature, the rows that were learned from against the test rows.
        forecast_shift: of each probability, out of fold against as served on the test part.
        inference: None where a run's model and no version was scored.
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


class BacktestResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a backtest of the test part came to. Money in the quote currency.

    Attributes:
        trades: closed trades.
        net_pnl: after all costs, with an interval.
        gross_pnl: at mid prices, before any cost.
        fees: paid.
        funding: paid (negative: received).
        slippage: what walking the book cost against the mid at the time of each fill.
        turnover: traded notional.
        hit_rate: share of trades with a net gain.
        profit_factor: gains over losses; None without a losing trade.
        sharpe: of minute returns, a year's worth, with an interval.
        sortino: likewise.
        probabilistic_sharpe: probability that the true Sharpe ratio is above zero.
        deflated_sharpe: the same above what the best of `trials` would show by luck.
        trials: how many were tried in the lineage's search.
        max_drawdown: as a share of the peak of equity.
        average_drawdown: mean over minutes.
        exposure: share of minutes with a position.
        outcome: of the account: `open`, `target`, `daily_loss` or `total_loss`.
        by_latency: net PnL by latency in ms (as text).
        by_session: net PnL by session of entry.
        drift: what the mid did against the trades within the latency; a part of the gross PnL.
        minutes: how many were gone through.
        observations: independent horizons that the two probabilities rest on.
        initial_balance: of the account.
        trading_days: UTC days on which a position was opened.
        target_at: when the profit target was reached; it ends nothing.
        ended_at: when a breach ended the account.
        signals: minutes with a signal.
        ignored: signals beyond the position limit.
        lapsed: orders that met no book in time, or that the end came before.
        partial: entries that took less than was wanted, since the book was too thin.
        thin_exits: exits that the recorded levels could not take whole.
        books: `archive` where orders of every latency met the very book of their moment, `minutes`
            where some met the next minute's.
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
    """What a leak audit found.

    Attributes:
        cuts: the cut times, ISO 8601.
        compared: values known by a cut that were compared, by stage.
        leaks: one line for each stage and cut where a value before the cut has changed.
        provenance: what is wrong with the auditor's rows, by their artifact alone; None if nothing.
        messages: whether raw messages were perturbed too, or bars alone were at hand.
        changed: values known only later that did change, by stage.
        nearest: by stage, how many rows a value must look ahead to meet the first that changed, at
            the cut where these are fewest. With 1 the least look-ahead shows.
        unshown: one line for each stage that was not compared, or not reached by what was
            perturbed: of it nothing is shown.
        scope: what was made again, on how many minutes, and what was not; empty in older records.
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
        """What is wrong with the lineage."""
        return (*self.leaks, *([self.provenance] if self.provenance else []))

    @property
    def blind(self) -> tuple[str, ...]:
        """One line for each stage where a look-ahead of one row would not have shown."""
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
        """All that is wrong with the lineage or was not shown, the gravest first."""
        nothing = () if self.cuts and any(self.compared.values()) else ("nothing was compared",)
        return (*self.broken, *nothing, *self.unshown, *self.blind)

    @property
    def passed(self) -> bool:
        """Every stage was shown, to the row, not to look ahead; provenance holds."""
        return not self.problems


def write_evidence(path: Path, record: msgspec.Struct) -> None:
    """Write a record as JSON, atomically."""
    with atomic_path(path) as part:
        part.write_bytes(evidence_bytes(record))


def evidence_bytes(record: msgspec.Struct) -> bytes:
    """What `write_evidence` writes."""
    return msgspec.json.format(msgspec.json.encode(record)) + b"\n"


def read_evidence(path: Path, kind: type[Record]) -> Record:
    """Read what `write_evidence` wrote.

    Raises:
        EvidenceError: if it is missing, or not a record of this kind.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise EvidenceError(f"{path}: a {kind.__name__} expected: {error}") from None
