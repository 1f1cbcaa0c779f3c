"""`steps.check` says beforehand what a long run would end with."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from mlflow import MlflowClient

import steps.check
import steps.main
import steps.train
from quantgod.dataset.labels import NO_TARGET
from quantgod.planning import estimate as reckoned
from quantgod.planning import fitting, start, timing, work
from quantgod.planning.at_hand import at_hand, missing_days
from quantgod.planning.estimate import estimate
from quantgod.planning.fitting import findings, whole_table
from quantgod.planning.timing import DaySeconds, WindowSeconds
from quantgod.registry.lineage import Lineage
from quantgod.settings import Settings, load_settings, with_values
from quantgod.simulation.archives import write_archives
from quantgod.tracking.pipeline import CHAINED
from quantgod.tracking.stage import data_path, stage
from quantgod.tracking.store import connect
from tests.stores import fresh_store

SMALL = {
    "simulate.days": 2,
    "simulate.cadence_ms": 5000,
    "model.params": {"tcn_channels": 2, "lstm_hidden": 2, "lstm_layers": 1},
    "optimize.space": {"tcn_channels": [2], "lstm_hidden": [2], "lstm_layers": [1]},
}


OF_BOOKS = {
    "model__name": "tlob",
    "window__length": 120,
    "model__params": {},
    "optimize__space": {},
    "leak_audit__params": {},
}
"""A network that looks at features and snapshots, with its own sizes."""

STARTED, DAY = 6.7, DaySeconds(0.12, 0.17)
WINDOW = WindowSeconds(1.2e-4, 2.6e-5)
"""What `check` timed on two cores: an empty stage, a day of archives, a window."""

TOOK = {
    "simulate": 9.8,
    "etl": 16.8,
    "label": 4.0,
    "optimize": 15.4,
    "train": 19.4,
    "audit": 23.0,
    "register": 6.9,
    "evaluate": 15.1,
    "backtest": 13.5,
    "leak_audit": 20.1,
    "gates": 4.8,
    "promote": 9.0,
}
"""What each stage of the demo took on the same machine within the hour, in seconds."""


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty stage takes seconds, and is timed by one test alone."""
    monkeypatch.setattr(reckoned, "time_start", lambda _: STARTED)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed: all takes what it took there."""
    monkeypatch.setattr(reckoned, "time_day", lambda *_: DAY)
    monkeypatch.setattr(reckoned, "time_features", lambda: 1e-4)
    for name in ("time_network", "time_searched", "time_folds", "time_small"):
        monkeypatch.setattr(reckoned, name, lambda _: WINDOW)


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
    assert list(stages) == ["simulate", *CHAINED], "every stage of `main`, in order"
    assert all(seconds is not None and seconds >= STARTED / 2 for seconds in stages.values())

    write_archives(settings.data.archives, "BTCUSDT", settings.simulate)
    have = at_hand(settings)
    assert have.days_to_read == 2
    assert found(settings)["archives"] == ("ok", "2 days by name, 2024-01-01 to 2024-01-02")


def test_the_demo_is_estimated_to_a_factor_of_two_stage_by_stage(
    timed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reckoned.os, "cpu_count", lambda: 2)
    empty = {f"data.{name}": str(tmp_path / name) for name in ("archives", "bars", "labels")}
    settings = load_settings(Path("conf/demo.yaml"), empty)
    found = estimate(settings, at_hand(settings))
    said = {one.stage: one.seconds or 0.0 for one in found.stages}
    assert said.keys() == TOOK.keys()
    wrong = {
        name: (said[name], TOOK[name]) for name in TOOK if not 0.5 < said[name] / TOOK[name] < 2
    }
    assert wrong == {}
    assert 0.7 < found.seconds / sum(TOOK.values()) < 1.4


FULL_SIZE = WindowSeconds(1 / 18, 1 / 75), WindowSeconds(0.081, 0.025), WindowSeconds(7e-4, 2e-4)
"""The full network, those that its search draws, and the leak audit's, on one core of two."""


def test_half_a_year_takes_two_cores_at_most_ten_hours_from_labels_to_a_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reckoned, "time_day", lambda *_: DAY)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    names = ("time_network", "time_folds", "time_searched", "time_small")
    for name, window in zip(names, (FULL_SIZE[0], *FULL_SIZE), strict=True):
        monkeypatch.setattr(reckoned, name, lambda _, window=window: window)
    empty = {f"data.{name}": str(tmp_path / name) for name in ("archives", "bars", "labels")}
    settings = load_settings(Path("conf/full.yaml"), empty)
    have = at_hand(settings)
    assert have.minutes == 181 * 1440
    found = {one.stage: one.seconds or 0.0 for one in estimate(settings, have).stages}
    assert sum(found.values()) - found["etl"] < 10 * 3600
    alone = load_settings(Path("conf/full.yaml"), {**empty, "train.workers": 1})
    [walk] = [one.seconds for one in estimate(alone, have).stages if one.stage == "audit"]
    assert found["audit"] == pytest.approx(walk * 8 / 15, rel=0.01), "folds 5, 2, 1 beside 4, 3"
    assert found["optimize"] > settings.optimize.hours * 3600, "the last trial begins before"


def test_threads_that_wait_for_others_work_do_not_make_windows_dear(
    own: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = 2

    def use(count: int) -> None:
        nonlocal threads
        threads = count

    monkeypatch.setattr(timing.torch, "set_num_threads", use)
    monkeypatch.setattr(timing.torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(
        timing,
        "_time_batch",
        lambda *_: WindowSeconds(*((3.0, 1.0) if threads > 1 else (2.0, 2.0))),
    )
    settings = settings_with(own, train__threads=2)
    assert (timing.time_network(settings), threads) == (WindowSeconds(2.0, 1.0), 2)
    assert timing.time_network(settings_with(own, train__threads=1)) == (2.0, 2.0)


def test_a_network_of_the_book_is_estimated_with_its_snapshots(
    own: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reckoned, "time_day", lambda *_: DAY)
    monkeypatch.setattr(reckoned, "time_start", lambda _: 0.0)
    params = {"width": 8, "pairs": 1}
    book = {"model__name": "book_mlp", "model__params": params, "leak_audit__params": params}
    asked = {"window__length": 60, "snapshots__block": 8, "snapshots__levels": 3}
    space = {"width": [8], "window_length": [60]}
    settings = settings_with(own, **book, **asked, optimize__space=space)
    found = {one.stage: one.seconds for one in estimate(settings, at_hand(settings)).stages}
    assert list(found) == ["simulate", "etl", "label", "snapshots", *CHAINED[2:]]
    assert found["snapshots"] == found["etl"], "both read every archive"
    assert found["train"]


def test_features_are_reckoned_from_timed_ones(
    own: dict[str, object], timed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < timing.time_features() < 0.05
    monkeypatch.setattr(reckoned, "time_start", lambda _: 0.0)
    params = {"model__params": {}, "leak_audit__params": {}, "optimize__space": {}}
    settings = settings_with(own, model__name="linear", **params)
    found = {one.stage: one.seconds for one in estimate(settings, at_hand(settings)).stages}
    assert found["features"] == 2_880 * 1e-4
    told: list[tuple[int, int, str]] = []
    estimate(settings, at_hand(settings), progress=lambda *step: told.append(step))
    assert told == [
        (0, 2, "an empty stage"), (1, 2, "a day of archives"), (2, 2, ""),
        (0, 5, "the network"), (1, 5, "networks of the search"), (2, 5, "the network of folds"),
        (3, 5, "the network of the leak audit"), (4, 5, "features"), (5, 5, ""),
    ]  # fmt: skip


def test_what_nobody_can_tell_is_not_made_up(own: dict[str, object], timed: None) -> None:
    settings = settings_with(own, data__source="download")
    found = estimate(settings, at_hand(settings))
    first = found.stages[0]
    assert (first.stage, first.seconds) == (
        "download",
        None,
    ) and "as fast as the line" in first.work
    assert found.seconds == sum(one.seconds or 0.0 for one in found.stages[1:])
    imported = settings_with(own, data__source="imported")
    names = [one.stage for one in estimate(imported, at_hand(imported)).stages]
    assert names[0] == "label" and "etl" not in names


def test_rows_without_a_label_are_not_called_labelled(own: dict[str, object]) -> None:
    settings = settings_with(own)
    table = whole_table(settings, 3000)
    path = data_path("labels", settings)
    path.parent.mkdir(parents=True)
    table.to_parquet(path)
    assert (table["target"] == NO_TARGET).sum() == settings.label.horizon_minutes == 15
    have = at_hand(settings)
    assert (have.minutes, have.told) == (2985, "labelled rows at hand")
    pd.DataFrame({"other": [1]}).to_parquet(path)
    assert at_hand(settings).label_rows == 0


@pytest.mark.long
def test_an_empty_stage_is_timed_in_a_store_of_its_own(own: dict[str, object]) -> None:
    seconds = start.time_start(settings_with(own))
    assert 1 < seconds < 60
    assert not Path(str(own["tracking.artifacts"])).exists(), "nothing is made where runs are kept"


def test_an_empty_stage_that_fails_is_told(
    own: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="an empty stage failed"):
        start.time_start(settings_with(own))


@pytest.mark.parametrize(("a_minute", "minutes"), [(0.1, 10), (0.002, 160), (0.0, 1440)])
def test_a_day_is_reckoned_from_as_many_minutes_as_it_takes_to_tell(
    a_minute: float, minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    seen: list[int] = []

    def work(count: int) -> None:
        nonlocal now
        now += count * a_minute if seen else 5.0  # compiled code is loaded
        seen.append(count)

    monkeypatch.setattr(timing.time, "process_time", lambda: now)
    a_day, told = timing._a_day(work, 1440)
    assert (told, seen[-1]) == (minutes, minutes)
    assert a_day == pytest.approx(a_minute * 1440)


@pytest.mark.parametrize(
    ("more", "subject", "text"),
    [
        ({"window__length": 2000}, "rows", "too few for windows of 2000, labels 15 ahead, 2 folds"),
        ({"split__folds": 600}, "rows", "600 folds"),
        ({"train__device": "cuda"}, "device", "cuda was asked for and this machine has none"),
        ({"data__source": "local"}, "archives", "none at "),
        ({"label__horizon_minutes": 1500}, "rows", "labels 1500 ahead"),
        ({"leak_audit__stride": 15}, "leak audit", "stride is 15 minutes and labels reach 15"),
        (
            {**OF_BOOKS, "data__source": "imported"},
            "network",
            "features and snapshots cannot be made of",
        ),
    ],
)
def test_what_would_end_a_run_is_named_before_it_starts(
    own: dict[str, object], more: dict[str, object], subject: str, text: str
) -> None:
    state, said = found(settings_with(own, **more))[subject]
    assert state == "wrong" and text in said


@pytest.mark.parametrize(("free", "state"), [(10**12, "ok"), (10**3, "wrong")])
def test_a_disk_too_small_for_the_archives_to_come_would_end_a_run(
    own: dict[str, object], monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(fitting.shutil, "disk_usage", lambda _: usage)
    assert found(settings_with(own))["disk"][0] == state


def test_a_name_that_holds_another_symbols_versions_is_refused(
    own: dict[str, object], timed: None
) -> None:
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
    timed: None,
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
    assert "On this machine" in said and "What brings it down" in said
    (most, *_) = said.split("most:\n  ")[1].split(": ")
    assert f"{most}: {reckoned.KNOBS[most]}" in said


def test_days_that_are_missing_are_those_between() -> None:
    days = tuple(dt.date(2024, 1, day) for day in (2, 3, 6))
    assert missing_days(days) == [dt.date(2024, 1, 4), dt.date(2024, 1, 5)]
    assert missing_days(()) == []


def test_the_check_ends_with_every_stage_and_a_total(own: dict[str, object]) -> None:
    result = invoke(steps.check.main, own)
    assert result.exit_code == 0, result.output
    for name in ("simulate", *CHAINED):
        assert re.search(rf"│ {name} +│", result.output)
    assert re.search(r"\nAbout \d+ (s|min) in all; `main` skips what an equal run", result.output)
    assert "timing a few steps of every stage: some seconds, and minutes beside" in result.stderr
    assert "machine: 2/2" in result.stderr and "networks: 4/4" in result.stderr
    told = [line for line in result.stderr.splitlines() if line.startswith("networks: ")]
    assert [line.partition(" ")[2] for line in told if not line.endswith(" s)")] == [
        "0/4 the network", "1/4 networks of the search", "2/4 the network of folds",
        "3/4 the network of the leak audit", "4/4 ",
    ], "each before it is timed"  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"model.params": {"foo": 3}}, "model.params: tcn_lstm.foo: unknown parameter"),
        (
            {**{key.replace("__", "."): value for key, value in OF_BOOKS.items()},
             "model.name": "book_mlp", "window.length": 30},
            "window.length: book_mlp looks at prices by the volatility of 60 minutes",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("member", ["", "odd"])
def test_a_network_that_cannot_be_is_refused_before_anything_is_looked_at(
    own: dict[str, object], wrong: dict[str, object], told: str, member: str, tmp_path: Path
) -> None:
    path, values = tmp_path / "own.yaml", settings_with(own).model_dump(mode="json")
    odd = nested(wrong)
    path.write_text(yaml.safe_dump({**values, "members": {member: odd}} if member else values))
    given = [] if member else [f"--set={key}={value}" for key, value in wrong.items()]
    done = CliRunner().invoke(steps.check.main, ["--config", str(path), *given])
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith(f"Error: SettingsError: {'member odd: ' if member else ''}{told}")


def nested(values: dict[str, object]) -> dict[str, dict[str, object]]:
    """Settings by section, of dotted keys."""
    sections: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return sections


def invoke(command: object, own: dict[str, object]) -> Result:
    given = ";".join(f"{key}={value}" for key, value in own.items())
    return CliRunner().invoke(command, ["--set", given])  # type: ignore[arg-type]


def test_each_member_is_looked_at_and_named_with_what_is_wrong_of_it(
    own: dict[str, object], timed: None, tmp_path: Path
) -> None:
    path, values = tmp_path / "members.yaml", settings_with(own).model_dump(mode="json")
    values["members"] = {"fits": {}, "long": {"window": {"length": 2000}}}
    path.write_text(yaml.safe_dump(values))
    done = CliRunner(env={"COLUMNS": "300"}).invoke(steps.check.main, ["--config", str(path)])
    assert done.exit_code == 1
    assert "members.yaml, member fits" in done.output and "members.yaml, member long" in done.output
    assert "quantgod-demo-fits holds 0 versions" in done.output
    assert "member fits: " not in done.output
    assert "Error: member long: rows: " in done.output.partition("members.yaml, member long")[0]
    one = ["--config", str(path), "--member", "fits"]
    assert CliRunner().invoke(steps.check.main, one).exit_code == 0


@pytest.mark.long
def test_members_are_timed_once_and_strides_that_share_no_minute_end_a_run(
    own: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[float] = []
    monkeypatch.setattr(reckoned, "time_start", lambda _: started.append(STARTED) or STARTED)
    monkeypatch.setattr(reckoned, "time_day", lambda *_: DAY)
    for name in ("time_network", "time_searched", "time_small"):
        monkeypatch.setattr(reckoned, name, lambda _: WINDOW)
    path, values = tmp_path / "members.yaml", settings_with(own).model_dump(mode="json")

    def check(first: int, second: int) -> Result:
        strides = {"first": first, "second": second}
        members = {name: {"window": {"stride": stride}} for name, stride in strides.items()}
        path.write_text(yaml.safe_dump({**values, "members": members}))
        return CliRunner(env={"COLUMNS": "300"}).invoke(steps.check.main, ["--config", str(path)])

    fits = check(2, 3)
    assert fits.exit_code == 0 and "minutes that all of them forecast: " in fits.output
    assert len(started) == 1, "once for all of them"
    apart = check(41, 43)
    assert apart.exit_code == 1
    assert "first, second forecast no minute of the validation part in common" in apart.output
    assert "`window.stride` minutes, so give them strides that divide each other" in apart.output


def ensemble_of(own: dict[str, object], **more: object) -> Settings:
    """Two members of the demo's network, one of them with a window of twice the length."""
    small = settings_with(own).window.length
    members = {"near": {}, "far": {"window": {"length": 2 * small}}}
    given = {"members": members, "ensemble": {"strategy": "adaptive"}, "evaluate__stride": 3}
    return settings_with(own, **{**given, **more})


def test_an_ensemble_is_estimated_with_its_members_in_place_of_search_and_training(
    own: dict[str, object], timed: None
) -> None:
    def seconds(settings: Settings) -> dict[str, float]:
        found = estimate(settings, at_hand(settings)).stages
        return {one.stage: (one.seconds or 0.0) for one in found}

    alone = seconds(settings_with(own, evaluate__stride=3, train__workers=1))
    after_another = seconds(ensemble_of(own, members_at_once=1, train__workers=1))
    at_once = seconds(ensemble_of(own, members_at_once=2, train__workers=1))
    searched = [name for name in alone if name not in ("optimize", "train")]
    assert [name for name in at_once if name != "members"] == searched
    starts, folds = reckoned.STARTS["train"] * STARTED, reckoned.STARTS["audit"] * STARTED
    each = alone["train"] + alone["audit"] - folds
    assert after_another["members"] == pytest.approx(2 * each + STARTED)
    assert at_once["members"] == pytest.approx(each + STARTED)
    assert at_once["audit"] == pytest.approx(folds), "the members' folds are there"
    for name in ("evaluate", "leak_audit"):
        start = reckoned.STARTS.get(name, 1.0) * STARTED
        assert start < alone[name] < at_once[name] <= 2 * alone[name] - start + 1e-9
    assert starts < at_once["members"]


@pytest.mark.long
def test_an_ensemble_of_large_networks_is_not_surely_short(own: dict[str, object]) -> None:
    settings = ensemble_of(own)
    minutes = next(
        minutes for minutes in range(1_000, 10**7, 1_000)
        if not work.is_surely_short(settings, minutes)
    )  # fmt: skip
    near = {"members": {"near": {}}}
    assert work.is_surely_short(ensemble_of(own, **near), minutes), "of one member it still is"


WRONG = {
    "evaluate.stride: a divisor of 3, .* expected, got 4": {"evaluate.stride": 4},
    "ensemble.quorum: at most 2, .* got 3": {"ensemble.quorum": 3},
    "ensemble.weights: no member tlob": {"ensemble.weights": {"tlob": 2.0}},
    "ensemble: `members` to combine expected, got none": {"members": {}},
}
COMMANDS = {"check": steps.check.main, "train": steps.train.main, "main": steps.main.main}


@pytest.mark.parametrize("message", WRONG)
def test_an_ensemble_that_could_not_be_audited_or_heard_is_refused_before_any_work(
    own: dict[str, object], timed: None, message: str, tmp_path: Path
) -> None:
    """By `check`, `main` and `train`, whose members would take hours."""
    path = tmp_path / "mine.yaml"
    settings = with_values(ensemble_of(own, audit__stride=3), WRONG[message])
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    for name, command in COMMANDS.items():
        if name == "train" and "none" in message:
            continue  # it trains what is no ensemble
        done = CliRunner(env={"COLUMNS": "300"}).invoke(command, ["--config", str(path)])
        assert done.exit_code == 1, name
        assert re.search(f"Error: .*{message}", done.output), (name, done.output)
    client = connect(settings.tracking)
    experiments = [one.experiment_id for one in client.search_experiments()]
    assert client.search_runs(experiments) == []


def test_check_shows_each_member_and_estimates_the_ensemble_once(
    own: dict[str, object], timed: None, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(ensemble_of(own).model_dump(mode="json"), sort_keys=False))
    done = CliRunner(env={"COLUMNS": "300"}).invoke(steps.check.main, ["--config", str(path)])
    assert done.exit_code == 0, done.output
    assert "mine.yaml, member near" in done.output and "mine.yaml, member far" in done.output
    assert "adaptive of near, far" in done.output
    assert "quantgod-demo holds 0 versions" in done.output
    assert done.output.count(" in all; `main` skips") == 1
    assert re.search(r"│ members +│ [\d,]+ windows trained on", done.output)
    assert not re.search(r"│ (optimize|train) +│", done.output)
