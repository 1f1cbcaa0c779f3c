"""Versions that take over under load, versions that stay out, and a registry that goes away."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import sys
import time
import weakref
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path

import mlflow
import numpy as np
import pytest

from quantgod.contracts import FEATURES, Series
from quantgod.contracts.minute_rows import MinuteRows, as_frame
from quantgod.live.deployment import deployment, places
from quantgod.live.deployment.deployment import NoModelError
from quantgod.live.deployment.loaded_model import LoadedModel
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.window import Window
from quantgod.live.journal import BARS, EVENTS, SIGNALS, Journal, read_table
from quantgod.live.journal.model_events import journaled
from quantgod.registry import versions
from quantgod.registry.ownership import OtherSeriesError
from quantgod.registry.promotion import Grounds, promote
from quantgod.registry.registered import NoSuchVersionError
from quantgod.registry.right import UnjudgedVersionError
from quantgod.registry.verdict import REPORT_TAG
from quantgod.registry.versions import load_chain
from tests.live.deployment.registered import (
    CHALLENGER,
    Following,
    before_abstention,
    changed_code,
    changed_file,
    ended,
    hanging_server,
    live_settings,
    odd_contract,
    other_signature,
    point,
    registry_at,
    wrong_golden,
)
from tests.live.engine.answering import minute_of, now, until
from tests.registry.conftest import NAME, WINDOW, Parts, Store, make_parts, make_store, tracked
from tests.registry.judging import FAILED, PASSED, judged
from tests.registry.test_ownership import of_another
from tests.servers import free_port

TABLES = {"BARS": BARS, "SIGNALS": SIGNALS, "EVENTS": EVENTS}
FIRST = 28_401_120


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return make_parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def kept_store(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with three sound versions: 1, 2 and 3."""
    store = make_store(parts, tmp_path_factory.mktemp("store"))
    with tracked(store.uri):
        assert [store.add(parts.package) for _ in range(2)] == [2, 3]
        yield store


@pytest.fixture
def store(kept_store: Store) -> Store:
    """The same, with Production at 1 and no challenger."""
    point(None)
    point(None, CHALLENGER)
    point(1)
    return kept_store


async def entitled(folder: Path, **overrides: object) -> Following:
    following = Following(folder, live_settings(**overrides))
    await following.deployment.start()
    return following


def test_nothing_answers_that_no_gate_has_passed_and_nobody_has_promoted(
    store: Store, tmp_path: Path
) -> None:
    """Whoever moved the alias, MLflow's own pages included; a challenger needs no right."""
    refuse = {"live.unjudged": "refuse"}
    mlflow.set_experiment(experiment_id=store.experiment)
    with pytest.raises(
        UnjudgedVersionError, match=r"quantgod 1 has not been judged.* --version 1`"
    ):
        asyncio.run(entitled(tmp_path, **refuse))
    warned = asyncio.run(entitled(tmp_path))
    assert warned.count("unjudged") == warned.count("loaded") == 1
    with (
        registry_at(f"http://127.0.0.1:{free_port()}"),
        pytest.raises(NoModelError, match=r"deployed on .* by no right"),
    ):
        asyncio.run(entitled(tmp_path, **refuse))  # the copy that was left has none either

    async def session() -> None:
        following = await entitled(tmp_path, **refuse)
        running = asyncio.ensure_future(following.deployment.run())
        point(2)
        point(2, CHALLENGER)
        said = await following.told("refused")
        assert "version 2 stays out: quantgod 2: 1 of 2 gates passed; failed: ece" in said
        assert "and was never promoted as Production: " in said
        await until(lambda: following.deployment.challenger() is not None)
        assert following.version == 1
        point(3)
        assert "waits for the next candle" in await following.told("ready", 2)
        assert following.version == 3
        await ended(running)

    try:
        run = judged(tmp_path, 1, PASSED).run_id
        judged(tmp_path, 2, PASSED, FAILED)
        point(None)
        promote(NAME, 3, why=Grounds("a test", force=True), tryout=lambda *_: None)
        point(1)
        following = asyncio.run(entitled(tmp_path, **refuse))
        assert f"from the registry: gates passed (run {run})" in following.notices[-1].text
        asyncio.run(session())
    finally:
        for number in ("1", "2"):
            mlflow.MlflowClient().delete_model_version_tag(NAME, number, REPORT_TAG)


def features_at(parts: Parts, minute: int) -> np.ndarray:
    rows = parts.bars[list(FEATURES)].to_numpy()
    return np.asarray(rows[(minute - FIRST) % len(rows)])


def rows_until(parts: Parts, minute: int) -> MinuteRows:
    minutes = np.arange(minute - WINDOW + 1, minute + 1)
    return MinuteRows(minutes, np.stack([features_at(parts, int(one)) for one in minutes]))


async def market(engine: Engine, parts: Parts) -> None:
    """Close minutes as fast as they are answered, until cancelled."""
    minute = FIRST + WINDOW
    while True:
        engine.closed("X", minute_of(minute, features_at(parts, minute)), now())
        await until(lambda: engine._unanswered < 2)
        minute += 1


@pytest.mark.long
def test_versions_take_over_under_load_and_each_candle_is_answered_once(
    store: Store, parts: Parts, tmp_path: Path
) -> None:
    broken = {
        changed_file(store, parts): "changed_file: booster.ubj",
        changed_code(store, parts, tmp_path / "it_ran"): "changed_file: chain.py",
        wrong_golden(store, parts, tmp_path): "golden_output: prob_buy is off by 0.001",
        odd_contract(store, parts, tmp_path): "'list' object has no attribute 'get'",
        other_signature(store, parts): "its signature is not the one",
        before_abstention(store, parts): "in_set_buy, action, abstention, so what it would act on",
    }
    following = Following(tmp_path / "models")

    async def promotions() -> None:
        point(2)
        await following.told("swapped", 1)
        for times, (number, reason) in enumerate(broken.items(), start=1):
            point(number)
            text = await following.told("refused", times)
            assert f"version {number} stays out" in text
            assert reason in text
            assert "quantgod 2 goes on" in text
        point(None)
        await following.told("alias_removed")
        point(3)
        await following.told("swapped", 2)
        with registry_at(f"http://127.0.0.1:{free_port()}"):
            await following.told("registry_away")
        await following.told("registry_back")
        point(1)
        await following.told("swapped", 3)

    async def play(journal: Journal) -> None:
        following.deployment._report = journaled(journal, following.notices.append)
        await following.deployment.start()
        window = Window(5)
        window.fill(rows_until(parts, FIRST + WINDOW - 1))
        engine = Engine(
            {"X": window}, {"X": following.deployment}, journal, following.notices.append
        )
        running = [asyncio.create_task(engine.run()), asyncio.create_task(market(engine, parts))]
        polling = asyncio.create_task(following.deployment.run())
        await promotions()
        answered = len(engine.latencies_ms)
        await until(lambda: len(engine.latencies_ms) > answered + 5)
        for task in (running[1], polling, running[0]):
            await ended(task)

    with Journal(tmp_path / "live", TABLES, live_settings().live.journaling) as journal:
        asyncio.run(play(journal))

    signals = read_table(tmp_path / "live", "SIGNALS").to_pylist()
    minutes = [row["minute"] for row in signals]
    bars = read_table(tmp_path / "live", "BARS", ["minute"])["minute"].to_pylist()
    assert minutes == bars == list(range(FIRST + WINDOW, FIRST + WINDOW + len(bars)))
    assert [version for version, _ in groupby(row["version"] for row in signals)] == [1, 2, 3, 1]
    wrong = {"prediction_failed", "late", "copy_failed", "not_journaled"}
    assert not wrong & {notice.code for notice in following.notices}
    events = read_table(tmp_path / "live", "EVENTS").to_pylist()
    refused = [row["detail"] for row in events if (row["kind"], row["code"]) == ("swap", "refused")]
    assert len(refused) == len(broken)
    assert not (tmp_path / "it_ran").exists()
    said = load_chain(NAME, 1).predict(as_frame(rows_until(parts, minutes[-1]))).iloc[0]
    for name in ("base_sell", "prob_neutral", "prob_buy", "class", "uncertainty"):
        assert signals[-1][name] == said[name]


@pytest.mark.long
def test_twenty_swaps_leave_one_version_in_memory_and_on_disk(store: Store, tmp_path: Path) -> None:
    following = Following(tmp_path / "models")
    models: list[weakref.ref[LoadedModel]] = []
    chains: list[weakref.ref[object]] = []

    async def play() -> None:
        await following.deployment.start()
        polling = asyncio.create_task(following.deployment.run())
        for swap in range(1, 21):
            point(1 + swap % 2)
            await following.told("ready", swap)
            champion = following.deployment.champion()
            models.append(weakref.ref(champion))
            chains.append(weakref.ref(champion._model.unwrap_python_model().chain))
        await until(lambda: len(list((tmp_path / "models" / NAME).glob("[0-9]*"))) == 1)
        await ended(polling)

    asyncio.run(play())
    gc.collect()
    assert [model() is None for model in models] == [True] * 19 + [False]
    assert [chain() is None for chain in chains] == [True] * 19 + [False]
    loaded = [name for name in sys.modules if name.startswith("code_model_")]
    assert not [name for name in loaded if str(tmp_path) in str(sys.modules[name].__file__)]
    assert [path.name for path in (tmp_path / "models" / NAME).glob("*.json")] == [
        "Production.json"
    ]


@pytest.mark.long
def test_a_version_that_fails_is_not_tried_again_with_every_poll(
    store: Store, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = changed_file(store, parts)
    following = Following(tmp_path / "models")
    tried: list[tuple[int, float]] = []
    asked: list[str] = []
    fetch, ask = deployment.ModelStore.fetch, deployment.holder

    def noted(self: deployment.ModelStore, wanted: deployment.Holder) -> deployment.Copy:
        tried.append((wanted.version, time.monotonic()))
        return fetch(self, wanted)

    def counted(name: str, alias: str) -> deployment.Holder | None:
        asked.append(alias)
        return ask(name, alias)

    monkeypatch.setattr(deployment.ModelStore, "fetch", noted)
    monkeypatch.setattr(deployment, "holder", counted)

    async def play() -> None:
        await following.deployment.start()
        polling = asyncio.create_task(following.deployment.run())
        point(number)
        await until(lambda: len(tried) == 4)
        assert following.count("refused") == 1  # for the same reason: told once
        point(1)
        before = asked.count("Production")
        await until(lambda: asked.count("Production") > before + 1)  # one began after the move
        point(number)  # the alias moved
        await following.told("refused", 2)
        assert following.version == 1
        await ended(polling)

    asyncio.run(play())
    assert [version for version, _ in tried[:4]] == [1, number, number, number]
    waits = [later - sooner for (_, sooner), (_, later) in pairwise(tried[1:4])]
    poll_seconds = live_settings().live.poll_seconds
    for times, wait in enumerate(waits, start=1):
        assert wait >= places.retry_seconds(poll_seconds, times) > 10 * poll_seconds


@pytest.mark.long
def test_a_sound_version_need_not_wait_until_a_broken_one_may_be_tried_again(
    store: Store, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "RETRY_POLLS", 1_000_000)
    monkeypatch.setattr(places, "MOST_RETRY_SECONDS", 1e6)
    following = Following(tmp_path / "models")
    number = changed_file(store, parts)

    async def play() -> None:
        await following.deployment.start()
        polling = asyncio.create_task(following.deployment.run())
        point(number)
        await following.told("refused")
        point(2)
        await following.told("ready")
        assert following.version == 2
        await ended(polling)

    asyncio.run(play())


def test_an_alias_that_moves_back_before_the_swap_lets_nothing_take_over(
    store: Store, tmp_path: Path
) -> None:
    following = Following(tmp_path / "models")

    async def play() -> None:
        await following.deployment.start()
        polling = asyncio.create_task(following.deployment.run())
        point(2)
        await following.told("ready")
        point(1)
        text = await following.told("withdrawn")
        assert "quantgod 2 will not take over" in text
        assert following.version == 1
        assert following.count("swapped") == 0
        await ended(polling)

    asyncio.run(play())


@pytest.mark.long
def test_an_alias_that_moves_back_while_a_version_is_fetched_lets_nothing_stand_ready(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = Following(tmp_path / "models")
    fetch = deployment.ModelStore.fetch
    fetched: list[int] = []

    def moving(self: deployment.ModelStore, wanted: deployment.Holder) -> deployment.Copy:
        copy = fetch(self, wanted)
        if wanted.version == 2:
            point(1)
        fetched.append(wanted.version)
        return copy

    async def play() -> None:
        await following.deployment.start()
        monkeypatch.setattr(deployment.ModelStore, "fetch", moving)
        point(2)
        polling = asyncio.create_task(following.deployment.run())
        await until(lambda: fetched == [2])
        point(3)
        await following.told("ready")  # the next one: whatever came of 2 is over
        await ended(polling)

    asyncio.run(play())
    assert [notice.text for notice in following.notices if notice.code == "ready"] == [
        "Production: quantgod 3 is verified and waits for the next candle"
    ]


@pytest.mark.long
def test_a_registry_that_hangs_is_told_of_and_changes_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = Following(tmp_path / "models")
    monkeypatch.setattr(deployment, "ANSWER_SECONDS", 0.2)

    async def play() -> None:
        await following.deployment.start(patience=60)
        polling = asyncio.create_task(following.deployment.run())
        with hanging_server() as address, registry_at(address):
            text = await following.told("registry_away")
            assert "no answer within 0.2 s; quantgod 1 goes on" in text
        point(2)
        await following.told("registry_back")
        await following.told("ready")
        assert following.version == 2
        await ended(polling)

    asyncio.run(play())
    assert following.count("registry_away") == 1


@pytest.mark.long
def test_where_no_copy_can_be_made_the_loaded_version_goes_on(store: Store, tmp_path: Path) -> None:
    following = Following(tmp_path / "models")

    async def play() -> None:
        await following.deployment.start()
        polling = asyncio.create_task(following.deployment.run())
        (tmp_path / "models").rename(tmp_path / "gone")
        (tmp_path / "models").write_text("in the way")
        point(2)
        assert "quantgod 2: no copy can be made: " in await following.told("refused")
        assert following.version == 1
        (tmp_path / "models").unlink()
        await following.told("ready")  # tried again after a while
        shutil.rmtree(tmp_path / "models")
        assert following.version == 2
        assert " is gone" in await following.told("copy_failed")
        await ended(polling)

    asyncio.run(play())


def test_a_challenger_comes_swaps_and_goes_and_one_that_is_broken_stays_out(
    store: Store, parts: Parts, tmp_path: Path
) -> None:
    following = Following(tmp_path / "models")
    number = changed_file(store, parts)
    rows = as_frame(rows_until(parts, FIRST + WINDOW))

    async def play() -> None:
        await following.deployment.start()
        assert following.deployment.challenger() is None
        polling = asyncio.create_task(following.deployment.run())
        for times, version in enumerate((2, 3), start=1):
            point(version, CHALLENGER)
            await following.told("ready", times)
            challenger = following.deployment.challenger()
            assert challenger is not None
            assert challenger.version == version
            assert challenger.predict(rows).minute == FIRST + WINDOW
        point(number, CHALLENGER)
        await following.told("refused")
        assert "shadow 3" in following.deployment.describe()
        point(None, CHALLENGER)
        await until(lambda: following.deployment.challenger() is None)
        assert following.version == 1
        assert following.count("alias_removed") == 0  # none is the normal case
        await ended(polling)

    asyncio.run(play())


def started(folder: Path, patience: float = 15.0) -> Following:
    following = Following(folder)
    asyncio.run(following.deployment.start(patience))
    return following


def test_without_the_registry_a_start_takes_the_copy_that_was_deployed_last(
    store: Store, parts: Parts, tmp_path: Path
) -> None:
    point(3)
    assert started(tmp_path).count("loaded") == 1
    record = json.loads((tmp_path / NAME / "Production.json").read_text())
    with registry_at(f"http://127.0.0.1:{free_port()}"):
        following = started(tmp_path)
    notice = following.notices[-1]  # a copy that has no right to it is warned of before
    assert (notice.level, notice.code) == ("warning", "loaded_copy")
    assert "quantgod 3, from the copy that was deployed on " in notice.text
    assert record["deployed_at"] in notice.text
    assert following.version == 3
    rows = as_frame(rows_until(parts, FIRST + WINDOW))
    expected = load_chain(NAME, 3).predict(rows).iloc[0]
    said = following.deployment.champion().predict(rows)
    assert said.audited == tuple(expected[["prob_sell", "prob_neutral", "prob_buy"]])
    assert json.loads((tmp_path / NAME / "Production.json").read_text()) == record


@pytest.mark.long
def test_a_registry_that_hangs_holds_up_a_start_only_so_long_and_the_loop_never(
    store: Store, tmp_path: Path
) -> None:
    started(tmp_path)

    async def play() -> float:
        loop = asyncio.get_running_loop()
        following = Following(tmp_path)
        starting = asyncio.create_task(following.deployment.start(patience=0.3))
        worst = 0.0
        while not starting.done():
            before = loop.time()
            await asyncio.sleep(0.01)
            worst = max(worst, loop.time() - before - 0.01)
        await starting
        assert "no answer within 0.3 s" in await following.told("loaded_copy")
        return worst

    with hanging_server() as address, registry_at(address):
        assert asyncio.run(play()) < 0.25  # a call that waited for the server would take 20 s


@pytest.mark.long
def test_a_copy_that_was_changed_is_refused_by_the_file_and_so_is_a_start_without_any(
    store: Store, tmp_path: Path
) -> None:
    started(tmp_path)
    (copy,) = (tmp_path / NAME).glob("1-*")
    whole = {path: path.read_bytes() for path in copy.rglob("*.*") if path.suffix != ".pyc"}
    with registry_at(f"http://127.0.0.1:{free_port()}"):
        for name in ("graph.onnx", "booster.ubj", "chain.py", "golden_output.json"):
            (path,) = copy.rglob(name)
            path.write_bytes(whole[path][:-1] + b"!")
            with pytest.raises(NoModelError, match=f"from this disk: changed_file: {name} is not"):
                started(tmp_path)
            path.write_bytes(whole[path])
        assert started(tmp_path).version == 1
        with pytest.raises(NoModelError, match=r"from this disk: .* no copy was kept"):
            started(tmp_path / "elsewhere")
    (copy / "requirements.txt").write_text("anything")
    following = started(tmp_path)  # the registry is there: a sound copy takes its place
    assert following.count("loaded") == 1
    assert whole[copy / "requirements.txt"] == (copy / "requirements.txt").read_bytes()


def test_a_start_whose_version_is_broken_takes_the_copy_and_one_without_an_alias_none(
    store: Store, parts: Parts, tmp_path: Path
) -> None:
    started(tmp_path)
    point(changed_file(store, parts))
    following = started(tmp_path)
    assert following.version == 1
    assert "changed_file: booster.ubj" in following.notices[-1].text
    with pytest.raises(NoModelError, match=r"from the registry: changed_file: booster\.ubj"):
        started(tmp_path / "elsewhere")
    point(None)
    with pytest.raises(NoSuchVersionError, match="no version has this alias"):
        started(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "longest", "reason"),
    [
        ({"etl.max_bridge_minutes": 4}, 720, "max_bridge_minutes: 4 expected, it has 5"),
        ({}, 719, "window: at most 719 rows are kept, got 720"),
    ],
)
def test_a_version_made_for_something_else_is_refused(
    store: Store, tmp_path: Path, overrides: dict[str, int], longest: int, reason: str
) -> None:
    following = Following(tmp_path, live_settings(**overrides), longest_window=longest)
    with pytest.raises(NoModelError, match=reason):
        asyncio.run(following.deployment.start())


def test_a_version_of_another_symbol_stays_out_and_a_start_with_it_is_refused(
    store: Store, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an old store may hold one: today none is registered under the name of another."""
    monkeypatch.setattr(versions, "check_name", lambda *_: None)
    number = store.add(of_another(parts, Series("ETHUSDT", "linear"), tmp_path / "foreign"))
    following = Following(tmp_path / "models")

    async def play() -> None:
        await following.deployment.start()
        polling = asyncio.create_task(following.deployment.run())
        point(number)
        told = await following.told("refused")
        assert f"{NAME} {number} is of ETHUSDT (linear, book), and BTCUSDT (linear, book)" in told
        assert following.version == 1
        await ended(polling)
        with pytest.raises(OtherSeriesError, match=f"{NAME} {number} is of ETHUSDT"):
            await Following(tmp_path / "models").deployment.start()

    asyncio.run(play())
