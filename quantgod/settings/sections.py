"""The sections of the settings, frozen and typed. Their values stand in `conf/`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from quantgod.contracts import SYMBOL, Market, Series, Source
from quantgod.files import value_digest

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Symbol = Annotated[str, Field(pattern=f"^{SYMBOL}$")]
Whole = BeforeValidator(
    lambda value: int(value) if isinstance(value, str) and value.isdecimal() else value
)
"""Reads a whole number that an option gives as text; of a choice of them pydantic does not."""
Choice = int | float | str


class Section(BaseModel):
    """What every section shares: frozen, and loud about keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSettings(Section):
    """Which series, and where its data lies. `work` holds checkpoints and studies.

    Every folder but `work` keeps markets apart, since a symbol has one name on all of them.
    """

    symbol: Symbol
    market: Market
    source: Literal["simulate", "download", "local", "imported"]
    archives: Path
    bars: Path
    labels: Path
    work: Path

    @property
    def series(self) -> Series:
        """Which series it is, made from order books."""
        return self.series_from("book")

    def series_from(self, source: Source) -> Series:
        """Which series it is; of bars that were imported the store knows the source."""
        return Series(self.symbol, self.market, source)

    @property
    def own_archives(self) -> Path:
        """Where archives of this series are written."""
        return self.archives / self.market / self.symbol

    @property
    def market_bars(self) -> Path:
        """The store of this market's bars; it holds a folder a symbol."""
        return self.bars / self.market

    @property
    def own_bars(self) -> Path:
        """The bars of this series, a file a day."""
        return self.market_bars / self.symbol

    @property
    def own_labels(self) -> Path:
        """The labelled table of this series."""
        return self.labels / self.market / f"{self.symbol}.parquet"


class SimulateSettings(Section):
    """The synthetic market. Volatility is the standard deviation of a one-minute log return.

    The lean of the book follows a latent state of `half_life_minutes`, each minute with a noise of
    `lean_noise` (of the state: 0.6), and `lead_minutes` before returns do. `prices` is a file of
    minutes whose path the mid follows; times in it that are numbers are in `prices_unit`.
    """

    start: dt.date
    days: Positive
    levels: Annotated[Literal[200, 500], Whole]
    cadence_ms: Annotated[int, Field(ge=10, le=60_000)]
    seed: Natural
    signal: Annotated[float, Field(ge=0, le=1)]
    half_life_minutes: PositiveFloat = 120.0
    lean_noise: Annotated[float, Field(ge=0)] = 0.2
    lead_minutes: Natural = 0
    price: PositiveFloat
    tick: PositiveFloat
    volatility: PositiveFloat
    changes: Positive
    prices: Path | None = None
    prices_unit: Literal["s", "ms", "us", "ns"] = "ms"


class DownloadSettings(Section):
    """Where archives come from and how politely they are asked for."""

    base_url: str
    first_day: dt.date
    last_day: dt.date
    concurrency: Positive
    attempts: Positive
    backoff_seconds: PositiveFloat
    backoff_limit_seconds: PositiveFloat
    timeout_seconds: PositiveFloat


class ArchiveLimits(Section):
    """What an archive may cost before it is refused."""

    member_bytes: Positive
    ratio: PositiveFloat
    members: Positive
    line_bytes: Positive
    corrupt_fraction: Fraction


class EtlSettings(Section):
    """From archives to minute bars.

    `least_coverage` is a share of the minutes between an archive's first message and its last.
    """

    max_silence_seconds: Positive
    max_bridge_minutes: Natural
    frozen_minutes: Positive
    least_coverage: Annotated[float, Field(ge=0, le=1)]
    compression: Literal["snappy", "zstd"]
    workers: Natural
    scheduler: str | None = None
    allow_quarantine: bool
    allow_thin: bool
    limits: ArchiveLimits


class LabelSettings(Section):
    """The next hour's return cut into three classes (strict inequalities, log returns)."""

    horizon_minutes: Positive
    buy_above: PositiveFloat
    sell_below: Annotated[float, Field(lt=0)]


class WindowSettings(Section):
    """`length` rows end at each sample; every `stride`-th labelled minute is a sample."""

    length: Positive
    stride: Positive


class SplitSettings(Section):
    """The newest part is the test; the newest part of the rest validates; the rest trains."""

    test_fraction: Fraction
    validation_fraction: Fraction
    folds: Annotated[int, Field(ge=2)]
    embargo_minutes: Natural


class ModelSettings(Section):
    """A network by its registered name; `params` is read by the model's own settings."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class TrainSettings(Section):
    """One training run of one network. Class weights are in class order: SELL, NEUTRAL, BUY.

    A checkpoint is written after every epoch and every `checkpoint_batches` batches (0: not).
    `threads` are those of the CPU's arithmetic (0: as many as PyTorch takes); bits depend on them.
    """

    epochs: Positive
    batch_size: Positive
    learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    gradient_norm: PositiveFloat
    class_weights: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    patience: Positive
    checkpoint_batches: Natural = 0
    threads: Natural = 0
    seed: Natural
    device: Literal["auto", "cpu", "cuda"]


class Range(Section):
    """A continuous range of a search."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"low < high expected, and low > 0 if log; got {self.low}, {self.high}"
            )
        return self


SearchSpace = dict[str, list[Choice] | Range]


class OptimizeSettings(Section):
    """The search. `space` holds what is not the model's own, and may narrow what is."""

    trials: Positive
    epochs: Positive
    stride: Positive
    study: str
    storage: str
    startup_trials: Natural
    warmup_steps: Natural
    seed: Natural
    space: SearchSpace


class XGBoostSettings(Section):
    """Settings of the auditor's booster, under XGBoost's own names."""

    max_depth: Positive
    eta: PositiveFloat
    subsample: Annotated[float, Field(gt=0, le=1)]
    colsample_bytree: Annotated[float, Field(gt=0, le=1)]
    min_child_weight: Annotated[float, Field(ge=0)]
    reg_lambda: Annotated[float, Field(ge=0)]
    rounds: Positive
    early_stopping_rounds: Positive
    seed: Natural


class AuditSettings(Section):
    """The auditor. `decision_weights` turn calibrated probabilities into a class.

    `conformal_level` is the share of rows whose conformal set is to hold the class that comes.
    """

    stride: Positive
    epochs: Positive
    stopping_fraction: Fraction
    calibration_fraction: Fraction
    class_weights: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    decision_weights: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    conformal_level: Fraction
    xgboost: XGBoostSettings


class RegistrySettings(Section):
    """Under which name the chain is registered and which alias deploys it."""

    name: str
    alias: str
    golden_rows: Positive


class EvaluateSettings(Section):
    """How a version is scored on the test part.

    `confidence_tiers` are the lower ends of the tiers above the lowest, rising. The permutation
    importance reads at most `importance_rows` windows, `importance_repeats` times a group.
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
    what is traded, `funding_rate` what a long position pays each `funding_hours` (a short one gets
    it), as a share of the position.
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

    It takes about six cuts and two a fold to see a look-ahead of one row in every stage; so many
    are made, and more up to `cuts`. `at` names others (ISO 8601) in their place; gates take no
    audit of other cuts than their own settings ask for.
    """

    cuts: Natural
    at: tuple[str, ...] = ()
    minutes: Positive
    stride: Positive
    epochs: Positive
    params: dict[str, Any] = Field(default_factory=dict)
    seed: Natural


class GateSettings(Section):
    """The bounds that a version must keep to reach production; a bound of null is not asked for.

    `beats` names the baselines that must be beaten on `beats_on`, intervals clear of zero.
    `auditor_margin` is by how much the auditor may be worse than its base at the interval's far
    end. Drawdown is a share of the peak of equity; with `account` no loss limit may be breached. A
    feature has drifted when PSI and KS are both over. With `champion` the version in place
    must be beaten, on at least `champion_rows` effective rows.
    """

    beats: tuple[str, ...]
    beats_on: tuple[Literal["macro_f1", "log_loss", "mcc", "accuracy", "brier"], ...]
    mcc_above: float | None = None
    ece_at_most: PositiveFloat | None = None
    accuracy_at_least: Fraction | None = None
    auditor_margin: Annotated[float, Field(ge=0)] | None = None
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


class ServeSettings(Section):
    """A version over HTTP on loopback; a body of more than `body_bytes` is refused."""

    port: Annotated[int, Field(ge=1, le=65535)]
    body_bytes: Positive


class PowerSettings(Section):
    """The experiment that shows whether gates tell skill from luck.

    `null_markets` have no signal, and none of their models may pass; `planted_markets` have that of
    `simulate`, and at least `planted_passes` of their models must. Every market has a seed of its
    own, from `first_seed` on.
    """

    null_markets: Positive
    planted_markets: Positive
    planted_passes: Positive
    first_seed: Natural
    workers: Positive

    @model_validator(mode="after")
    def _can_pass(self) -> PowerSettings:
        if self.planted_passes > self.planted_markets:
            raise ValueError(
                f"planted_passes is at most planted_markets; got {self.planted_passes} of "
                f"{self.planted_markets}"
            )
        return self


class FeedSettings(Section):
    """How the stream and REST of a venue are used, and how politely.

    `weight_limit` is the venue's request weight a minute, of which `weight_share` may be used.
    `retry_after_seconds` is the wait after a 429 or 418 that does not say for how long. Waits
    between connections double from `backoff_seconds` on, between snapshots from `retry_seconds` on.
    """

    stream_url: str
    depth_url: str
    depth_limit: Annotated[Literal[5, 10, 20, 50, 100, 500, 1000], Whole]
    depth_weight: Positive
    weight_limit: Positive
    weight_share: Fraction
    retry_after_seconds: PositiveFloat
    retry_seconds: PositiveFloat
    backoff_seconds: PositiveFloat
    backoff_limit_seconds: PositiveFloat
    healthy_seconds: PositiveFloat
    silent_seconds: PositiveFloat
    first_message_seconds: PositiveFloat
    connect_seconds: PositiveFloat
    snapshot_seconds: PositiveFloat
    renew_hours: PositiveFloat
    buffer_events: Positive
    frame_bytes: Positive
    frames: Positive


class ExchangeSettings(Section):
    """The simulated exchange: it plays the last simulated day, `speed` times as fast as a clock."""

    speed: PositiveFloat
    seed: Natural
    faults: tuple[str, ...] = ()


class DriftSettings(Section):
    """When features count as drifted. Minutes are exchange time."""

    z_limit: PositiveFloat
    warn_minutes: Positive
    every_minutes: Positive
    window_minutes: Positive
    past_minutes: Positive
    psi_limit: PositiveFloat
    ks_limit: Fraction


class JournalSettings(Section):
    """How a journal or a recording reaches the disk."""

    flush_seconds: PositiveFloat
    sync_seconds: PositiveFloat
    seal_minutes: PositiveFloat
    buffer_rows: Positive


class CollectSettings(Section):
    """The raw recorder: every message, and the best `levels` a side each `interval_ms`.

    `{exchange}` in `folder` stands for the exchange's name.
    """

    folder: Path
    levels: Positive
    interval_ms: Positive
    sequence: Positive


class LiveSettings(Section):
    """The live runner. `history` is a store of bars that fills the first window, where given.

    `models` names the registered model of a symbol; that of `data.symbol` is `registry.name` where
    it is not named here. `copies` holds verified copies of what was deployed.

    `unjudged` says what becomes of a version that the alias points at although its gates have not
    passed and it was never promoted. `{exchange}` in `journal` stands for the exchange's name: a
    simulated past is nobody's past.
    """

    symbols: tuple[Symbol, ...]
    exchange: Literal["binance", "simulated"]
    journal: Path
    models: dict[Symbol, str] = Field(default_factory=dict)
    copies: Path
    history: Path | None = None
    challenger: str
    unjudged: Literal["refuse", "warn"] = "refuse"
    poll_seconds: PositiveFloat
    log: Literal["text", "json"]
    max_candles: Positive | None = None
    feed: FeedSettings
    simulated: ExchangeSettings
    drift: DriftSettings
    journaling: JournalSettings
    collect: CollectSettings

    @property
    def own_journal(self) -> Path:
        """Where the journal of this exchange lies."""
        return self._of_exchange(self.journal)

    @property
    def own_recordings(self) -> Path:
        """Where recordings of this exchange lie."""
        return self._of_exchange(self.collect.folder)

    def _of_exchange(self, folder: Path) -> Path:
        return Path(str(folder).replace("{exchange}", self.exchange))


class TrackingSettings(Section):
    """Where runs are kept when `MLFLOW_TRACKING_URI` does not say otherwise."""

    experiment: str
    uri: str
    artifacts: Path
    outbox: Path
    flush_seconds: PositiveFloat


class Settings(Section):
    """All of it."""

    data: DataSettings
    simulate: SimulateSettings
    download: DownloadSettings
    etl: EtlSettings
    label: LabelSettings
    window: WindowSettings
    split: SplitSettings
    model: ModelSettings
    train: TrainSettings
    optimize: OptimizeSettings
    audit: AuditSettings
    registry: RegistrySettings
    evaluate: EvaluateSettings
    backtest: BacktestSettings
    leak_audit: LeakAuditSettings
    gates: GateSettings
    serve: ServeSettings
    power: PowerSettings
    live: LiveSettings
    tracking: TrackingSettings

    @property
    def example(self) -> Path:
        """A body to post to the registered model: its newest version's golden input."""
        return self.data.work / f"{self.registry.name}.example.json"

    def digest(self) -> str:
        """SHA-256 of every value, in hex."""
        return value_digest(self.model_dump(mode="json"))
