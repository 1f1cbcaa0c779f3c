"""A small version that forecasts candles: two floors, a stack and equal weights, in memory."""

from __future__ import annotations

from functools import cache

import numpy as np

from quantgod.contracts import Candles
from quantgod.registry.daily.chain import Chain
from quantgod.registry.daily.posting import rows_to_post
from quantgod.served.candles import contract, live, quantiles, regimes, state, timeline
from quantgod.served.candles.features import sets
from quantgod.served.candles.members import Floor
from quantgod.served.candles.regime_rules import Rules
from quantgod.served.candles.rows import REACH
from quantgod.served.candles.scaling import RobustScale
from quantgod.served.request import candles as requests
from quantgod.served.request.rows import RequestError
from quantgod.settings import load_settings, with_values
from quantgod.simulation.candles import simulate_candles
from tests.registry.daily.made import ROOT

COINS = ("AAAUSDT", "BBBUSDT")
DAY_MS = 86_400_000
HORIZONS = (1, 3)
REGISTERED = REACH + 20
"""Candles that there were when it was registered."""


class SmallChain(Chain):
    """A version's own code on parts that were never in a file."""

    def __init__(self) -> None:
        self.requests, self.quantiles, self.regimes = requests, quantiles, regimes
        self.refused, self.timelines = RequestError, timeline
        self.live_module = live
        self.contract = contract.Contract(
            [*COINS], [*COINS], {"market": "spot", "interval": "1d", "kind": "trades"},
            DAY_MS, [*HORIZONS], 2, ["random_walk", "drift"], sets.VERSION, REACH, REACH + 1,
        )  # fmt: skip
        self.experts = state.experts_of(self.contract.members)
        scale = RobustScale((sets.NAMES[0],), np.zeros(1), np.ones(1), 5.0)
        floors = [Floor(np.zeros(2)), Floor(np.array([0.3, 0.2]))]
        parts = [live.Part((0, 1), scale, floors)]
        self.live = live.Live(self.contract, parts, Rules().to_json())
        rules = state.Rules(scores=50, prior=5.0, refresh=1)
        self.registered = timeline.Timeline.begin(rules, HORIZONS, 2)
        self.registered = self.registered_at(coins_until(REGISTERED))

    def registered_at(self, coins: list[Candles]) -> timeline.Timeline:
        rows = self._read(rows_to_post(coins))
        return self.live.issue_from(self.registered, rows)[1]


@cache
def small_chain() -> SmallChain:
    return SmallChain()


@cache
def _coins() -> tuple[Candles, ...]:
    told = {"candles.coins": [*COINS], "candles.simulate.candles": REGISTERED + 60}
    settings = with_values(load_settings(ROOT / "conf" / "full.yaml"), told)
    return tuple(simulate_candles(settings.candles, coin) for coin in COINS)


def coins_until(candles: int) -> list[Candles]:
    """The first candles of each coin."""
    return [one.take(slice(candles)) for one in _coins()]
