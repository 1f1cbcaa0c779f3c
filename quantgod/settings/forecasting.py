"""Settings of forecasts on candles: horizons, members, ensemble, how they are judged and used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from quantgod.served.candles.state import Rules
from quantgod.settings.candles import Strength
from quantgod.settings.learning import SearchSpace
from quantgod.settings.regimes import RegimeSettings
from quantgod.settings.section import Fraction, Listed, Natural, Positive, PositiveFloat, Section

Share = Annotated[float, Field(ge=0, le=1)]

FLOORS = ("random_walk", "drift")
"""Members that are always there: what any other has to beat."""

TAKEN = (*FLOORS, "stacking", "equal_weights", "ensemble")


class SelectionSettings(Section):
    """Which features a fold's members see.

    `stable` ranks by |Spearman| with the outcome, or with its size, over blocks less its spread;
    `document` is the rule of document 002 (most |correlated| with the close), which picks copies of
    the price.
    """

    rule: Literal["stable", "document"] = "stable"
    most: Positive = 60
    duplicate_above: Fraction = 0.95
    blocks: Annotated[int, Field(ge=2)] = 8
    draws: Positive = 50
    kept_in: Share = 0.6
    seed: Natural = 41


class ForecastMemberSettings(Section):
    """A member: `model` is a network of the zoo, `lightgbm` or `ridge`; `train` overrides `train`.

    `space` is searched by `tune` instead of the model's own.
    """

    model: str
    params: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)
    space: SearchSpace = Field(default_factory=dict)


class TuneSettings(Section):
    """A search of members' parameters, judged on the stopping rows of the first fold."""

    trials: Natural = 0
    seconds: PositiveFloat = 3600.0
    members: Annotated[tuple[str, ...], Listed] = ()
    epochs: Positive = 10
    seed: Natural = 43


class CandleEnsembleSettings(Section):
    """How members become one; each as `served/candles/state.py` says.

    Attributes:
        enabled: without, each member is judged alone, and nothing is registered.
        scores, prior: conformal scores that quantiles are corrected by, at most, and independent
            outcomes that say that nothing is to be corrected.
        rate, share: of online weights.
        walk: weight of the random walk before any outcome.
        adaptive_rate: of adaptive conformal inference.
        by_regime: whether each regime learns weights of its own, which count where they are better.
        trust: t statistic from which on they are.
    """

    enabled: bool = True
    scores: Positive = 4000
    prior: PositiveFloat = 50.0
    rate: PositiveFloat = 2.0
    share: Share = 0.005
    walk: Fraction = 0.5
    adaptive_rate: Share = 0.005
    by_regime: bool = True
    trust: float = 1.645

    @property
    def rules(self) -> Rules:
        """Return what the ensemble goes by."""
        return Rules(
            scores=self.scores, prior=self.prior, rate=self.rate, share=self.share, walk=self.walk,
            adaptive_rate=self.adaptive_rate, trust=self.trust,
            regime_rate=self.rate if self.by_regime else 0.0,
        )  # fmt: skip


class ForecastGateSettings(Section):
    """The bounds that a version that forecasts returns must meet; a bound of null is not checked.

    Attributes:
        horizons: candles ahead that are judged; others are recorded.
        pinball_skill_above: what the low end of the pinball skill over the random walk with EWMA
            width is above.
        coverage_of: central intervals whose coverage is judged, by what they promise.
        coverage_within: how far the coverage may be from the promise.
        worse_at_most: how much worse than the random walk the mean may be, in MSE, at the low end
            of the interval of its skill.
        leak_audit: whether an audit is made, which has to find that nothing looks ahead.
    """

    horizons: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 7)
    pinball_skill_above: Annotated[float, Field(ge=0, lt=1)] | None = 0.0
    coverage_of: tuple[Fraction, ...] = (0.8, 0.95)
    coverage_within: Fraction | None = 0.03
    worse_at_most: Annotated[float, Field(ge=0)] | None = 0.05
    leak_audit: bool = True

    @model_validator(mode="after")
    def _horizons_rise(self) -> ForecastGateSettings:
        if list(self.horizons) != sorted(set(self.horizons)):
            raise ValueError(f"horizons must rise, got {self.horizons}")
        return self


class ForecastPowerSettings(Section):
    """The experiment that tests what a forecaster of candles claims of series whose truth is known.

    Attributes:
        null_series: of independent returns of one volatility.
        momentum_series: with planted momentum alone.
        clusters_series: with planted clusters of volatility alone.
        momentum: the strength of what is planted, as `candles.simulate` has it.
        clusters: the same.
        found_in: share of the series of a kind in which what is planted must be found.
        looks: at the mean in the whole experiment, one at each null series and horizon; intervals
            of the mean are widened for so many, whatever part is asked for.
        first_seed: of null series; other kinds have seeds of their own.
        workers: series at a time, a process each.
        scheduler: of a Dask cluster that judges them instead.
    """

    null_series: Natural = 20
    momentum_series: Natural = 10
    clusters_series: Natural = 10
    momentum: Strength = 1.0
    clusters: Strength = 1.0
    found_in: Share = 0.9
    looks: Positive = 60
    first_seed: Natural = 1000
    workers: Positive = 2
    scheduler: str | None = None


class CandleLeakAuditSettings(Section):
    """What is made again at each cut of a leak audit: the newest candles, small members.

    Attributes:
        candles: the newest of each coin.
        folds: before the newest part. Cuts fall at each border and a candle before it.
        cuts: more of them, drawn; at these the candles after the cut also have a hole, or end.
        epochs: of a network.
        params: of each kind of member, in place of its own.
        seed: of cuts and changed candles.
    """

    candles: Positive = 700
    folds: Annotated[int, Field(ge=2)] = 2
    cuts: Positive = 1
    epochs: Positive = 1
    params: dict[str, dict[str, Any]] = Field(default_factory=dict)
    seed: Natural = 59


class WatchSettings(Section):
    """How matured forecasts in use are watched.

    Attributes:
        last: dates whose forecasts count, of each horizon.
        level: of the band that their coverage is to lie in.
    """

    last: Positive = 100
    level: Annotated[float, Field(gt=0, lt=1)] = 0.99


class ForecastSettings(Section):
    """Forecasts of candles (document 002).

    Attributes:
        name: of the registered model.
        horizons: steps ahead, rising.
        window: rows that a network looks at.
        test_fraction, stopping_fraction: newest part of the dates that is judged once, and of those
            that a fold learns from, to stop by.
        folds: of the walk-forward.
        pooled: whether one model of each kind learns all coins, or each coin has its own.
        bound: of scaled features.
        uncertainty: whether networks' widths come of Monte Carlo dropout.
        draws: of it.
        draws_seed: of its masks.
        members: by name.
        only: those to make; none named: all.
        regimes: how they are told.
        gates: bounds that a version must meet.
        leak_audit: how small what is made again at each cut is.
        workers: processes that fit folds and members side by side; 0 = one a core.
        ledger: file of what was issued and came true.
        watch: how that is watched.
    """

    name: str = "quantgod-daily"
    horizons: tuple[Positive, ...] = (1, 7, 30)
    window: Annotated[int, Field(ge=2)] = 60
    test_fraction: Fraction = 0.15
    stopping_fraction: Fraction = 0.15
    folds: Annotated[int, Field(ge=1)] = 5
    pooled: bool = True
    bound: PositiveFloat = 5.0
    uncertainty: bool = True
    draws: Annotated[int, Field(ge=2)] = 50
    draws_seed: Natural = 47
    selection: SelectionSettings = SelectionSettings()
    members: dict[str, ForecastMemberSettings] = Field(default_factory=dict)
    only: Annotated[tuple[str, ...], Listed] = ()
    tune: TuneSettings = TuneSettings()
    regimes: RegimeSettings = RegimeSettings()
    ensemble: CandleEnsembleSettings = CandleEnsembleSettings()
    gates: ForecastGateSettings = ForecastGateSettings()
    leak_audit: CandleLeakAuditSettings = CandleLeakAuditSettings()
    workers: Natural = 1
    ledger: Path = Path("data/forecasts/ledger.parquet")
    watch: WatchSettings = WatchSettings()

    @field_validator("horizons")
    @classmethod
    def _rise(cls, horizons: tuple[int, ...]) -> tuple[int, ...]:
        if not horizons or list(horizons) != sorted(set(horizons)):
            raise ValueError("rising horizons expected")
        return horizons

    @field_validator("members")
    @classmethod
    def _are_not_taken(cls, members: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(members.keys() & set(TAKEN)):
            raise ValueError(f"members are not called {', '.join(taken)}")
        return members

    @field_validator("only", "tune")
    @classmethod
    def _are_known(cls, given: Any, info: ValidationInfo) -> Any:
        members = info.data.get("members", {})
        named = given.members if isinstance(given, TuneSettings) else given
        if unknown := sorted(set(named) - members.keys()):
            known = ", ".join(members) or "none"
            raise ValueError(f"no member {', '.join(unknown)} (members: {known})")
        return given

    @property
    def chosen(self) -> dict[str, ForecastMemberSettings]:
        """Return the members to make, by name."""
        return {
            name: own for name, own in self.members.items() if not self.only or name in self.only
        }
