"""Markets gone through from archives to judged gates, and an experiment that was stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

import steps.power
from quantgod.backtest.trading_power import Trader
from quantgod.contracts import Progress
from quantgod.evaluation.interval_power import DESIGNS, Design, DesignOutcome, IntervalCoverage
from quantgod.gates import Gate, interval_proof
from quantgod.gates.interval_proof import JOBS
from quantgod.gates.power import Market, Rehearsal
from quantgod.parallel import work
from quantgod.registry import rehearsals
from quantgod.registry.rehearsals import RehearsalError, run_rehearsals
from quantgod.settings import Settings, load_settings
from tests.registry.shelves import Shelf

CONFIG = Path("conf/power.yaml")
TINY = {
    "simulate.days": 2,
    "simulate.cadence_ms": 4000,
    "window.length": 20,
    "window.stride": 10,
    "train.epochs": 1,
    "audit.stride": 10,
    "audit.epochs": 1,
    "audit.xgboost.rounds": 20,
    "registry.golden_rows": 40,
    "evaluate.stride": 15,
    "evaluate.inference_windows": 5,
    "leak_audit.cuts": 2,
    "leak_audit.minutes": 1440,
    "leak_audit.stride": 10,
    "power.null_markets": 1,
    "power.planted_markets": 1,
    "power.planted_passes": 1,
    "power.workers": 1,
}
ASKED = ["null-100", "planted-101"]


class Stopped(Exception):
    """Somebody ends the experiment."""


def tiny(**changes: float) -> Settings:
    return load_settings(CONFIG, TINY | {f"power.{key}": value for key, value in changes.items()})


def judged(market: Market, *, passed: bool) -> Rehearsal:
    gates = (Gate("mcc", "0.1", "> 0", passed, ""),)
    figures = dict.fromkeys(("effective_rows", "macro_f1", "trades", "net_pnl"), 1.0)
    return Rehearsal(
        kind=market.kind, seed=market.seed, gates=gates, figures=figures, seconds=1.0,
        cell=market.cell,
    )  # fmt: skip


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No market is gone through: its name is noted, and planted ones pass."""
    names: list[str] = []

    def rehearse(market: Market, settings: Settings, folder: Path, progress: Progress) -> Rehearsal:
        names.append(market.name)
        assert list(folder.iterdir()) == []
        (folder / "archives").mkdir()
        return judged(market, passed=market.kind == "planted")

    monkeypatch.setattr(rehearsals, "rehearse", rehearse)
    return names


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.long
def test_real_markets_are_judged_and_a_stopped_experiment_goes_on(tmp_path: Path) -> None:
    heard: list[Rehearsal] = []

    def stop(rehearsal: Rehearsal) -> None:
        heard.append(rehearsal)
        raise Stopped

    with pytest.raises(Stopped):
        run_rehearsals(tiny(), tmp_path, stop)
    assert left_in(tmp_path) == ["null-100.json"], "archives and bars are gone"
    before = (tmp_path / "null-100.json").stat().st_mtime_ns
    found = run_rehearsals(tiny(), tmp_path, heard.append)
    assert (tmp_path / "null-100.json").stat().st_mtime_ns == before, "gone through once"
    assert [f"{rehearsal.kind}-{rehearsal.seed}" for rehearsal in found.rehearsals] == ASKED
    assert heard == [found.rehearsals[0], *found.rehearsals]
    null, planted = found.rehearsals
    assert not null.passed and "beats_majority_log_loss" in null.failed
    for rehearsal in (null, planted):
        verdicts = {gate.name: gate for gate in rehearsal.gates}
        assert verdicts["leak_audit"].passed, verdicts["leak_audit"].detail
        assert verdicts["inference_p99"].passed, "the packed chain was timed"
        assert verdicts["beats_champion"].passed is None
    assert null.figures["log_loss"] != planted.figures["log_loss"]


CURVE = TINY | {
    "simulate.cadence_ms": 3000,
    "power.null_markets": 2,
    "power.curve.signals": [1.0],
    "power.curve.days": [2],
    "power.curve.false_passes": 0.9,
}  # fmt: skip


@pytest.mark.long
def test_a_curve_is_measured_by_a_cluster_and_goes_on_after_a_kill(
    tmp_path: Path, scheduler: str, store: MlflowClient
) -> None:
    own = CURVE | {"power.scheduler": scheduler}
    settings = load_settings(Path("conf/power_curve.yaml"), own)
    heard: list[Rehearsal] = []

    def stop(rehearsal: Rehearsal) -> None:
        heard.append(rehearsal)
        raise Stopped

    with pytest.raises(Stopped):
        run_rehearsals(settings, tmp_path, stop)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert before
    found = run_rehearsals(settings, tmp_path)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert before.items() <= kept.items(), "gone through once"
    assert sorted(kept) == [
        "null-2000-0-2d.json", "null-2001-0-2d-trading.json", "planted-12000-1-2d.json"
    ]  # fmt: skip
    plain, trading, planted = found.rehearsals
    assert not plain.passed and not trading.passed
    assert trading.figures["trades"] > plain.figures["trades"]
    assert planted.figures["log_loss"] < plain.figures["log_loss"]
    asked = {gate.name: gate for gate in planted.gates}
    assert asked["leak_audit"].passed is None and asked["leak_audit"].bound == "not asked for"


def test_the_command_measures_a_curve_keeps_its_markets_and_ends_well_where_nothing_lucky_passes(
    tmp_path: Path, store: MlflowClient, rehearsed: list[str]
) -> None:
    config = Path("conf/power_curve.yaml")
    said = power(tmp_path, "--null", "2", config=config, own=CURVE)
    assert said.exit_code == 0, said.output
    assert rehearsed == ["null-2000-0-2d", "null-2001-0-2d-trading", "planted-12000-1-2d"]
    assert "Models that pass" in said.output and "null that trade" in said.output
    more = power(tmp_path, "--null", "3", "--workers", "3", config=config, own=CURVE)
    assert rehearsed[3:] == ["null-2002-0-2d"], "the others are kept"
    (experiment,) = store.search_experiments(filter_string="name = 'power'")
    run, _ = store.search_runs([experiment.experiment_id])
    assert run.data.metrics["null_passed"] == 0
    assert run.data.metrics["null_passed_at_most"] == pytest.approx(1 - 0.05 ** (1 / 3))
    names = [item.path for item in store.list_artifacts(run.info.run_id, "figures")]
    assert names == ["figures/curve.png"]
    few = power(tmp_path, config=config, own=CURVE | {"power.curve.false_passes": 0.1})
    assert few.exit_code == 1 and more.exit_code == 0
    assert "0 of 2 models of null markets passed: at most 77.64%" in few.output


SMALL = {"dropout": 0.1, "lstm_hidden": 4, "lstm_layers": 1, "lstm_dropout": 0.0}
OF_MEMBERS = TINY | {
    "simulate.cadence_ms": 2000,
    "label": {"horizon_minutes": 4, "buy_above": 0.001, "sell_below": -0.001},
    "window.stride": 2,
    "audit.stride": 2,
    "evaluate.stride": 2,
    "leak_audit.stride": 2,
    "leak_audit.cuts": 0,
    "gates.leak_audit": True,
    "members.cnn.model.params": SMALL | {"attention_heads": 2},
    "members.book.model.params": {"width": 8, "pairs": 1},
}  # fmt: skip


@pytest.mark.long
def test_ensembles_are_gone_through_as_one_network_is(tmp_path: Path) -> None:
    how = load_settings(Path("conf/ensemble_power.yaml"), OF_MEMBERS)
    null, planted = run_rehearsals(how, tmp_path).rehearsals
    assert null.is_ensemble and not null.passed
    verdicts = {gate.name: gate for gate in planted.gates}
    assert verdicts["leak_audit"].passed, verdicts["leak_audit"].detail
    assert {"no_worse_than_members", "no_worse_than_equal_weights"} <= verdicts.keys()
    losses = {name for name in planted.figures if name.startswith("log_loss_of_")}
    assert losses == {
        f"log_loss_of_{name}" for name in ("ensemble", "linear", "book", "cnn", "equal_weights")
    }
    assert planted.figures["spoilt_hedge"] > 0


def test_every_market_is_gone_through_once_and_told(tmp_path: Path, rehearsed: list[str]) -> None:
    asked = tiny(null_markets=3, planted_markets=2)
    steps_done: list[tuple[int, int]] = []
    found = run_rehearsals(
        asked, tmp_path, progress=lambda done, total, _: steps_done.append((done, total))
    )
    assert rehearsed == ["null-100", "null-101", "null-102", "planted-103", "planted-104"]
    assert steps_done == [(done, 5) for done in range(6)]
    assert (found.passes("null"), found.passes("planted"), found.problem) == (0, 2, "")
    run_rehearsals(asked, tmp_path)
    assert len(rehearsed) == 5


def test_what_a_kill_has_left_of_a_market_is_not_built_on(
    tmp_path: Path, rehearsed: list[str]
) -> None:
    (tmp_path / "null-100-left" / "archives").mkdir(parents=True)
    (tmp_path / "null-99-left").mkdir()
    run_rehearsals(tiny(), tmp_path)
    assert rehearsed == ASKED
    assert left_in(tmp_path) == ["null-100.json", "planted-101.json"]


def test_a_worker_that_outlived_a_kill_shares_no_folder_with_the_one_that_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Path] = []

    def rehearse(market: Market, settings: Settings, folder: Path, progress: Progress) -> Rehearsal:
        places.append(folder)
        if len(places) == 1:  # while it is at work, the experiment is started again
            run_rehearsals(tiny(), tmp_path)
            assert not folder.exists()
        return judged(market, passed=market.kind == "planted")

    monkeypatch.setattr(rehearsals, "rehearse", rehearse)
    found = run_rehearsals(tiny(), tmp_path)
    assert [place.name.rpartition("-")[0] for place in places[:3]] == ["null-100", *ASKED]
    assert len(set(places)) == len(places)
    assert not found.problem
    assert left_in(tmp_path) == ["null-100.json", "planted-101.json"]


def test_a_market_that_cannot_be_judged_is_named_and_leaves_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rehearse(market: Market, settings: Settings, folder: Path, progress: Progress) -> Rehearsal:
        raise ValueError("too few days")

    monkeypatch.setattr(rehearsals, "rehearse", rehearse)
    with pytest.raises(RehearsalError, match="null-100: ValueError: too few days"):
        run_rehearsals(tiny(), tmp_path)
    assert left_in(tmp_path) == []


def test_a_worker_whose_experiment_was_killed_ends_at_its_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rehearse(market: Market, settings: Settings, folder: Path, progress: Progress) -> Rehearsal:
        progress(1, 9, "while the experiment lives")
        monkeypatch.setattr(os, "getppid", lambda: 1)
        progress(2, 9, "")
        raise AssertionError("it went on")

    monkeypatch.setattr(work, "parent_process", lambda: "its experiment")
    monkeypatch.setattr(rehearsals, "rehearse", rehearse)
    with pytest.raises(RehearsalError, match=r"null-100: RuntimeError: the experiment .* is gone"):
        run_rehearsals(tiny(), tmp_path)
    assert left_in(tmp_path) == []


@pytest.mark.long
def test_a_market_that_fails_in_a_process_of_its_own_is_named_too(tmp_path: Path) -> None:
    own = {"simulate.price": 1.0, "power.workers": 2}  # too low a price for the book's depth
    with pytest.raises(
        RehearsalError, match=r"^(null-100|planted-101): ValueError: the price falls"
    ):
        run_rehearsals(load_settings(CONFIG, TINY | own), tmp_path)
    assert not list(tmp_path.glob("*.json"))


@pytest.fixture
def store(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    monkeypatch.setenv("COLUMNS", "120")
    yield MlflowClient()
    mlflow.end_run()


def power(folder: Path, *more: str, config: Path = CONFIG, own: Mapping[str, Any] = TINY) -> Result:
    places = {"data.work": folder / "work", "tracking.outbox": folder / "outbox"}
    places |= {"tracking.artifacts": folder / "artifacts", "tracking.experiment": "power"}
    said = ";".join(f"{key}={value}" for key, value in {**own, **places}.items())
    return CliRunner().invoke(steps.power.main, ["--config", str(config), "--set", said, *more])


def test_the_command_shows_its_tables_keeps_them_and_ends_well(
    tmp_path: Path, store: MlflowClient, rehearsed: list[str]
) -> None:
    said = power(tmp_path)
    assert said.exit_code == 0, said.output
    assert "planted 101: passed, 1 of 1 gates" in said.output
    assert "Gates passed" in said.output
    (experiment,) = store.search_experiments(filter_string="name = 'power'")
    (run,) = store.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"null_passed": 0.0, "planted_passed": 1.0}
    kept = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/power.json")
    assert [rehearsal["seed"] for rehearsal in kept["trials"]] == [100, 101]
    names = [item.path for item in store.list_artifacts(run.info.run_id, "figures")]
    assert names == ["figures/verdicts.png"]


def test_the_command_ends_with_one_where_luck_passes(
    tmp_path: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsals, "rehearse", lambda market, *_: judged(market, passed=True))
    said = power(tmp_path)
    assert said.exit_code == 1
    assert "the gates let models of null markets through: seeds 100" in said.output


@pytest.mark.parametrize("share", [0.95, 0.92])
def test_intervals_that_do_not_hold_end_the_command_with_one_and_are_kept_either_way(
    tmp_path: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    def proved(job: Design | Trader, cases: int) -> list[DesignOutcome]:
        held = IntervalCoverage(share if job is DESIGNS[3] else 0.95, 0.2)
        return [
            DesignOutcome(
                design=job.name,
                score="mcc",
                effective_rows=33,
                cases=cases,
                judged=1.0,
                held=held,
                needed=0.1,
            )
        ]

    monkeypatch.setattr(interval_proof, "_prove", proved)
    said = power(tmp_path, "--intervals", "1000")
    fails = share < 0.93
    assert said.exit_code == fails, said.output
    assert ("outside: mcc (weak, 33) 0.920" in said.output) is fails
    (experiment,) = store.search_experiments(filter_string="name = 'power'")
    (run,) = store.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"lines": len(JOBS) - 2, "lines_outside": fails}
    kept = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/intervals.json")
    assert [one["held"][0] for one in kept["found"]].count(share) == (1 if fails else len(JOBS))
