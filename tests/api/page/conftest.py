"""The page of a store with two deployments, a live session and an ensemble of three members."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from quantgod.live.journal import Journal
from quantgod.live.view.status import Status, SymbolStatus
from quantgod.live.view.status_file import keep_status
from tests.api.page.browsing import Browser, started
from tests.api.serving import Served, served
from tests.api.test_change import changes
from tests.api.test_ensemble import ensemble, looked
from tests.api.test_signals import FIRST, journal
from tests.api.test_training import trains
from tests.registry.shelves import NAME, Shelf

__all__ = ["changes", "ensemble", "journal", "looked", "trains"]

SYMBOL = SymbolStatus(
    "BTCUSDT", "synced for 5 s", True, 12.5, last_bar="02-19 21:29 close 100.5", cold={"off": 3},
    model=NAME, version=2, minute=FIRST + 9, close=100.5, drift="drift: near/sell",
    verdicts={"near/sell": "drift"},
)  # fmt: skip
STATUS = Status("quantgod live on binance", (SYMBOL,), 1.5, "9 rows")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    chromium.look()
    return chromium


@pytest.fixture
def shown(shelf: Shelf, ensemble: None, journal: Journal, tmp_path: Path) -> Iterator[Served]:
    """An ensemble, version 2, is in place after version 1, and a session has told of itself."""
    shelf.put(1, why="the first one")
    shelf.put(2, why="it is better")

    async def play() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(keep_status(lambda: STATUS, tmp_path / "journal"), 0.2)

    asyncio.run(play())
    with served(tmp_path) as running:
        yield running
