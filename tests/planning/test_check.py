"""`steps.check` says beforehand what a long run would end with."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

import steps.check
import steps.main
from quantgod.planning import estimate as reckoned
from quantgod.planning import work
from quantgod.planning.at_hand import at_hand, missing_days
from quantgod.planning.estimate import estimate, in_time
from quantgod.planning.fitting import findings
from quantgod.registry.lineage import Lineage
from quantgod.settings import Settings, load_settings
from quantgod.simulation.archives import write_archives
from quantgod.tracking.stage import stage
from quantgod.tracking.store import connect
from tests.stores import fresh_store

SMALL = {
    "simulate.days": 2,
    "simulate.cadence_ms": 5000,
    "model.params": {"tcn_channels": 2, "lstm_hidden": 2, "lstm_layers": 1},
    "optimize.space": {"tcn_channels": [2], "lstm_hidden": [2], "lstm_layers": [1]},
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Settings of a small market whose data and store are this test's."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    places = {
        f"data.{name}": str(tmp_path / name) for name in ("archives", "bars", "labels", "work")
    }
    store = {"tracking.uri": fresh_store(tmp_path), "tracking.outbox": str(tmp_path / "outbox")}
    return {**SMALL, **places, **store, "tracking.artifacts": str(tmp_path / "artifacts")}


def settings_with(own: dict[str, object], **more: object) -> Settings:
    named = {key.replace("__", "."): value for key, value in more.items()}
    return load_settings(Path("conf/demo.yaml"), own | named)


def found(settings: Settings) -> dict[str, tuple[str, str]]:
    told = findings(settings, at_hand(settings), connect(settings.tracking))
    return {one.subject: (one.state, one.text) for one in told}


def test_a_market_that_fits_is_estimated_stage_by_stage(own: dict[str, object]) -> None:
    settings = settings_with(own)
    told = found(settings)
    assert {state for state, _ in told.values()} == {"ok"}
    assert "2,880 minutes of the 2 days that `simulate` gets" in told["rows"][1]
    stages = {one.stage: one.seconds for one in estimate(settings, at_hand(settings)).stages}
    assert list(stages) == [
        "simulate", "etl", "optimize", "train", "audit", "evaluate", "leak_audit",
    ]  # fmt: skip
    assert all(seconds > 0 for seconds in stages.values())

    write_archives(settings.data.archives, "BTCUSDT", settings.simulate)
    have = at_hand(settings)
    assert have.days_to_read == 2
    assert "simulate" not in {one.stage for one in estimate(settings, have).stages}
    assert found(settings)["archives"] == ("ok", "2 days, 2024-01-01 to 2024-01-02")


@pytest.mark.parametrize(
    ("more", "subject", "text"),
    [
        ({"window__length": 2000}, "rows", "too few for windows of 2000, labels 15 ahead, 2 folds"),
        ({"split__folds": 600}, "rows", "600 folds"),
        ({"train__device": "cuda"}, "device", "cuda was asked for and this machine has none"),
        ({"data__source": "local"}, "archives", "none at "),
        ({"label__horizon_minutes": 1500}, "rows", "labels 1500 ahead"),
    ],
)
def test_what_would_end_a_run_is_named_before_it_starts(
    own: dict[str, object], more: dict[str, object], subject: str, text: str
) -> None:
    state, said = found(settings_with(own, **more))[subject]
    assert state == "wrong" and text in said


def test_a_name_that_holds_another_symbols_versions_is_refused(own: dict[str, object]) -> None:
    settings = settings_with(own)
    data = settings.data.model_copy(update={"symbol": "ETHUSDT"})
    data.own_bars.mkdir(parents=True)
    with stage("label", settings.model_copy(update={"data": data})) as run:
        run.output()
    client = MlflowClient()
    name = settings.registry.name
    client.create_registered_model(name)
    tags = Lineage({"label": run.run_id}).tags()
    client.create_model_version(name, str(settings.data.work), tags=tags)
    state, said = found(settings)["registry"]
    assert state == "wrong" and f"{name} holds versions of ETHUSDT" in said
    result = invoke(steps.check.main, own)
    assert result.exit_code == 1 and "ETHUSDT" in result.output
    assert "On this machine" in result.output, "how long it takes is worth knowing all the same"


def test_main_says_how_long_it_takes_only_where_that_is_long(
    own: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = settings_with(own)
    steps.main.tell_how_long(settings)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(work, "SHORT_ROWS", 1.0)
    steps.main.tell_how_long(settings)
    assert capsys.readouterr().out == "", "it was timed, and is short"
    monkeypatch.setattr(reckoned, "LONG_SECONDS", 1e-6)
    steps.main.tell_how_long(settings)
    said = capsys.readouterr().out
    assert "On this machine" in said and "optimize: optimize.trials" in said


def test_days_that_are_missing_are_those_between() -> None:
    days = tuple(dt.date(2024, 1, day) for day in (2, 3, 6))
    assert missing_days(days) == [dt.date(2024, 1, 4), dt.date(2024, 1, 5)]
    assert missing_days(()) == []
    assert in_time(0.4) == "0 s"


def invoke(command: object, own: dict[str, object]) -> Result:
    given = ";".join(f"{key}={value}" for key, value in own.items())
    return CliRunner().invoke(command, ["--set", given])  # type: ignore[arg-type]
