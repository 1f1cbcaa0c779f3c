"""Two symbols in one session, each answered by its own registered model and by no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from quantgod.archive.etl import run_etl
from quantgod.archive.store import load_bars
from quantgod.contracts import FEATURES, Series
from quantgod.live.deployment.deployment import NoModelError
from quantgod.live.journal import read_table
from quantgod.live.runner import Outcome, run_live
from quantgod.registry.ownership import OtherSeriesError
from quantgod.registry.package import GoldenRows, build_package
from quantgod.registry.versions import load_chain, register
from quantgod.settings import Settings, load_settings
from quantgod.simulation.archives import write_archives
from quantgod.simulation.exchange.archived import simulated_truth
from quantgod.simulation.exchange.server import Exchange
from tests.registry.conftest import (
    BRIDGE,
    NAME,
    Parts,
    Store,
    parts,
    registered,
    tiny_network,
    tracked,
)

__all__ = ["parts", "registered"]

CONFIG = Path("tests/live/live.yaml")
BTC, ETH, OTHER = "BTCUSDT", "ETHUSDT", "quantgod-eth"
WINDOWS = {BTC: 720, ETH: 60}
NAMES = {BTC: NAME, ETH: OTHER}
CANDLES = 5


@dataclass(frozen=True)
class Desk:
    """Two registered models, bars of both symbols, and a place for a session."""

    bars: Path
    folder: Path

    def settings(self, **overrides: object) -> Settings:
        own: dict[str, object] = {
            "registry.name": NAME,
            "live.symbols": [BTC, ETH],
            "live.models": {ETH: OTHER},
            "live.history": str(self.bars),
            "live.journal": str(self.folder / "journal"),
            "live.copies": str(self.folder / "copies"),
            "live.max_candles": CANDLES,
        }
        return load_settings(CONFIG, own | overrides)

    def rows(self, table: str) -> pd.DataFrame:
        return read_table(self.folder / "journal", table).to_pandas()


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of two markets, and what `etl` makes of them; an exchange plays their last day."""
    folder, settings = tmp_path_factory.mktemp("markets"), load_settings(CONFIG)
    for symbol in (BTC, ETH):
        write_archives(folder / "archives", symbol, settings.simulate)
    run_etl(folder / "archives", folder / "bars" / "linear", settings.etl)
    return folder / "bars"


@pytest.fixture(scope="module")
def desks(registered: Store, parts: Parts, bars: Path, tmp_path_factory) -> Iterator[Path]:
    """A store where the second symbol has a model of its own, with another window."""
    folder = tmp_path_factory.mktemp("second")
    network = tiny_network(parts.bars, window=WINDOWS[ETH])
    for weights in network.model.parameters():
        weights.data *= 1.3
    golden = GoldenRows(parts.bars, 100, BRIDGE)
    made_of = network, parts.auditor_folder, golden, parts.reference, Series(ETH, "linear")
    package = build_package(folder / "package", *made_of)
    with tracked(registered.uri):
        with mlflow.start_run(experiment_id=registered.experiment):
            number = register(package, OTHER, {})
        client = MlflowClient()
        client.set_registered_model_alias(OTHER, "Production", str(number))
        client.set_registered_model_alias(NAME, "Production", str(registered.number))
        yield bars


@pytest.fixture
def desk(desks: Path, tmp_path: Path) -> Desk:
    return Desk(desks, tmp_path)


def session(settings: Settings) -> Outcome:
    async def play() -> Outcome:
        truth = simulated_truth(settings.live.symbols, settings.simulate)
        async with Exchange(truth, speed=240.0) as exchange:
            urls = {"stream_url": exchange.stream_url, "depth_url": exchange.depth_url}
            feed = settings.live.feed.model_copy(update=urls)
            return await run_live(settings, feed, Console(quiet=True), lambda *_: None)

    return asyncio.run(play())


@pytest.mark.long
def test_each_symbol_is_answered_by_its_own_model_and_window(desk: Desk) -> None:
    ended = session(desk.settings())
    assert ended.answered == f"{NAME} 1 ({BTC}), {OTHER} 1 ({ETH})"
    signals, minutes = desk.rows("SIGNALS"), desk.rows("BARS")
    assert set(zip(signals["symbol"], signals["model"], strict=True)) == set(NAMES.items())
    for symbol, name in NAMES.items():
        own = signals[signals["symbol"] == symbol]
        assert len(own) >= CANDLES
        live = minutes[minutes["symbol"] == symbol].set_index("minute")[list(FEATURES)]
        stored = load_bars(desk.bars / "linear", symbol)[list(FEATURES)]
        stored.index = stored.index.as_unit("s").asi8 // 60
        rows = pd.concat([stored[stored.index < live.index[0]], live.dropna()])
        rows = rows.loc[: own["minute"].iloc[-1]]
        rows.insert(0, "datetime", pd.to_datetime(rows.index * 60, unit="s", utc=True))
        for whose in NAMES.values():
            said = load_chain(whose).predict(rows.iloc[-800:]).iloc[-1]
            told = [f"base_{which}" for which in ("sell", "neutral", "buy")]
            close = np.allclose(said[told].to_numpy(float), own[told].iloc[-1], atol=1e-9)
            assert close == (whose == name), f"{symbol} as {whose} would answer it"


@pytest.mark.long
def test_a_symbol_is_not_answered_by_the_model_of_another(desk: Desk) -> None:
    with pytest.raises(NoModelError, match="quantgod is named for BTCUSDT and ETHUSDT, and a reg"):
        session(desk.settings(**{"live.models": {ETH: NAME}}))
    with pytest.raises(NoModelError, match=r"ETHUSDT: .*live\.models=\{ETHUSDT: NAME\}"):
        session(desk.settings(**{"live.models": {}}))
    foreign = {"live.symbols": [ETH], "live.models": {ETH: NAME}}
    with pytest.raises(
        OtherSeriesError, match=r"quantgod 1 is of BTCUSDT .*ETHUSDT .*live\.models"
    ):
        session(desk.settings(**foreign))
    assert not list((desk.folder / "journal").rglob("SIGNALS*.parquet"))
