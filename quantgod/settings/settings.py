"""All sections of the settings, frozen and typed. Their values are in `conf/`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from quantgod.files import value_digest
from quantgod.settings.candles import CandleSettings
from quantgod.settings.ensemble import EnsembleSettings
from quantgod.settings.forecasting import ForecastPowerSettings, ForecastSettings
from quantgod.settings.judging import (
    BacktestSettings,
    Baseline,
    EvaluateSettings,
    GateSettings,
    LeakAuditSettings,
    PowerSettings,
    ZooSettings,
)
from quantgod.settings.learning import (
    AuditSettings,
    LabelSettings,
    ModelSettings,
    OptimizeSettings,
    SplitSettings,
    TrainSettings,
    WindowSettings,
)
from quantgod.settings.live import (
    LiveSettings,
    ManageSettings,
    RegistrySettings,
    ServeSettings,
    TrackingSettings,
)
from quantgod.settings.market import (
    DataSettings,
    DownloadSettings,
    EtlSettings,
    SimulateSettings,
    SnapshotSettings,
)
from quantgod.settings.section import (
    Natural,
    Section,
)


def _no_baseline(name: str) -> str:
    if name in get_args(Baseline):
        raise ValueError("a baseline is called so, which members are compared with")
    return name


TAKEN: Final = ("auditor", "base", "prob", "in_set", "equal_weights", "ensemble")
"""What columns and scores of an ensemble are called after, and no member of one may be."""

MemberName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$"), AfterValidator(_no_baseline)]

MemberSection = Literal["window", "model", "train", "optimize", "audit", "registry", "leak_audit"]
"""The sections in which members differ. Data, target, parts and judgement are common to them."""

Member = dict[MemberSection, dict[str, Any]]
"""What a member says otherwise than the file that names it, section by section."""


class Settings(Section):
    """All settings.

    Of several `members` of one target each is trained, audited and served by itself. As many train
    side by side as `members_at_once` says (0: as many as their threads leave cores for, and one
    more of one thread each). With `ensemble` all of them together make one version, beside their
    own.
    """

    data: DataSettings
    simulate: SimulateSettings
    download: DownloadSettings
    candles: CandleSettings = CandleSettings()
    etl: EtlSettings
    snapshots: SnapshotSettings = SnapshotSettings()
    label: LabelSettings
    window: WindowSettings
    split: SplitSettings
    model: ModelSettings
    train: TrainSettings
    members: dict[MemberName, Member] = Field(default_factory=dict)
    members_at_once: Natural = 0
    ensemble: EnsembleSettings | None = None
    optimize: OptimizeSettings
    audit: AuditSettings
    registry: RegistrySettings
    evaluate: EvaluateSettings
    backtest: BacktestSettings
    leak_audit: LeakAuditSettings
    gates: GateSettings
    serve: ServeSettings
    manage: ManageSettings = ManageSettings()
    power: PowerSettings
    zoo: ZooSettings = ZooSettings()
    forecast: ForecastSettings = ForecastSettings()
    forecast_power: ForecastPowerSettings = ForecastPowerSettings()
    live: LiveSettings
    tracking: TrackingSettings

    @model_validator(mode="after")
    def _members_have_own_names(self) -> Settings:
        taken = sorted(self.members.keys() & set(TAKEN))
        if self.ensemble is not None and taken:
            raise ValueError(
                f"members of an ensemble are not called {', '.join(TAKEN)}; got {taken}"
            )
        return self

    @property
    def example(self) -> Path:
        """Return the path of a request body for the registered model: its newest golden input."""
        return self.data.work / f"{self.registry.name}.example.json"

    def digest(self) -> str:
        """Return the SHA-256 of all values, in hex."""
        return value_digest(self.model_dump(mode="json"))
