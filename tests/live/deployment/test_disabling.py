"""A session that follows an alias lets members abstain as the ledger says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from mlflow import MlflowClient

from quantgod.registry.moving import Move, move
from quantgod.registry.registered import known_version
from quantgod.registry.switching import switch_member
from tests.live.deployment.registered import CHALLENGER, Following, ended, point, registry_at
from tests.live.engine.answering import until
from tests.registry.shelves import ALIAS, NAME
from tests.registry.test_ensemble_deployed import ENSEMBLE, NETWORK, Shop, shop
from tests.servers import free_port

__all__ = ["shop"]


def put(number: int) -> None:
    client = MlflowClient()
    found = known_version(client, NAME, number)
    move(client, NAME, ALIAS, lambda _: Move("promotion", found, "a test", forced="a test"))


@pytest.fixture
def in_place(shop: Shop) -> None:
    put(ENSEMBLE)


async def started(folder: Path) -> Following:
    following = Following(folder)
    await following.deployment.start(1.0)
    return following


@pytest.mark.long
def test_it_acts_within_a_poll_is_kept_over_restarts_and_belongs_to_the_version(
    in_place: None, tmp_path: Path
) -> None:
    async def session() -> None:
        following = await started(tmp_path)
        champion = following.deployment.champion
        assert champion().disabled == {}
        running = asyncio.ensure_future(following.deployment.run())
        switch_member(NAME, ALIAS, "far", enabled=False, reason="it lost money")
        said = await following.told("members_disabled")
        assert said == f"{NAME} {ENSEMBLE}: far is disabled: it lost money"
        assert champion().disabled == {"far": "it lost money"}
        point(ENSEMBLE, CHALLENGER)
        await until(lambda: following.deployment.challenger() is not None)
        assert following.deployment.challenger().disabled == {}, "in shadow all are asked"
        point(None, CHALLENGER)
        put(NETWORK)
        await until(lambda: champion().version == NETWORK)
        put(ENSEMBLE)
        await until(lambda: champion().version == ENSEMBLE)
        assert champion().disabled == {"far": "it lost money"}, "from its first minute on"
        await ended(running)

    asyncio.run(session())
    again = asyncio.run(started(tmp_path)).deployment
    assert again.champion().disabled == {"far": "it lost money"}

    async def without_the_registry() -> None:
        with registry_at(f"http://127.0.0.1:{free_port()}"):
            following = await started(tmp_path)
        assert following.count("loaded_copy") == 1
        assert following.deployment.champion().disabled == {"far": "it lost money"}
        running = asyncio.ensure_future(following.deployment.run())
        switch_member(NAME, ALIAS, "far", enabled=True)
        said = await following.told("members_disabled")
        assert said.endswith("no member is disabled any more")
        assert following.deployment.champion().disabled == {}
        await ended(running)

    asyncio.run(without_the_registry())
