"""What a deployment makes of each answer of the registry: by a fake one and a clock that is set."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from quantgod.contracts import BookShape
from quantgod.contracts.model_notices import ModelNotice
from quantgod.live.deployment import deployment as deploying
from quantgod.live.deployment.beside import beside
from quantgod.live.deployment.deployment import Deployment, NoModelError, model_of, models_of
from quantgod.live.deployment.model_store import Copy, Holder, Kept, NoCopyError, RegistryAwayError
from quantgod.live.deployment.places import retry_seconds
from quantgod.registry.registered import BrokenVersionError, NoSuchVersionError
from quantgod.registry.right import UnjudgedVersionError
from quantgod.settings import Settings, load_settings
from tests.live.engine.answering import Version
from tests.test_settings import FULL

POLL = 10.0
PRODUCTION, CHALLENGER = "Production", "Challenger"


def settings(**overrides: Any) -> Settings:
    own = {"live.poll_seconds": POLL, "live.unjudged": "refuse", "registry.name": "models"}
    return load_settings(FULL, own | overrides)


class Registry:
    """Who holds which alias, what is wrong with which version, and what is on the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.holders: dict[str, int | Exception | None] = {PRODUCTION: 1, CHALLENGER: None}
        self.faults: dict[int, Exception] = {}
        self.rights: dict[int, str] = {}
        self.at_fetch: Callable[[], None] = lambda: None
        self.fetched: list[int] = []
        self.records: list[tuple[Any, ...]] = []
        self.disk: Exception | Kept = NoCopyError("no copy was kept")
        self.disk_fault: OSError | None = None
        monkeypatch.setattr(deploying, "holder", self.holder)
        monkeypatch.setattr(deploying, "right", self.right)
        monkeypatch.setattr(deploying, "load_model", self.load)
        monkeypatch.setattr(deploying, "ModelStore", lambda folder, name: self)

    def holder(self, name: str, alias: str) -> Holder | None:
        assert name == "models"
        found = self.holders[alias]
        if isinstance(found, Exception):
            raise found
        return None if found is None else Holder(found, f"{found}")

    def right(self, name: str, alias: str, version: int) -> str:
        assert (name, alias) == ("models", PRODUCTION)
        if version not in self.rights and version > 5:
            raise UnjudgedVersionError(f"{version} has not been judged")
        return self.rights.get(version, "gates passed")

    def load(self, name: str, version: int, folder: Path, fit: Any) -> Any:
        assert (fit.max_bridge_minutes, fit.book) == (5, BookShape(100, 20, 100))
        return Version(version)

    def fetch(self, wanted: Holder) -> Copy:
        self.fetched.append(wanted.version)
        self.at_fetch()
        if wanted.version in self.faults:
            raise self.faults[wanted.version]
        return Copy(wanted.version, str(wanted.version), Path(str(wanted.version)))

    def keep(
        self, alias: str, copy: Copy, in_use: Sequence[Copy], right: str, disabled: Any
    ) -> None:
        assert not disabled, "one network has no members"
        if self.disk_fault is not None:
            raise self.disk_fault
        self.records.append((alias, copy.version, [one.version for one in in_use], right))

    def kept(self, alias: str) -> Kept:
        assert alias == PRODUCTION
        if isinstance(self.disk, Exception):
            raise self.disk
        return self.disk


class Desk:
    """A deployment whose polls the test makes one by one."""

    def __init__(self, registry: Registry, **overrides: Any) -> None:
        self.registry = registry
        self.notices: list[ModelNotice] = []
        self.all = Deployment(settings(**overrides), "BTCUSDT", Path(), self.notices.append)

    async def poll(self, seconds: float = POLL) -> list[str]:
        """Look at both aliases, so many seconds later; gives the codes of what was told."""
        self.now += seconds
        before = len(self.notices)
        for place in self.all._places:
            await self.all._look(place)
        await self.all._record()
        return [notice.code for notice in self.notices[before:]]

    def run(self, play: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            self.now = 1_000.0
            asyncio.get_running_loop().time = lambda: self.now  # type: ignore[method-assign]
            await self.all.start()
            await play(self)

        asyncio.run(whole())

    @property
    def last(self) -> str:
        return self.notices[-1].text


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    return Registry(monkeypatch)


def test_an_alias_that_stays_changes_nothing_and_one_that_moves_is_told_step_by_step(
    registry: Registry,
) -> None:
    async def play(desk: Desk) -> None:
        assert desk.notices[0].text == "models 1, from the registry: gates passed"
        assert registry.records == [(PRODUCTION, 1, [1], "gates passed")]
        assert await desk.poll() == []
        registry.holders[PRODUCTION] = 2
        assert await desk.poll() == ["ready"]
        assert await desk.poll() == [], "it is ready already"
        assert desk.all.describe() == "models 1"
        assert registry.records[1:] == [(PRODUCTION, 1, [1, 2], "gates passed")]
        assert desk.all.champion().version == 2
        assert desk.last == "models 2 answers as Production, after version 1"
        assert desk.all.champion().version == 2
        assert await desk.poll() == []
        assert registry.records[2:] == [(PRODUCTION, 2, [2], "gates passed")]
        registry.holders[PRODUCTION] = 3
        assert await desk.poll() == ["ready"]
        registry.holders[PRODUCTION] = 2
        assert await desk.poll() == ["withdrawn"]
        assert await desk.poll() == []
        assert desk.all.champion().version == 2
        registry.holders[PRODUCTION] = 3
        assert await desk.poll() == ["ready"]
        registry.holders[PRODUCTION] = 4
        assert await desk.poll() == ["ready"], "another one takes the place of what was ready"
        registry.holders[PRODUCTION] = None
        assert await desk.poll() == ["withdrawn", "alias_removed"]
        assert desk.last == "Production: nobody holds it any more; models 2 goes on"
        assert await desk.poll() == []
        registry.holders[PRODUCTION] = 2
        assert await desk.poll() == []
        registry.holders[PRODUCTION] = None
        assert await desk.poll() == ["alias_removed"], "it was there in between"
        assert desk.all.champion().version == 2
        assert registry.fetched == [1, 2, 3, 3, 4]

    Desk(registry).run(play)
    assert registry.records[-1] == (PRODUCTION, 2, [2], "gates passed")


def test_a_challenger_answers_beside_the_champion_by_no_right(registry: Registry) -> None:
    async def play(desk: Desk) -> None:
        assert desk.all.challenger() is None
        registry.holders[CHALLENGER] = 9
        assert await desk.poll() == ["ready"]
        challenger = desk.all.challenger()
        assert challenger is not None
        assert challenger.version == 9
        assert desk.last == "models 9 answers as Challenger, after nothing"
        assert desk.all.describe() == "models 1, shadow 9"
        assert await desk.poll() == []
        assert registry.records[-1] == (PRODUCTION, 1, [1, 9], "gates passed")
        registry.holders[CHALLENGER] = None
        assert await desk.poll() == []
        assert desk.all.challenger() is None
        assert desk.all.describe() == "models 1"
        assert registry.records[-1] == (PRODUCTION, 1, [1], "gates passed")
        registry.holders[PRODUCTION] = 9
        assert await desk.poll() == ["refused"]
        assert "version 9 stays out: 9 has not been judged; models 1 goes on" in desk.last

    Desk(registry).run(play)


def test_a_registry_that_is_away_is_told_of_once_and_by_the_champions_alias(
    registry: Registry,
) -> None:
    async def play(desk: Desk) -> None:
        registry.holders[CHALLENGER] = RegistryAwayError("challenger")
        assert await desk.poll() == [], "the champion's alias can be asked"
        registry.holders[PRODUCTION] = RegistryAwayError("no route")
        assert await desk.poll() == ["registry_away"]
        assert desk.last == "no route; models 1 goes on"
        assert await desk.poll() == []
        registry.holders[CHALLENGER] = None
        assert await desk.poll() == []
        registry.holders[PRODUCTION] = 1
        assert await desk.poll() == ["registry_back"]
        assert desk.last == "models@Production can be asked again"
        assert await desk.poll() == []
        registry.holders[PRODUCTION] = RegistryAwayError("no route")
        assert await desk.poll() == ["registry_away"]
        registry.holders[PRODUCTION] = None
        assert await desk.poll() == ["registry_back", "alias_removed"]

    Desk(registry).run(play)


def test_a_version_that_is_broken_is_tried_again_at_its_time_and_told_again_for_another_reason(
    registry: Registry,
) -> None:
    first, second, third = (retry_seconds(POLL, times) for times in (1, 2, 3))
    assert (first, second, third) == (120.0, 240.0, 480.0)

    async def play(desk: Desk) -> None:
        registry.holders[PRODUCTION] = 2
        registry.faults[2] = BrokenVersionError("bits")
        assert await desk.poll() == ["refused"]
        assert desk.last == "Production: version 2 stays out: bits; models 1 goes on"
        for wait in (first, second):
            assert await desk.poll(wait - 0.5) == []
            tried = len(registry.fetched)
            assert await desk.poll(0.5) == [], "told already"
            assert len(registry.fetched) == tried + 1
        registry.faults[2] = BrokenVersionError("bytes")
        assert await desk.poll(third) == ["refused"]
        registry.holders[PRODUCTION] = 3
        registry.faults[3] = BrokenVersionError("bytes")
        assert await desk.poll() == ["refused"], "another version, and at once"
        assert await desk.poll(first - 0.5) == []
        registry.holders[PRODUCTION] = 1
        assert await desk.poll() == []
        registry.holders[PRODUCTION] = 3
        assert await desk.poll() == ["refused"], "the alias had moved"
        registry.holders[PRODUCTION] = None
        assert await desk.poll() == ["alias_removed"]
        registry.holders[PRODUCTION] = 3
        del registry.faults[3]
        assert await desk.poll() == ["ready"]
        assert desk.all.champion().version == 3

    Desk(registry).run(play)


def test_an_alias_that_moves_while_a_version_is_fetched_makes_nothing_ready(
    registry: Registry,
) -> None:
    async def play(desk: Desk) -> None:
        registry.holders[PRODUCTION] = 2
        registry.at_fetch = lambda: registry.holders.update({PRODUCTION: 3})
        assert await desk.poll() == []
        registry.at_fetch = lambda: registry.holders.update({PRODUCTION: RegistryAwayError("gone")})
        assert await desk.poll() == ["ready"], "it was promoted when the registry last answered"
        assert desk.all.champion().version == 3

    Desk(registry).run(play)


def test_a_copy_that_cannot_be_kept_is_told_once_until_one_is(registry: Registry) -> None:
    async def play(desk: Desk) -> None:
        registry.disk_fault = OSError("no room")
        registry.holders[PRODUCTION] = 2
        assert await desk.poll() == ["ready", "copy_failed"]
        assert desk.last == "models 1: no room"
        assert await desk.poll() == []
        registry.disk_fault = None
        assert await desk.poll() == []
        assert registry.records[-1] == (PRODUCTION, 1, [1, 2], "gates passed")
        registry.disk_fault = OSError("no room")
        desk.all.champion()
        assert await desk.poll() == ["copy_failed"]

    Desk(registry).run(play)


def test_what_has_no_right_is_refused_or_warned_of(registry: Registry) -> None:
    registry.holders[PRODUCTION] = 7
    with pytest.raises(UnjudgedVersionError, match="7 has not been judged"):
        Desk(registry).run(nothing)
    warned = Desk(registry, **{"live.unjudged": "warn"})
    warned.run(nothing)
    assert [notice.code for notice in warned.notices] == ["unjudged", "loaded"]
    assert warned.notices[1].text == "models 7, from the registry"
    assert registry.records == [(PRODUCTION, 7, [7], "")]


async def nothing(desk: Desk) -> None:
    assert desk.all.champion().version


@pytest.mark.parametrize("by", ["gates passed", ""])
def test_a_start_without_the_registry_takes_a_copy_by_the_right_that_it_had(
    by: str, registry: Registry
) -> None:
    registry.holders[PRODUCTION] = RegistryAwayError("no route")
    with pytest.raises(NoModelError, match="from the registry: no route; from this disk: no copy"):
        Desk(registry).run(nothing)
    registry.disk = Kept(Copy(4, "4", Path("4")), "noon", by, {})
    if by:
        desk = Desk(registry)
        desk.run(nothing)
        told = "models 4, from the copy that was deployed on noon: no route"
        assert (desk.notices[0].level, desk.last) == ("warning", told)
    else:
        with pytest.raises(
            NoModelError, match="models 4: the copy was deployed on noon by no right"
        ):
            Desk(registry).run(nothing)


def test_a_start_needs_somebody_to_hold_the_alias(registry: Registry) -> None:
    registry.holders[PRODUCTION] = None
    registry.disk = Kept(Copy(4, "4", Path("4")), "noon", "gates passed", {})
    with pytest.raises(NoSuchVersionError, match="no version has this alias"):
        Desk(registry).run(nothing)
    with pytest.raises(NoModelError, match=r"start\(\) was expected"):
        Desk(registry).all.champion()
    assert Desk(registry).all.describe() == "no model"


def test_it_polls_again_and_again(registry: Registry) -> None:
    polled = threading.Semaphore(0)
    holder = registry.holder

    def noted(name: str, alias: str) -> Holder | None:
        polled.release()
        return holder(name, alias)

    registry.holder = noted  # type: ignore[method-assign]
    desk = Desk(registry, **{"live.poll_seconds": 0.001})

    async def play() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deploying, "holder", noted)
            running = asyncio.create_task(desk.all.run())
            for _ in range(6):
                assert await asyncio.to_thread(polled.acquire, timeout=10)
            running.cancel()

    asyncio.run(play())
    assert registry.records == [], "nothing answers yet"


def test_what_is_called_beside_the_loop_ends_with_the_process_and_tells_how_it_ended() -> None:
    assert asyncio.run(beside(lambda: threading.current_thread().daemon)) is True
    with pytest.raises(ZeroDivisionError):
        asyncio.run(beside(lambda: 1 // 0))


@pytest.mark.parametrize("fails", [True, False])
def test_nobody_hears_how_a_call_ended_that_was_given_up(fails: bool) -> None:
    gate, done, troubles = threading.Event(), threading.Event(), list[dict[str, Any]]()
    before = set(threading.enumerate())

    def call() -> int:
        gate.wait(10)
        return 1 // (0 if fails else 1)

    async def play() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, trouble: troubles.append(trouble))
        task = asyncio.create_task(beside(call))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        gate.set()
        for thread in set(threading.enumerate()) - before:
            await asyncio.to_thread(thread.join, 10)
        await asyncio.sleep(0.001)
        done.set()

    asyncio.run(play())
    assert done.is_set()
    assert troubles == []


def test_each_symbol_has_a_model_of_its_own() -> None:
    two = settings(**{"live.models": {"ETHUSDT": "ether"}})
    assert model_of(two, "BTCUSDT") == "models"
    assert models_of(two, ["BTCUSDT", "ETHUSDT"]) == {"BTCUSDT": "models", "ETHUSDT": "ether"}
    with pytest.raises(NoModelError, match="XRPUSDT: no registered model is named for it"):
        models_of(two, ["BTCUSDT", "XRPUSDT"])
    same = settings(**{"live.models": {"ETHUSDT": "models", "XRPUSDT": "ripple"}})
    with pytest.raises(NoModelError, match="models is named for BTCUSDT and ETHUSDT, and a"):
        models_of(same, ["BTCUSDT", "XRPUSDT", "ETHUSDT"])
