"""The leak audit of candles: it passes what is sound, and names what looks ahead."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from quantgod.contracts import Candles
from quantgod.dataset.candles.table import table_of
from quantgod.ensemble.candles import stacked
from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.evaluation.forecasts import garch
from quantgod.forecasters.candles.forward import split
from quantgod.leakage import LeakError
from quantgod.leakage.candles import audit_candles
from quantgod.leakage.candles.audit import (
    BY_CALENDAR,
    SAME_DATES,
    THE_END,
    Cut,
    in_small,
    newest,
)
from quantgod.leakage.candles.perturbation import WAYS, dates_of
from quantgod.settings import Settings, load_settings, with_values
from quantgod.simulation.candles import simulate_candles
from tests.later import later
from tests.leakage.candle_peeks import COLUMN, PLANTS, tomorrows_candle

ROOT = Path(__file__).parents[2]
QUICK = {"scale_of_all", "weights_a_day_early"}
CASES = [(stage, plant) for stage, plants in PLANTS.items() for plant in plants]


def small(**more: object) -> Settings:
    given = {
        "forecast.members": {"ridge": {"model": "ridge"}},
        "forecast.horizons": [1, 3],
        "forecast.window": 2,
        "forecast.regimes.starts": 1,
        "forecast.selection.draws": 5,
        "forecast.selection.blocks": 2,
        "candles.simulate.momentum": 1.0,
        "forecast.leak_audit.candles": 420,
        "candles.simulate.candles": 460,
        "candles.coins": ["AAAUSDT", "BBBUSDT"],
    }
    return with_values(load_settings(ROOT / "conf" / "full.yaml"), {**given, **more})


@cache
def coins() -> list[Candles]:
    own = small().candles
    return [simulate_candles(own, coin) for coin in own.coins]


@cache
def border() -> int:
    """Return the first date of the second fold."""
    how = in_small(small()).forecast
    return split(table_of(newest(coins(), 420)), how)[1].border


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit less, from as much: what is fitted still follows from what it is fitted to."""
    monkeypatch.setattr(garch, "_PATHS", 50)
    monkeypatch.setattr(
        garch, "fit", lambda returns: garch.Garch(returns.var() / 10, 0.1, 0.8, 5.0, returns.var())
    )
    monkeypatch.setattr(stacked, "LEAST_DATES", 5)
    monkeypatch.setattr(stacked, "FOLDS", 2)


def audited(way: str = SAME_DATES, **more: object) -> LeakAuditResult:
    """Return the audit at a border, with candles after it changed in this way."""
    return audit_candles(coins(), small(**more), cuts=[Cut(border(), way)])


def test_what_is_sound_passes_although_what_comes_later_changes():
    at = [Cut(border() - 1, SAME_DATES), Cut(border(), SAME_DATES)]
    found = audit_candles(coins(), small(), cuts=at)
    assert not found.broken and min(found.compared.values()) > 0
    still = {stage for stage, changed in found.changed.items() if not changed}
    assert still == set(BY_CALENDAR)
    assert (
        found.unshown == ()
        and found.nearest["stacked mean"] == found.nearest["forecasts of ridge"] == 1
    )
    assert "of 460 candles of 2 coins" in found.scope


@pytest.mark.parametrize(
    ("stage", "plant"),
    [case for case in CASES if case[1].__name__ in QUICK]
    + later(*(case for case in CASES if case[1].__name__ not in QUICK)),
)
def test_a_planted_look_ahead_is_named_by_its_stage(stage, plant, monkeypatch):
    plant(monkeypatch)
    kind = "jump" if stage == "regime model" else "rules"
    way = THE_END if stage in BY_CALENDAR else SAME_DATES
    found = audited(way, **{"forecast.regimes.kind": kind})
    assert any(line.startswith(f"{stage}: ") for line in found.leaks), found.leaks
    assert not found.passed


def test_a_leak_is_told_by_stage_column_coin_and_date(monkeypatch):
    tomorrows_candle(monkeypatch)
    column = table_of(coins()).columns[COLUMN]
    day = np.datetime64(border(), "D")
    told = (
        f"features: {column} of AAAUSDT at {day} was known by the close of {day} "
        "and changed with what came after it (another market), as did 2 of 188 such values"
    )
    assert audited().leaks[0] == told


@pytest.mark.long
def test_all_cuts_see_every_stage_to_the_candle_with_trees_and_a_network_as_well():
    members = {
        "ridge": {"model": "ridge"},
        "trees": {"model": "lightgbm"},
        "network": {"model": "bilstm_attention"},
        "another": {"model": "causal_transformer"},
    }
    found = audit_candles(coins(), small(**{"forecast.members": members}))
    assert found.problems == ()
    assert {"forecasts of trees", "forecasts of network"} < found.compared.keys()
    assert "not made again: another, searches" in found.scope


@pytest.mark.long
def test_a_horizon_too_far_for_a_stacked_mean_is_told_and_held_against_nobody(
    monkeypatch,
):
    monkeypatch.setattr(stacked, "LEAST_DATES", 60)
    found = audit_candles(coins(), small(**{"forecast.horizons": [15, 20]}))
    assert found.problems == () and not found.changed["stacked mean"]
    assert found.scope.endswith("coefficients of the stacked mean, for which these are too few")


@pytest.mark.long
def test_coins_may_have_members_of_their_own_and_be_of_different_age():
    young = coins()[1].take(slice(80, None))
    found = audit_candles([coins()[0], young], small(**{"forecast.pooled": False}))
    assert not found.broken


def test_too_few_candles_are_refused_by_the_setting_that_takes_more():
    with pytest.raises(LeakError, match=r"leak_audit\.candles: of 200 newest candles"):
        audit_candles(coins(), small(**{"forecast.leak_audit.candles": 200}))


@pytest.mark.parametrize("way", WAYS)
def test_candles_stay_up_to_a_cut_and_are_others_after_it(way):
    cut = border()
    changed = WAYS[way](coins(), cut, np.random.default_rng(0))
    for number, (old, new) in enumerate(zip(coins(), changed, strict=True)):
        before, after = (dates_of(one) <= cut for one in (old, new))
        assert np.array_equal(old.values[before], new.values[after])
        assert np.array_equal(old.time_ms[before], new.time_ms[after])
        left = {"another market": 0, "another market with a hole": 3 + number}
        gone = left.get(way, int((~before).sum()))
        assert (~after).sum() == (~before).sum() - gone
        high, low = new.column("high"), new.column("low")
        assert (high >= new.column("close")).all() and (low <= new.column("open")).all()
        same = np.isin(old.values[~before], new.values[~after])
        assert not same[:, :5].any()
