"""Define every gate: which figure of which record is compared with which bound.

A missing or NaN figure never passes. A gate with a bound of null is not checked and neither passes
nor fails. A figure with too few independent rows is not judged, and does not pass either.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Final

from quantgod.contracts import FEATURES
from quantgod.evaluation.drift import Shift
from quantgod.evaluation.evidence import (
    BREACHES,
    BacktestResult,
    Coverage,
    EvaluationResult,
    EvidenceError,
    LeakAuditResult,
)
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.metrics import LOWER_IS_BETTER
from quantgod.evaluation.wording import (
    account_text,
    interval_text,
    milliseconds_text,
    number_text,
    share_text,
)
from quantgod.gates.bounds import (
    NOT_ASKED,
    TOO_FEW,
    above,
    at_least,
    at_most,
    judged,
    judged_by,
    unjudged,
)
from quantgod.gates.ensemble import beside_members
from quantgod.gates.leaks import leak_gate
from quantgod.gates.report import ChampionResult, Duel, Gate
from quantgod.settings import GateSettings

AUDITOR: Final = "auditor"
BASE: Final = "base"
BESIDE_BASE: Final = ("macro_f1", "log_loss")
NONE: Final = "none"
SAME: Final = "the same model"
WON: Final = "log-loss < 0, macro-F1 >= 0"
_ROUNDING: Final = 1e-9


def judge_gates(
    evaluation: EvaluationResult,
    backtest: BacktestResult,
    leak_audit: LeakAuditResult | None,
    settings: GateSettings,
    champion: ChampionResult | None = None,
) -> tuple[Gate, ...]:
    """Compare the records with the bounds and return all gates.

    Args:
        evaluation: of the version.
        backtest: of the evaluation's scored rows.
        leak_audit: of the version's lineage; None if there is none, which fails if it is required.
        settings: the bounds.
        champion: the comparison with the champion; None if there is no other version.

    Raises:
        EvidenceError: if the evaluation lacks a required model, score or feature.
    """
    return (
        *_beats(evaluation, settings),
        *_scores(evaluation, settings),
        *_beside_base(evaluation, settings),
        *beside_members(evaluation.ensemble, settings),
        covers(evaluation.coverage, settings),
        *_money(backtest, settings),
        _inference(evaluation, settings),
        _leak_audit(leak_audit, settings),
        _drift(evaluation, settings),
        *_champion(champion, settings),
    )


def _beats(evaluation: EvaluationResult, settings: GateSettings) -> Iterator[Gate]:
    """Yield the auditor against each baseline on each score: the interval must exclude zero."""
    for other in settings.beats:
        for score in settings.beats_on:
            yield beats(other, score, _entry(evaluation, "differences", other, score))
    if not settings.beats or not settings.beats_on:
        yield Gate("beats_baselines", NONE, NOT_ASKED, None, "no baseline or no score is named")


def beats(other: str, score: str, found: Interval, who: str = "the auditor") -> Gate:
    """Return the gate of a model against another on one score."""
    detail = f"{score} of {who} minus that of {other}, on the same rows"
    name = f"beats_{other}_{score}"
    if score in LOWER_IS_BETTER:
        return judged_by(name, found, "< 0", found.high < 0, detail)
    return judged_by(name, found, "> 0", found.low > 0, detail)


def _scores(evaluation: EvaluationResult, settings: GateSettings) -> Iterator[Gate]:
    mcc, ece, accuracy = (
        _entry(evaluation, "models", AUDITOR, score) for score in ("mcc", "ece", "accuracy")
    )
    yield above("mcc", mcc, settings.mcc_above, "Matthews correlation, the interval's low end")
    yield calibrated(ece, settings)
    bound = settings.accuracy_at_least
    yield at_least("accuracy", accuracy, bound, "of decided classes; alone it proves nothing")


def calibrated(found: Interval, settings: GateSettings) -> Gate:
    """Return the gate of the auditor's calibration error."""
    return at_most("ece", found, settings.ece_at_most, "expected calibration error")


def _beside_base(evaluation: EvaluationResult, settings: GateSettings) -> Iterator[Gate]:
    for score in BESIDE_BASE:
        yield no_worse(score, _entry(evaluation, "differences", BASE, score), settings)


def no_worse(score: str, found: Interval, settings: GateSettings) -> Gate:
    """Return the gate that the auditor is not worse than its base by more than the margin."""
    name, margin = f"auditor_no_worse_{score}", settings.auditor_margin
    detail = f"{score} of the auditor minus that of its base, the interval's far end"
    if margin is None:
        return judged_by(name, found, None, False, detail)
    if score in LOWER_IS_BETTER:
        bound, is_kept = f"<= {number_text(margin)}", found.high <= margin
    else:
        bound, is_kept = f">= {number_text(-margin)}", found.low >= -margin
    return judged_by(name, found, bound, is_kept, detail)


def covers(covered: Coverage, settings: GateSettings) -> Gate:
    """Return the gate that conformal sets have about the promised coverage."""
    bound = settings.coverage_within
    off = abs(covered.found.value - covered.promised)
    is_kept = bound is not None and off <= bound + _ROUNDING
    return judged_by(
        "coverage",
        covered.found,
        None if bound is None else f"{number_text(covered.promised)} +- {number_text(bound)}",
        is_kept,
        "share of rows whose conformal set holds what happened, beside what was promised",
    )


def _money(backtest: BacktestResult, settings: GateSettings) -> Iterator[Gate]:
    net, sharpe = backtest.net_pnl, backtest.deflated_sharpe
    yield above(
        "net_pnl",
        net,
        settings.net_pnl_above,
        f"of {backtest.trades} trades after all costs, the interval's low end",
    )
    yield at_least(
        "deflated_sharpe",
        sharpe,
        settings.deflated_sharpe_at_least,
        f"probability that the Sharpe ratio is no luck of {backtest.trials} trials",
    )
    bound = settings.drawdown_at_most
    detail = "largest, as a share of the peak"
    yield at_most("drawdown", backtest.max_drawdown, bound, detail, share_text)
    yield judged(
        "account",
        account_text(backtest.outcome),
        "within its loss limits" if settings.account else None,
        backtest.outcome not in BREACHES,
        "an account that breached a limit was closed there, and traded no more",
    )


def _inference(evaluation: EvaluationResult, settings: GateSettings) -> Gate:
    name, bound, found = "inference_p99", settings.inference_p99_ms, evaluation.inference
    if found is None:
        asked = None if bound is None else f"<= {milliseconds_text(bound)}"
        return judged(name, NONE, asked, False, "no version was timed")
    detail = f"a window as it is served, 99th percentile of {found.windows}"
    return at_most(name, found.p99, bound, detail, milliseconds_text)


def _leak_audit(found: LeakAuditResult | None, settings: GateSettings) -> Gate:
    note = "" if found is None or found.messages else ", bars alone"
    return leak_gate(found, "this lineage", asked=settings.leak_audit, note=note)


def _drift(evaluation: EvaluationResult, settings: GateSettings) -> Gate:
    """Return the drift gate: a feature has drifted if both PSI and KS exceed their limits."""
    absent = [name for name in FEATURES if name not in evaluation.drift]
    if absent:
        raise _missing(evaluation, "drift", ", ".join(absent), evaluation.drift)
    psi, ks = settings.drift_psi_at_most, settings.drift_ks_at_most
    drifted = [name for name, found in evaluation.drift.items() if has_moved(found, settings)]
    worst = max(evaluation.drift, key=lambda name: _severity(evaluation.drift[name], psi, ks))
    found = evaluation.drift[worst]
    return judged(
        "drift",
        f"{worst}: {shift_text(found)}",
        drift_bound(settings),
        not drifted,
        f"drifted: {', '.join(drifted)}" if drifted else "of the feature that comes nearest",
    )


def _champion(found: ChampionResult | None, settings: GateSettings) -> Iterator[Gate]:
    test, live = "beats_champion", "beats_champion_live"
    if found is None:
        yield _no_rival(test, settings, "no other version is in place")
        yield _no_rival(live, settings, "no other version is in place")
        return
    if found.is_same:
        why = f"this is {SAME} as the champion {found.champion}: their answers are equal"
        yield from (_no_rival(name, settings, why, SAME) for name in (test, live))
        return
    yield _against(test, found.test, f"{found.champion} on the test rows", settings)
    if found.live is None:
        yield _no_rival(live, settings, f"no journaled shadow predictions beside {found.champion}")
    else:
        yield _against(live, found.live, f"{found.champion} in live sessions", settings)


def _no_rival(name: str, settings: GateSettings, why: str, figure: str = NONE) -> Gate:
    bound = WON if settings.champion else NOT_ASKED
    detail = why if settings.champion else "the version in place need not be beaten"
    return Gate(name, figure, bound, None, detail)


def _against(name: str, found: Duel, whom: str, settings: GateSettings) -> Gate:
    bound = WON if settings.champion else None
    if bound is not None and found.too_few:
        return unjudged(name, NONE, bound, f"against {whom}: {found.problem or TOO_FEW}")
    if found.problem or found.log_loss is None or found.macro_f1 is None:
        return judged(name, NONE, bound, False, f"against {whom}: {found.problem or 'no figures'}")
    figure = f"log-loss {interval_text(found.log_loss)}, macro-F1 {interval_text(found.macro_f1)}"
    detail = f"minus those of {whom}: {found.rows} rows, {found.effective_rows:.0f} effective"
    return judged(name, figure, bound, found.won, detail, *found.log_loss[:3], *found.macro_f1[:3])


def drift_bound(settings: GateSettings) -> str | None:
    """Return the drift limits in words; None if there are none."""
    limits = (("PSI", settings.drift_psi_at_most), ("KS", settings.drift_ks_at_most))
    asked = [f"{name} <= {number_text(limit)}" for name, limit in limits if limit is not None]
    return " or ".join(asked) or None


def shift_text(found: Shift) -> str:
    """Return `PSI 0.323, KS 0.145`."""
    return f"PSI {number_text(found.psi)}, KS {number_text(found.ks)}"


def has_moved(found: Shift, settings: GateSettings) -> bool:
    """Return whether a column exceeds all given limits."""
    return _severity(found, settings.drift_psi_at_most, settings.drift_ks_at_most) > 1


def _severity(found: Shift, psi: float | None, ks: float | None) -> float:
    """Return the smaller of both statistics relative to their bounds; above 1 both exceed them."""
    if math.isnan(found.psi) or math.isnan(found.ks):
        return math.inf
    shares = [value / bound for value, bound in ((found.psi, psi), (found.ks, ks)) if bound]
    return min(shares, default=0.0)


def _entry(evaluation: EvaluationResult, field: str, model: str, score: str) -> Interval:
    models: dict[str, dict[str, Interval]] = getattr(evaluation, field)
    if model not in models:
        raise _missing(evaluation, field, model, models)
    if score not in models[model]:
        raise _missing(evaluation, f"{field} of {model}", score, models[model])
    return models[model][score]


def _missing(
    evaluation: EvaluationResult, where: str, what: str, there: Collection[str]
) -> EvidenceError:
    known = ", ".join(there) or "nothing"
    return EvidenceError(
        f"the evaluation of {evaluation.subject} holds no {what} in {where}; it holds {known}"
    )
