"""Settings of how a version is evaluated, traded, audited for leaks and gated."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from quantgod.settings.market import Kind
from quantgod.settings.section import (
    Fraction,
    Listed,
    Natural,
    Positive,
    PositiveFloat,
    Section,
)


class EvaluateSettings(Section):
    """How a version is scored on the test part.

    `confidence_tiers` are the rising lower ends of all tiers but the lowest. The permutation
    importance reads at most `importance_rows` windows, `importance_repeats` times per group.
    """

    stride: Positive
    confidence_tiers: tuple[Fraction, ...]
    importance_rows: Positive
    importance_repeats: Positive
    inference_windows: Positive
    seed: Natural

    @model_validator(mode="after")
    def _tiers_rise(self) -> EvaluateSettings:
        if list(self.confidence_tiers) != sorted(set(self.confidence_tiers)):
            raise ValueError(f"confidence_tiers must rise, got {self.confidence_tiers}")
        return self


class AccountSettings(Section):
    """An account under a prop firm's rules. Losses and target are shares of the first balance."""

    initial_balance: PositiveFloat
    max_daily_loss: Fraction
    max_total_loss: Fraction
    profit_target: PositiveFloat
    min_trading_days: Natural


class BacktestSettings(Section):
    """How signals become orders. Money is in the quote currency.

    A signal opens `notional`; open notional never exceeds `max_position`. `taker_fee` is a share of
    traded notional; `funding_rate` is the share of the position that a long pays (and a short
    receives) every `funding_hours`.
    """

    latency_ms: Natural
    latencies_ms: tuple[Natural, ...]
    taker_fee: Annotated[float, Field(ge=0, lt=1)]
    funding_rate: float
    funding_hours: Positive
    notional: PositiveFloat
    max_position: PositiveFloat
    account: AccountSettings

    @model_validator(mode="after")
    def _can_trade(self) -> BacktestSettings:
        if self.notional > self.max_position:
            raise ValueError(
                f"max_position is at least notional, or nothing is ever traded; got "
                f"{self.max_position} and {self.notional}"
            )
        return self


class LeakAuditSettings(Section):
    """How much of a lineage is made again at each cut, and with how small a network.

    About six cuts plus two per fold are needed to see a look-ahead of one row in every stage; these
    are always made, and more up to `cuts`. `at` replaces them by given times (ISO 8601); gates only
    accept an audit at the cuts of their own settings.
    """

    cuts: Natural
    at: tuple[str, ...] = ()
    minutes: Positive
    stride: Positive
    epochs: Positive
    params: dict[str, Any] = Field(default_factory=dict)
    seed: Natural


Baseline = Literal["majority", "persistence", "logistic_regression", "gradient_boosting"]


class GateSettings(Section):
    """The bounds that a version must meet to reach production; a bound of null is not checked.

    `beats` names the baselines that must be beaten on the scores `beats_on`, with intervals that
    exclude zero. The auditor may be worse than its base by at most `auditor_margin` at the far end
    of the interval, and an ensemble than each of its members and than equal weights by at most
    `ensemble_margin`. Drawdown is a share of the peak of equity; with `account` no loss limit may
    be breached. A feature has drifted if both PSI and KS exceed their bounds. With `champion` the
    present champion must be beaten, on at least `champion_rows` effective rows.
    """

    beats: tuple[
        Literal["majority", "persistence", "logistic_regression", "gradient_boosting"], ...
    ]
    beats_on: tuple[Literal["macro_f1", "log_loss", "mcc", "accuracy", "brier"], ...]
    mcc_above: float | None = None
    ece_at_most: PositiveFloat | None = None
    accuracy_at_least: Fraction | None = None
    auditor_margin: Annotated[float, Field(ge=0)] | None = None
    ensemble_margin: Annotated[float, Field(ge=0)] | None = None
    coverage_within: Fraction | None = None
    net_pnl_above: float | None = None
    deflated_sharpe_at_least: Fraction | None = None
    drawdown_at_most: Fraction | None = None
    account: bool
    inference_p99_ms: PositiveFloat | None = None
    leak_audit: bool
    drift_psi_at_most: PositiveFloat | None = None
    drift_ks_at_most: Fraction | None = None
    champion: bool
    champion_rows: PositiveFloat


class CurveSettings(Section):
    """Which edge can be proved: models that pass by strength of the signal and by days of data.

    Attributes:
        signals: of planted markets, rising; null markets are the strength of nothing.
        days: of data, rising; null markets have each number of them in turn.
        trading: other settings, by dotted key, of every second null market: such under which models
            trade without knowing anything.
        false_passes: what the share of null models that pass is below, with 95 % confidence.
    """

    signals: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)]
    days: Annotated[tuple[Positive, ...], Field(min_length=1)]
    trading: dict[str, Any] = Field(default_factory=dict)
    false_passes: Fraction

    @model_validator(mode="after")
    def _both_rise(self) -> CurveSettings:
        for name, values in (("signals", self.signals), ("days", self.days)):
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name} must rise, got {values}")
        return self


class PowerSettings(Section):
    """The experiment that tests whether the gates tell skill from luck.

    `null_markets` have no signal, and none of their models may pass; `planted_markets` have the
    signal of `simulate`, and at least `planted_passes` of their models must pass. Every market has
    its own seed, counted from `first_seed`. With a `curve` there are as many planted markets of
    each strength and number of days, and `planted_passes` is asked of the strongest signal with
    the most days. Markets are made by `workers` processes, or on the cluster of a Dask `scheduler`.
    """

    null_markets: Positive
    planted_markets: Positive
    planted_passes: Positive
    first_seed: Natural
    workers: Positive
    scheduler: str | None = None
    curve: CurveSettings | None = None

    @model_validator(mode="after")
    def _can_pass(self) -> PowerSettings:
        if self.planted_passes > self.planted_markets:
            raise ValueError(
                f"planted_passes is at most planted_markets; got {self.planted_passes} of "
                f"{self.planted_markets}"
            )
        return self


class ZooSettings(Section):
    """The experiment that tests which network finds which planted signal.

    Each of `kinds` has `planted_markets` with the signal of `simulate`; the `null_markets` have
    none, and are of each kind in turn.

    Attributes:
        kinds: of signals.
        networks: that look for them, by name.
        planted_markets: of each kind.
        null_markets: of all kinds; those of kinds that are not asked for are left out.
        first_seed: of the planted markets of every kind; null markets have seeds of their own.
        looks: at null markets in the whole experiment, one by each network at each; intervals are
            widened for so many, whatever part is asked for.
        workers: markets at a time, a process each.
        features_rows: minutes of the 112 features that a network sees.
        of_kind: other settings for the markets of a kind, by dotted key.
        of_network: other settings for a network, by dotted key.
    """

    kinds: Annotated[tuple[Kind, ...], Listed, Field(min_length=1)] = get_args(Kind)
    networks: Annotated[tuple[str, ...], Listed, Field(min_length=1)] = ("tcn_lstm",)
    planted_markets: Natural = 10
    null_markets: Natural = 20
    first_seed: Natural = 600
    looks: Positive = 180
    workers: Positive = 2
    features_rows: Positive = 60
    of_kind: dict[Kind, dict[str, Any]] = Field(default_factory=dict)
    of_network: dict[str, dict[str, Any]] = Field(default_factory=dict)
