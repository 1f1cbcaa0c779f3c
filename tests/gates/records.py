"""Records of a version that passes every gate, to be made worse one figure at a time."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from msgspec.structs import replace

from quantgod.contracts import FEATURES
from quantgod.evaluation.drift import Shift
from quantgod.evaluation.evidence import (
    BacktestResult,
    Coverage,
    EnsembleResult,
    EvaluationResult,
    Inference,
    LeakAuditResult,
    MemberResult,
)
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.scored_rows import MODELS
from quantgod.gates import ChampionResult, Duel

HIGHER = ("macro_f1", "mcc", "accuracy")
LOWER = ("log_loss", "brier", "ece")


def around(value: float, width: float = 0.01) -> Interval:
    return Interval(value, value - width, value + width)


def ensemble(**changes: Any) -> EnsembleResult:
    """Two members, of which the ensemble is as good as the better one and better than the other."""
    better = {"log_loss": around(-0.1), "macro_f1": around(0.1)}
    alike = {"log_loss": around(0.0), "macro_f1": around(0.0)}
    member = MemberResult(
        window=45, columns=9, has_book=False, first_weight=0.5, last_weight=0.6, spoke=1.0
    )
    scores = {"log_loss": around(0.7), "macro_f1": around(0.5)}
    good = EnsembleResult(
        strategy="weighted_voting", moved_by="adaptive", rules={"quorum": 1.0},
        members={"near": member, "far": member},
        models=dict.fromkeys(("ensemble", "near", "far", "equal_weights"), scores),
        differences={"near": better, "far": alike, "equal_weights": better},
        rows=1_440, effective_rows=24.0, unanswered=0, agreement=0.9, unanimous=0.7,
        moves=200, held_back=20,
    )  # fmt: skip
    return replace(good, **changes)


def evaluation(**changes: Any) -> EvaluationResult:
    others = [name for name in MODELS if name != "auditor"]
    better = {score: around(0.1) for score in HIGHER} | {score: around(-0.1) for score in LOWER}
    scores = {"macro_f1": 0.5, "mcc": 0.3, "accuracy": 0.7, "log_loss": 0.7, "brier": 0.4}
    good = EvaluationResult(
        subject="quantgod/2",
        first="2025-01-01T00:00:00+00:00",
        last="2025-01-02T00:00:00+00:00",
        rows=1_440,
        effective_rows=24.0,
        models={name: {key: around(at) for key, at in scores.items()} for name in MODELS},
        differences=dict.fromkeys(others, better),
        coverage=Coverage(
            promised=0.9, found=around(0.905), threshold=0.1, singletons=0.6, empty=0.0
        ),
        drift={name: Shift(0.1, 0.05) for name in FEATURES},
        forecast_shift={},
        inference=Inference(p50=20.0, p99=30.0, windows=200),
        ensemble=ensemble(),
    )
    for scored in good.models.values():
        scored["ece"] = around(0.02)
    return replace(good, **changes)


def backtest(**changes: Any) -> BacktestResult:
    good = BacktestResult(
        trades=40, net_pnl=Interval(900.0, 100.0, 1_700.0), gross_pnl=1_500.0, fees=500.0,
        funding=0.0, slippage=100.0, turnover=1e6, hit_rate=0.6, profit_factor=1.4,
        sharpe=around(2.0), sortino=around(3.0), probabilistic_sharpe=0.99, deflated_sharpe=0.97,
        trials=4, max_drawdown=0.03, average_drawdown=0.01, exposure=0.2, outcome="open",
        by_latency={"250": 900.0}, by_session={"London": 900.0},
    )  # fmt: skip
    return replace(good, **changes)


def leak_audit(**changes: Any) -> LeakAuditResult:
    good = LeakAuditResult(
        cuts=("2025-01-01T12:00:00+00:00",),
        compared={"features": 1_000, "labels": 100},
        nearest={"features": 1, "labels": 1},
        leaks=(),
        provenance=None,
        messages=False,
    )
    return replace(good, **changes)


def duel(**changes: Any) -> Duel:
    good = Duel(rows=600, effective_rows=60.0, log_loss=around(-0.05), macro_f1=around(0.02, 0.05))
    return replace(good, **changes)


def champion(**changes: Any) -> ChampionResult:
    return replace(ChampionResult(champion="quantgod/1", test=duel(), live=duel()), **changes)


class Evidence(NamedTuple):
    """All that a version is judged by; good unless made worse."""

    evaluation: EvaluationResult = evaluation()
    backtest: BacktestResult = backtest()
    leak_audit: LeakAuditResult | None = leak_audit()
    champion: ChampionResult | None = champion()

    def scored(self, score: str, found: Interval) -> Evidence:
        models = {name: dict(scores) for name, scores in self.evaluation.models.items()}
        models["auditor"][score] = found
        return self._replace(evaluation=replace(self.evaluation, models=models))

    def differing(self, other: str, score: str, found: Interval) -> Evidence:
        differences = {name: dict(all_) for name, all_ in self.evaluation.differences.items()}
        differences[other][score] = found
        return self._replace(evaluation=replace(self.evaluation, differences=differences))

    def beside(self, other: str, score: str, found: Interval) -> Evidence:
        """With this difference of its ensemble from a member or from equal weights."""
        assert self.evaluation.ensemble is not None
        differences = {
            name: dict(all_) for name, all_ in self.evaluation.ensemble.differences.items()
        }
        differences[other][score] = found
        return self._replace(
            evaluation=replace(self.evaluation, ensemble=ensemble(differences=differences))
        )

    def covered(self, found: float) -> Evidence:
        coverage = replace(self.evaluation.coverage, found=around(found))
        return self._replace(evaluation=replace(self.evaluation, coverage=coverage))

    def drifted(self, psi: float, ks: float, name: str = "volatility") -> Evidence:
        drift = self.evaluation.drift | {name: Shift(psi, ks)}
        return self._replace(evaluation=replace(self.evaluation, drift=drift))

    def timed(self, p99: float) -> Evidence:
        found = Inference(p50=1.0, p99=p99, windows=9)
        return self._replace(evaluation=replace(self.evaluation, inference=found))

    def traded(self, **changes: Any) -> Evidence:
        return self._replace(backtest=replace(self.backtest, **changes))

    def audited(self, **changes: Any) -> Evidence:
        assert self.leak_audit is not None
        return self._replace(leak_audit=replace(self.leak_audit, **changes))

    def met(self, **changes: Any) -> Evidence:
        """Against the champion, with these duels."""
        assert self.champion is not None
        return self._replace(champion=replace(self.champion, **changes))

    def leaking(self, x: float) -> Evidence:
        provenance = "unknown" if math.isnan(x) else None
        return self.audited(leaks=("labels",) if x > 0 else (), provenance=provenance)
