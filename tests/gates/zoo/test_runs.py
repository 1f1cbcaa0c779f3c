"""Markets made and judged, and an experiment that was stopped."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

import steps.zoo_power
from quantgod.dataset.windows import as_rows
from quantgod.evaluation.evidence import write_evidence
from quantgod.gates.zoo import runs
from quantgod.gates.zoo.market import make_market, views_of
from quantgod.gates.zoo.power import RIVALS, Market, Sight, widening
from quantgod.gates.zoo.runs import ZooError, run_zoo
from quantgod.models import zoo
from quantgod.served.features import sets
from quantgod.settings import Settings, SettingsError, load_settings
from quantgod.tracking.keys import stage_key
from tests.gates.zoo.test_power import sight
from tests.stores import fresh_store

CONFIG = Path("conf/zoo.yaml")
TINY = {
    "simulate.days": 1,
    "window.stride": 4,
    "train.epochs": 2,
    "zoo.kinds": ["shape"],
    "zoo.networks": ["linear", "book_mlp"],
    "zoo.planted_markets": 1,
    "zoo.null_markets": 2,
    "zoo.first_seed": 500,
    "zoo.workers": 1,
}
NAMES = ["linear-shape-null-1501", "linear-shape-planted-500"]


def tiny(**changes: object) -> Settings:
    return load_settings(CONFIG, TINY | {f"zoo.{key}": value for key, value in changes.items()})


def ends_of(figure: str) -> tuple[float, ...]:
    """Return the ends of `0.1 [0.05, 0.15]`."""
    return tuple(map(float, figure.partition("[")[2].rstrip("]").split(", ")))


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No market is made: its name is noted, and each missing network finds a planted signal."""
    names: list[str] = []

    def judge(market: Market, settings: Settings, folder: Path, place: Path) -> list[Sight]:
        names.append(market.name)
        found = []
        for network in runs._missing(market, settings, folder):
            beaten = () if market.is_null else RIVALS
            found.append(
                sight(network, market.kind, market.seed, is_null=market.is_null, beaten=beaten)
            )
            write_evidence(runs._kept(folder, network, market), found[-1])
        return found

    monkeypatch.setattr(runs, "judge_market", judge)
    return names


@pytest.mark.long
def test_a_market_goes_from_archives_to_what_networks_have_found(tmp_path: Path) -> None:
    found = run_zoo(tiny(null_markets=0), tmp_path)
    assert [one.network for one in found.sights] == ["book_mlp", "linear"]
    book, line = found.sights
    assert set(book.scores) == {"book_mlp", *RIVALS}
    assert set(line.scores) == set(RIVALS)
    assert len(book.gates) == 6 and len(line.gates) == 4
    assert book.effective_rows == pytest.approx((1_440 - sets.REACH) * 0.3 / 4, rel=0.1)
    (once,) = run_zoo(
        tiny(null_markets=0, looks=1, networks=["linear"]), tmp_path.parent / "once"
    ).sights
    wide, narrow = (ends_of(one.gates[0].figure) for one in (line, once))
    assert once.scores == line.scores
    assert np.ptp(wide) == pytest.approx(widening(180) * np.ptp(narrow), abs=0.002)
    assert book.best_epoch in (0, 1) and book.seconds > 0
    assert "of book_mlp minus that of majority" in book.gates[0].detail
    again = run_zoo(tiny(null_markets=0), tmp_path)
    assert again == found
    assert left_in(tmp_path) == [f"{one}-shape-planted-500.json" for one in ("book_mlp", "linear")]


def test_every_network_can_look_at_the_rows_of_a_market(tmp_path: Path) -> None:
    settings = tiny()
    market = make_market(Market("shape", False, 1).settings(settings), tmp_path)
    parts = (market.train, market.validation, market.test)
    assert min(map(len, parts)) > 20
    ends = [int(part.time_ms[-1]) for part in parts]
    assert ends == sorted(ends)
    shapes = {"bars": (30, 9), "features": (30, 112), "book": (12, 20, 4), "aux": (112,)}
    for name in zoo.names():
        views = views_of(name, market, settings)
        assert views.shapes == {view: shapes[view] for view in zoo.architecture(name).views}
        for part in parts:
            rows = as_rows(part)
            assert len(views.not_finite(rows)) == 0


def test_each_market_is_made_once_and_what_is_kept_is_not_made_again(
    tmp_path: Path, judged: list[str]
) -> None:
    told: list[tuple[int, int]] = []
    run_zoo(tiny(), tmp_path, progress=lambda done, total, _: told.append((done, total)))
    assert judged == ["shape-planted-500", "shape-null-1501"]
    assert told == [(0, 2), (1, 2), (2, 2)]
    (tmp_path / "book_mlp-shape-null-1501.json").unlink()
    seen: list[Sight] = []
    run_zoo(tiny(), tmp_path, seen.append)
    assert judged[2:] == ["shape-null-1501"]
    assert [one.network for one in seen] == ["book_mlp"]


def test_a_part_that_is_asked_for_joins_what_is_there(tmp_path: Path, judged: list[str]) -> None:
    run_zoo(tiny(networks=["linear"]), tmp_path)
    assert left_in(tmp_path) == [f"{name}.json" for name in NAMES]
    found = run_zoo(tiny(kinds=["flow"], networks=["tlob"], null_markets=0), tmp_path)
    assert judged[2:] == ["flow-planted-500"]
    assert {(one.network, one.kind) for one in found.sights} == {
        ("linear", "shape"),
        ("tlob", "flow"),
    }


def test_what_a_kill_has_left_is_removed_and_what_another_run_makes_is_not(
    tmp_path: Path, judged: list[str]
) -> None:
    for name in ("killed", "living"):
        (tmp_path / f"making-{name}" / "archives").mkdir(parents=True)
    with (tmp_path / "making-living" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run_zoo(tiny(networks=["linear"]), tmp_path)
    assert left_in(tmp_path) == [*(f"{name}.json" for name in NAMES), "making-living"]


def test_a_market_that_fails_is_named_and_the_others_are_judged(
    tmp_path: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = runs.judge_market

    def fails(market: Market, settings: Settings, folder: Path, place: Path) -> list[Sight]:
        if not market.is_null:
            raise ValueError("too few days")
        return judge(market, settings, folder, place)

    monkeypatch.setattr(runs, "judge_market", fails)
    with pytest.raises(ZooError, match=r"^shape-planted-500: ValueError: too few days$"):
        run_zoo(tiny(networks=["linear"]), tmp_path)
    assert left_in(tmp_path) == ["linear-shape-null-1501.json"]


@pytest.mark.parametrize("unknown", [["tlobb"], ["linear", "gpt"]])
def test_an_unknown_network_is_refused_before_any_market_is_made(
    tmp_path: Path, judged: list[str], unknown: list[str]
) -> None:
    with pytest.raises(SettingsError, match=f"no architecture '{unknown[-1]}'"):
        run_zoo(tiny(networks=unknown), tmp_path)
    assert judged == []


def test_asking_for_a_part_changes_no_key_and_another_market_does() -> None:
    def key(settings: Settings) -> str:
        return stage_key("zoo_power", settings, {}, {})

    parts = {"kinds": ["flow"], "networks": ["tlob"], "planted_markets": 3, "null_markets": 0}
    assert key(tiny(**parts, first_seed=9, workers=4)) == key(tiny())
    assert key(tiny(features_rows=20)) != key(tiny())
    assert key(load_settings(CONFIG, TINY | {"simulate.days": 3})) != key(tiny())


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield MlflowClient(fresh_store(tmp_path))
    mlflow.end_run()


def zoo_power(folder: Path, *more: str) -> Result:
    own = {"data.work": folder / "work", "tracking.outbox": folder / "outbox"}
    own |= {"tracking.uri": f"sqlite:///{folder}/mlflow.db"}
    own |= {"tracking.artifacts": folder / "artifacts", "tracking.experiment": "zoo"}
    said = ";".join(f"{key}={value}" for key, value in (TINY | own).items())
    return CliRunner().invoke(steps.zoo_power.main, ["--config", str(CONFIG), "--set", said, *more])


def test_the_command_shows_its_table_keeps_it_and_goes_on_where_it_was(
    tmp_path: Path, store: MlflowClient, judged: list[str]
) -> None:
    first = zoo_power(tmp_path, "--networks", "linear", "--null", "0")
    assert first.exit_code == 0, first.output
    said = zoo_power(tmp_path, "--networks", "linear,tlob")
    assert said.exit_code == 0, said.output
    assert judged == ["shape-planted-500", "shape-planted-500", "shape-null-1501"]
    assert "shape 500: found, macro-F1 tlob" in said.output
    assert "1 of 1 (1)" in said.output and "0 of 1 (0)" in said.output
    (experiment,) = store.search_experiments(filter_string="name = 'zoo'")
    run, _ = store.search_runs([experiment.experiment_id], order_by=["start_time DESC"])
    assert run.data.metrics == {"sights": 4.0, "found": 2.0}
    kept = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/zoo_power.json")
    assert [one["network"] for one in kept["sights"]] == ["linear", "linear", "tlob", "tlob"]
    names = [item.path for item in store.list_artifacts(run.info.run_id, "figures")]
    assert names == ["figures/findings.png"]


def test_the_command_ends_with_one_where_a_signal_is_found_that_is_not_there(
    tmp_path: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(market: Market, settings: Settings, folder: Path, place: Path) -> list[Sight]:
        found = sight("linear", market.kind, market.seed, is_null=True)
        write_evidence(runs._kept(folder, "linear", market), found)
        return [found]

    monkeypatch.setattr(runs, "judge_market", judge)
    said = zoo_power(tmp_path, "--networks", "linear", "--planted", "0")
    assert said.exit_code == 1
    assert "linear found a signal in a shape market without one, seed 1501" in said.output
