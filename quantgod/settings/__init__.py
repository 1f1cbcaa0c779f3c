"""Frozen, typed settings: the sections, and the reader of settings files."""

from quantgod.settings.commands import bare_command, command, repeating
from quantgod.settings.judging import (
    AccountSettings,
    BacktestSettings,
    EvaluateSettings,
    GateSettings,
    LeakAuditSettings,
    PowerSettings,
)
from quantgod.settings.learning import (
    AuditSettings,
    HorizonSettings,
    LabelSettings,
    ModelSettings,
    OptimizeSettings,
    Range,
    SearchSpace,
    SplitSettings,
    TrainSettings,
    WindowSettings,
    XGBoostSettings,
)
from quantgod.settings.live import (
    CollectSettings,
    DriftSettings,
    ExchangeSettings,
    FeedSettings,
    JournalSettings,
    LiveSettings,
    RegistrySettings,
    ServeSettings,
    TrackingSettings,
)
from quantgod.settings.loading import (
    SettingsError,
    load_settings,
    settings_of,
    with_values,
)
from quantgod.settings.market import (
    ArchiveLimits,
    DataSettings,
    DownloadSettings,
    EtlSettings,
    SimulateSettings,
    SnapshotSettings,
)
from quantgod.settings.redaction import without_passwords
from quantgod.settings.section import Choice, Positive, Section
from quantgod.settings.settings import Settings

__all__ = [
    "AccountSettings",
    "ArchiveLimits",
    "AuditSettings",
    "BacktestSettings",
    "Choice",
    "CollectSettings",
    "DataSettings",
    "DownloadSettings",
    "DriftSettings",
    "EtlSettings",
    "EvaluateSettings",
    "ExchangeSettings",
    "FeedSettings",
    "GateSettings",
    "HorizonSettings",
    "JournalSettings",
    "LabelSettings",
    "LeakAuditSettings",
    "LiveSettings",
    "ModelSettings",
    "OptimizeSettings",
    "Positive",
    "PowerSettings",
    "Range",
    "RegistrySettings",
    "SearchSpace",
    "Section",
    "ServeSettings",
    "Settings",
    "SettingsError",
    "SimulateSettings",
    "SnapshotSettings",
    "SplitSettings",
    "TrackingSettings",
    "TrainSettings",
    "WindowSettings",
    "XGBoostSettings",
    "bare_command",
    "command",
    "load_settings",
    "repeating",
    "settings_of",
    "with_values",
    "without_passwords",
]
