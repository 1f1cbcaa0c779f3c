"""All sections of the settings, frozen and typed. Their values are in `conf/`."""

from __future__ import annotations

from pathlib import Path

from quantgod.files import value_digest
from quantgod.settings.judging import (
    BacktestSettings,
    EvaluateSettings,
    GateSettings,
    LeakAuditSettings,
    PowerSettings,
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
    Section,
)


class Settings(Section):
    """All settings."""

    data: DataSettings
    simulate: SimulateSettings
    download: DownloadSettings
    etl: EtlSettings
    snapshots: SnapshotSettings = SnapshotSettings()
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
        """Return the path of a request body for the registered model: its newest golden input."""
        return self.data.work / f"{self.registry.name}.example.json"

    def digest(self) -> str:
        """Return the SHA-256 of all values, in hex."""
        return value_digest(self.model_dump(mode="json"))
