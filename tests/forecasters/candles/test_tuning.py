"""The search of members' parameters: before the first border, and on from where it was killed."""

from __future__ import annotations

import numpy as np

from quantgod.dataset.candles.table import CandleTable, table_of
from quantgod.forecasters.candles.forward import split
from quantgod.forecasters.candles.tuning import space_of, tune
from quantgod.settings import ForecastMemberSettings
from quantgod.simulation.candles import simulate_candles
from tests.forecasters.candles.test_forward import TREES, small

SPACE = {"leaves": [2, 4], "learning_rate": {"low": 0.01, "high": 0.3, "log": True}}
MORE = {
    "forecast.members": {
        "ridge": {"model": "ridge"},
        "trees": {"model": "lightgbm", "params": TREES, "space": SPACE},
        "lstm": {
            "model": "lstm_direction",
            "params": {"hidden": 2, "layers": 1},
            "space": {"hidden": [2, 3], "learning_rate": {"low": 0.001, "high": 0.01}},
        },
    },
    "forecast.tune.trials": 3,
    "train.epochs": 1,
}


def rows(**more: object) -> CandleTable:
    own = small(**more).candles
    return table_of([simulate_candles(own, coin) for coin in own.coins])


def test_a_search_looks_at_nothing_from_the_first_border_on_and_goes_on_where_it_was(tmp_path):
    settings, of = small(**MORE), rows()
    fold = split(of, settings.forecast)[0]
    found, searched = tune(of, fold, settings, tmp_path / "one")
    assert [one.member for one in searched] == ["trees", "lstm"], "a ridge has nothing to choose"
    for one in searched:
        assert one.trials == 3 and one.best <= one.first
        assert set(one.params) <= {"leaves", "learning_rate", "hidden"}
    trees = searched[0]
    params = found.forecast.members["trees"].params
    assert params == {**TREES, **trees.params}
    lstm = found.forecast.members["lstm"]
    assert set(lstm.train) <= {"learning_rate"} and set(lstm.params) == {"hidden", "layers"}

    later = of.date >= fold.border
    changed = CandleTable(**{
        **vars(of), "close": np.where(later, of.close * 3, of.close),
        "features": np.where(later[:, None], 9.0, of.features),
    })  # fmt: skip
    assert tune(changed, fold, settings, tmp_path / "two")[1] == searched

    told = []
    more = small(**{**MORE, "forecast.tune.trials": 4})
    _, longer = tune(of, fold, more, tmp_path / "one", lambda *now: told.append(now))
    assert [one.trials for one in longer] == [4, 4] and len(told) == 2, "three were there"
    assert [one.first for one in longer] == [one.first for one in searched]


def test_each_member_has_a_space_of_its_own():
    named = {name: ForecastMemberSettings(model=name) for name in ("ridge", "lightgbm")}
    assert space_of(named["ridge"]) == {} and "leaves" in space_of(named["lightgbm"])
    network = space_of(ForecastMemberSettings(model="bilstm_attention"))
    assert {"hidden", "learning_rate", "batch_size"} <= set(network)
