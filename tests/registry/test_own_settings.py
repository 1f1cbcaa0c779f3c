"""A version keeps the settings that it was made by; only how it is judged may be told otherwise."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow.entities.model_registry import ModelVersion

from quantgod.registry.lineage import lineage_of
from quantgod.registry.own_settings import (
    JUDGING,
    SETTINGS_FILE,
    NoOwnSettingsError,
    OtherSettingsError,
    judging,
    keep_settings,
    own_judging,
    own_settings,
)
from quantgod.settings import Settings, load_settings
from tests.registry.lineages import Lineage
from tests.registry.shelves import Shelf

URL = "postgresql://me:secret@host/studies"
DEMO = load_settings(Path("conf/demo.yaml"), {"optimize.storage": URL})


@pytest.fixture
def version(shelf: Shelf) -> ModelVersion:
    lineage = Lineage(shelf, shelf.folder / "labels.parquet", "digest", settings=DEMO).whole()
    return lineage.judged()


def test_they_come_back_whole_but_for_passwords(version: ModelVersion, tmp_path: Path) -> None:
    own = own_settings(version)
    assert own.optimize.storage == "postgresql://me:***@host/studies"
    storage = {"storage": URL}
    assert own.model_copy(update={"optimize": own.optimize.model_copy(update=storage)}) == DEMO
    keep_settings(tmp_path / "again.yaml", own)
    assert load_settings(tmp_path / "again.yaml") == own, "the file may be given as any other"


def test_a_version_of_code_that_knew_fewer_settings_keeps_its_own(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Settings.model_dump
    earlier = {"mode": "json", "exclude": {"members", "members_at_once"}}
    monkeypatch.setattr(Settings, "model_dump", lambda self, **_: whole(self, **earlier))
    lineage = Lineage(shelf, shelf.folder / "labels.parquet", "digest", settings=DEMO).whole()
    made = lineage.judged()
    monkeypatch.setattr(Settings, "model_dump", whole)
    assert own_settings(made).members == {}
    assert judging(made, "gates", DEMO, None).otherwise == ()


def test_settings_that_were_changed_lost_or_never_kept_are_not_known(
    version: ModelVersion, tmp_path: Path
) -> None:
    run = lineage_of(version).runs["register"]
    other = load_settings(Path("conf/demo.yaml"), {"gates.mcc_above": -1.0})
    keep_settings(tmp_path / SETTINGS_FILE, other)
    client = mlflow.MlflowClient()
    for text, why in (
        ((tmp_path / SETTINGS_FILE).read_text(), "was changed since"),
        ("data: [", "settings.yaml of run|expected"),
        ("data: {}", "data.symbol: missing"),
    ):
        client.log_text(run, text, SETTINGS_FILE)
        with pytest.raises(NoOwnSettingsError, match=f"quantgod 5 was made by .*{why}"):
            own_settings(version)
    del version.tags["lineage"]
    with pytest.raises(NoOwnSettingsError, match="no register run is named"):
        own_settings(version)
    with pytest.raises(NoOwnSettingsError):
        own_judging(version, DEMO, None, force=False)
    assert own_judging(version, DEMO, None, force=True) == DEMO


def test_only_how_it_is_judged_may_be_told_otherwise(version: ModelVersion) -> None:
    assert judging(version, "gates", DEMO, None).otherwise == ()
    where = {"data.bars": "elsewhere", "live.journal": "elsewhere", "registry.alias": "Staging",
             "etl.workers": 7, "train.device": "cuda", "tracking.outbox": "ignored"}  # fmt: skip
    free = judging(version, "gates", DEMO, where)
    assert free.otherwise == () and free.settings.registry.alias == "Staging"
    assert free.settings.tracking == DEMO.tracking, "the store is that at hand"
    for section in JUDGING:
        names = {"gates": "champion_rows", "backtest": "latency_ms"}
        key = f"{section}.{names.get(section, 'stride')}"
        by = judging(version, section, DEMO, {key: 98})
        assert [text.partition(" ")[0] for text in by.otherwise] == [key]
        with pytest.raises(OtherSettingsError, match=f"by its own bounds alone, not by {key} 98"):
            own_judging(version, DEMO, {key: 98}, force=True)
    for key, value in (
        ("data.symbol", "ETHUSDT"), ("label.horizon_minutes", 59), ("window.length", 59),
        ("split.embargo_minutes", 59), ("model.params.dropout", 0.9), ("train.epochs", 59),
        ("optimize.trials", 59), ("audit.xgboost.rounds", 59), ("etl.max_bridge_minutes", 9),
        ("registry.golden_rows", 59),
    ):  # fmt: skip
        with pytest.raises(OtherSettingsError, match=f"was made with {key} .*, not {value}"):
            judging(version, "backtest", DEMO, {key: value})


def test_a_file_is_compared_as_values_are(version: ModelVersion) -> None:
    full = load_settings(Path("conf/full.yaml"))
    with pytest.raises(OtherSettingsError, match=r"was made with .*; .*; .* and \d+ more: `python"):
        judging(version, "evaluate", full, None)
    renamed: Settings = DEMO.model_copy(
        update={"registry": DEMO.registry.model_copy(update={"name": "other"})}
    )
    assert judging(version, "evaluate", renamed, None).settings.registry.name == "quantgod"
