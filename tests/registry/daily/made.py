"""A small forecaster of simulated candles with a member of each kind, and its package."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from quantgod.contracts import Candles
from quantgod.evaluation.forecasts.run import ForecastRun, run_forecasts
from quantgod.registry.daily.package import DailyPackage, build_package
from quantgod.settings import Settings, load_settings, with_values
from quantgod.simulation.candles import simulate_candles

ROOT = Path(__file__).parents[3]
TREES = {"rows": 2, "leaves": 4, "trees": 5, "least_rows": 50, "patience": 5}
NETWORK = {"width": 8, "layers": 1, "feed_forward": 8, "attention_heads": 2}
MEMBERS = {
    "ridge": {"model": "ridge"},
    "trees": {"model": "lightgbm", "params": TREES},
    "network": {"model": "causal_transformer", "params": NETWORK},
}
SMALL = {
    "forecast.name": "daily-test",
    "forecast.members": MEMBERS,
    "forecast.horizons": [1, 5],
    "forecast.folds": 1,
    "forecast.window": 4,
    "forecast.draws": 3,
    "forecast.workers": 1,
    "train.epochs": 1,
    "train.batch_size": 128,
    "candles.source": "simulate",
    "candles.simulate.candles": 620,
    "candles.simulate.momentum": 1.0,
    "candles.coins": ["AAAUSDT", "BBBUSDT"],
}


def small(**more: object) -> Settings:
    return with_values(load_settings(ROOT / "conf" / "full.yaml"), {**SMALL, **more})


def coins_of(settings: Settings) -> list[Candles]:
    return [simulate_candles(settings.candles, coin) for coin in settings.candles.coins]


APART = {
    "forecast.pooled": False,
    "forecast.horizons": [1],
    "forecast.gates.horizons": [1],
    "forecast.members": {
        "ridge": {"model": "ridge"},
        "direction": {
            "model": "lstm_direction",
            "params": {"hidden": 8, "layers": 1},
            "train": {"objective": "direction"},
        },
    },
}
"""Each coin has members of its own, and a network says which way alone."""


@cache
def made(apart: bool = False) -> ForecastRun:
    settings = small(**(APART if apart else {}))
    with tempfile.TemporaryDirectory() as place:
        return run_forecasts(coins_of(settings), settings, Path(place))


def packed(folder: Path, apart: bool = False) -> DailyPackage:
    settings = small(**(APART if apart else {}))
    return build_package(folder, made(apart), coins_of(settings), settings.forecast)
