"""Series made and judged, and an experiment that was stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

import steps.forecast_power
from quantgod.evaluation.evidence import write_evidence
from quantgod.gates.forecast_power import runs
from quantgod.gates.forecast_power.power import Finding, Series
from quantgod.gates.forecast_power.runs import ForecastPowerError, run_forecast_power
from quantgod.settings import Settings, load_settings
from quantgod.tracking.keys import stage_key
from tests.gates.forecast_power.findings import finding
from tests.stores import fresh_store

CONFIG = Path("conf/forecast_power.yaml")
TINY = {
    "candles.simulate.candles": 700,
    "forecast.only": ["ridge"],
    "forecast.folds": 1,
    "forecast_power.null_series": 2,
    "forecast_power.momentum_series": 1,
    "forecast_power.clusters_series": 1,
    "forecast_power.workers": 1,
    "forecast_power.first_seed": 1000,
}
NAMES = ["null-1000", "null-1001", "momentum-2000", "clusters-3000"]


def tiny(**changes: object) -> Settings:
    return load_settings(CONFIG, TINY | changes)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No series is made: its name is noted, and what is planted is found at one candle."""
    names: list[str] = []

    def judge(series: Series, settings: Settings, folder: Path) -> Finding:
        names.append(series.name)
        there = {"momentum": (1, None), "clusters": (None, 1), "null": (None, None)}
        found = finding(series.kind, series.seed, *there[series.kind])
        write_evidence(runs._kept(folder, series), found)
        return found

    monkeypatch.setattr(runs, "judge_series", judge)
    return names


@pytest.mark.long
def test_a_series_goes_from_candles_to_what_is_found_and_a_killed_one_goes_on(
    tmp_path: Path,
) -> None:
    settings = tiny(**{"forecast_power.null_series": 0, "forecast_power.clusters_series": 0})
    (found,) = run_forecast_power(settings, tmp_path).findings
    assert (found.kind, found.seed) == ("momentum", 2000)
    assert [look.is_gated for look in found.looks] == [True, True, False]
    assert {look.mean.looks for look in found.looks} == {60}
    assert len(found.gates) == 13 and found.seconds > 0
    assert left_in(tmp_path) == ["momentum-2000.json"]

    def killed(*_: object) -> None:
        raise RuntimeError("killed")

    again = tmp_path / "again"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "judge_forecasts", killed)
        with pytest.raises(ForecastPowerError, match=r"^momentum-2000: RuntimeError: killed$"):
            run_forecast_power(settings, again)
    assert left_in(again / "momentum-2000") == ["fold-1", "test"]
    (once_more,) = run_forecast_power(settings, again).findings
    assert once_more.looks == found.looks and left_in(again) == ["momentum-2000.json"]


def test_each_series_is_judged_once_and_what_is_kept_is_not_judged_again(
    tmp_path: Path, judged: list[str]
) -> None:
    told: list[tuple[int, int]] = []
    run_forecast_power(tiny(), tmp_path, progress=lambda done, of, _: told.append((done, of)))
    assert judged == NAMES
    assert told == [(done, 4) for done in range(5)]
    (tmp_path / "null-1001.json").unlink()
    seen: list[Finding] = []
    found = run_forecast_power(tiny(), tmp_path, seen.append)
    assert judged[4:] == ["null-1001"] == [f"{one.kind}-{one.seed}" for one in seen]
    assert [f"{one.kind}-{one.seed}" for one in found.findings] == NAMES
    part = run_forecast_power(tiny(**{"forecast_power.null_series": 1}), tmp_path)
    assert len(part.findings) == 3 and len(judged) == 5


def test_a_series_that_fails_is_named_and_the_others_are_judged(
    tmp_path: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = runs.judge_series

    def fails(series: Series, settings: Settings, folder: Path) -> Finding:
        if series.seed == 1000:
            raise ValueError("too few candles")
        return judge(series, settings, folder)

    monkeypatch.setattr(runs, "judge_series", fails)
    with pytest.raises(ForecastPowerError, match=r"^null-1000: ValueError: too few candles$"):
        run_forecast_power(tiny(), tmp_path)
    assert left_in(tmp_path) == sorted(f"{name}.json" for name in NAMES[1:])


def test_how_many_are_asked_for_changes_no_key_and_what_they_are_does() -> None:
    def key(**changes: object) -> str:
        return stage_key("forecast_power", tiny(**changes), {}, {})

    parts = {"null_series": 1, "momentum_series": 3, "clusters_series": 0, "found_in": 0.5}
    parts |= {"workers": 4, "first_seed": 7}
    assert key(**{f"forecast_power.{name}": value for name, value in parts.items()}) == key()
    for other in ({"forecast_power.momentum": 0.5}, {"forecast_power.looks": 99}):
        assert key(**other) != key()
    assert key(**{"candles.simulate.candles": 800}) != key()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield MlflowClient(fresh_store(tmp_path))
    mlflow.end_run()


def forecast_power(folder: Path, *more: str) -> Result:
    own = {"data.work": folder / "work", "tracking.outbox": folder / "outbox"}
    own |= {"tracking.uri": f"sqlite:///{folder}/mlflow.db"}
    own |= {"tracking.artifacts": folder / "artifacts", "tracking.experiment": "forecasts"}
    said = ";".join(f"{key}={value}" for key, value in (TINY | own).items())
    given = ["--config", str(CONFIG), "--set", said, *more]
    return CliRunner().invoke(steps.forecast_power.main, given)


def test_the_command_keeps_its_tables_and_figure_and_goes_on_where_it_was(
    tmp_path: Path, store: MlflowClient, judged: list[str]
) -> None:
    first = forecast_power(tmp_path, "--null", "1")
    assert first.exit_code == 0, first.output
    said = forecast_power(tmp_path)
    assert said.exit_code == 0, said.output
    assert judged == ["null-1000", *NAMES[2:], "null-1001"]
    headline = "claimed of 0 of 2 null; momentum found in 1 of 1, clusters found in 1 of 1"
    assert headline in " ".join(said.output.split())
    (experiment,) = store.search_experiments(filter_string="name = 'forecasts'")
    run, _ = store.search_runs([experiment.experiment_id], order_by=["start_time DESC"])
    counts = {"null_found": 0.0, "momentum_found": 1.0, "clusters_found": 1.0}
    assert run.data.metrics == counts
    kept = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/forecast_power.json")
    assert [one["seed"] for one in kept["findings"]] == [1000, 1001, 2000, 3000]
    table = mlflow.load_table("series_table.json", run_ids=[run.info.run_id])
    assert len(table) == 12
    names = [item.path for item in store.list_artifacts(run.info.run_id, "figures")]
    assert names == ["figures/skills.png"]


def test_the_command_ends_with_one_where_the_demand_is_not_met(
    tmp_path: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        runs, "judge_series", lambda one, *_, **__: finding(one.kind, one.seed, mean=1)
    )
    said = forecast_power(tmp_path)
    assert said.exit_code == 1
    told = " ".join(said.output.split())
    assert "skill of the mean is claimed 1 day ahead of a null series, seed 1001" in told
    assert "clusters found in 0 of 1 series" in told
