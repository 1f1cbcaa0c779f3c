"""Rows of coins, folds by date, chosen and scaled features."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from quantgod.contracts import INTERVALS, Candles
from quantgod.dataset.candles.folds import folds_of
from quantgod.dataset.candles.scaling import fit_scale
from quantgod.dataset.candles.selection import jaccard, select
from quantgod.dataset.candles.table import CandleTable, samples_of, table_of
from quantgod.dataset.splits import EmptyPartError
from quantgod.served.candles.rows import NAMES, REACH
from quantgod.served.candles.scaling import RobustScale
from quantgod.settings import CandleSettings, SelectionSettings
from quantgod.simulation.candles import simulate_candles

HORIZONS = (1, 7)
DAY = INTERVALS["1d"]


@cache
def coins() -> tuple[Candles, Candles]:
    how = CandleSettings.model_validate({"simulate": {"candles": 700, "seed": 3}})
    one, other = (simulate_candles(how, name) for name in ("AAAUSDT", "BBBUSDT"))
    return one, other.take(np.r_[100:380, 390:700])  # younger, and with a hole


@cache
def table() -> CandleTable:
    return table_of(coins())


def test_rows_know_their_past_and_outcomes_what_came_within_the_stretch():
    of = table()
    assert of.coins == ("AAAUSDT", "BBBUSDT") and len(of) == 700 + 590
    assert np.unique(of.run).tolist() == [0, 1, 2]
    seen = of.can_see(1)
    assert seen[:700].sum() == 700 - REACH + 1
    assert np.isfinite(of.features[seen]).all() and (of.sigma[seen] > 0).all()
    returns = of.returns(HORIZONS)
    close = of.close
    assert returns[300, 1] == pytest.approx(np.log(close[307] / close[300]))
    assert np.isnan(returns[699]).all() and np.isnan(returns[693:700, 1]).all()
    hole = 700 + 280
    assert np.isnan(returns[hole - 1]).all() and np.isfinite(returns[hole - 2, 0])
    assert of.outcomes(HORIZONS)[300, 1] == returns[300, 1] / (of.sigma[300] * np.sqrt(7))


def test_no_row_knows_what_comes_after_it():
    one, _ = coins()
    cut = 500
    changed = one.values.copy()
    changed[cut:, :4] *= 1.3
    other = table_of(
        [Candles(one.symbol, one.market, one.interval, one.kind, one.time_ms, changed)]
    )
    alone = table_of([one])
    for name in ("features", "sigma", "regime", "so_far"):
        before, after = getattr(alone, name), getattr(other, name)
        assert np.array_equal(before[:cut], after[:cut], equal_nan=True), name
    assert not np.array_equal(alone.sigma[cut:], other.sigma[cut:])


def test_samples_are_what_the_one_loop_takes():
    of = table()
    rows = np.array([400, 450])
    found = samples_of(of, rows, HORIZONS)
    assert found.horizons == HORIZONS and found.returns.shape == (2, 2)
    assert (found.label_end_ms - found.time_ms).tolist() == [DAY, DAY]
    assert (found.reach_ms - found.time_ms).tolist() == [7 * DAY, 7 * DAY]
    steps = np.diff(np.log(of.close[400:408]))
    assert found.efficiency[0, 1] == pytest.approx(abs(steps.sum()) / np.abs(steps).sum())
    assert set(found.classes.ravel()) <= {0, 2}


def test_coins_of_different_intervals_or_twice_the_same_are_refused():
    one, other = coins()
    with pytest.raises(ValueError, match="different coins of one interval"):
        table_of([one, one])
    hours = Candles(other.symbol, "spot", "1h", "trades", other.time_ms, other.values)
    with pytest.raises(ValueError, match=r"BBBUSDT \(1h"):
        table_of([one, hours])


@pytest.mark.parametrize("window", [1, 30])
def test_what_trains_had_come_true_before_what_is_judged(window):
    of, longest = table(), max(HORIZONS)
    made = folds_of(of, HORIZONS, window, folds=3, test_fraction=0.2, stopping_fraction=0.2)
    assert [fold.name for fold in made] == ["fold 1", "fold 2", "fold 3", "test"]
    for fold in made:
        assert of.date[fold.train].max() + longest < of.date[fold.stopping].min()
        assert of.date[fold.stopping].max() + longest < fold.border
        assert of.date[fold.judged].min() == fold.border
        assert (np.diff(of.date[fold.judged]) >= 0).all()
        assert of.can_see(window)[np.concatenate([fold.known, fold.judged])].all()
    judged = np.concatenate([fold.judged for fold in made])
    assert len(np.unique(judged)) == len(judged)
    assert np.isnan(of.outcomes(HORIZONS)[made[-1].judged]).any(), "newest rows are judged later"


def test_too_few_candles_are_told():
    of = table_of([coins()[0].take(slice(0, REACH + 2))])
    with pytest.raises(EmptyPartError, match="2 dates have a whole window: too few"):
        folds_of(of, HORIZONS, 2, folds=3, test_fraction=0.2, stopping_fraction=0.2)
    of = table_of([coins()[0].take(slice(0, REACH + 20))])
    with pytest.raises(EmptyPartError, match="rows to train on"):
        folds_of(of, HORIZONS, 2, folds=3, test_fraction=0.2, stopping_fraction=0.2)


def test_a_coin_that_would_be_served_and_never_judged_is_refused_by_name():
    one, other = coins()
    how = {"folds": 3, "test_fraction": 0.2, "stopping_fraction": 0.2}
    short = table_of([one, other.take(slice(0, REACH - 1))])
    with pytest.raises(EmptyPartError, match=f"BBBUSDT: {REACH - 1} candles, and none ends"):
        folds_of(short, HORIZONS, 2, **how)
    gone = table_of([one, other.take(slice(0, REACH + 5))])
    with pytest.raises(EmptyPartError, match=r"BBBUSDT: no candle from .* give newer candles"):
        folds_of(gone, HORIZONS, 2, **how)


def planted(rows: int = 1200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first of forty tells the return, the second is its copy, the third turns round.

    The sixth tells how large the return will be, and nothing of where it goes.
    """
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(rows, 40))
    features[:, 1] = features[:, 0] + 0.01 * draw.normal(size=rows)
    features[:, 4] = 1.0
    dates = np.arange(rows)
    outcome = 0.5 * features[:, 0] + draw.normal(size=rows) * np.exp(0.5 * features[:, 5])
    outcome += np.where((dates // 150) % 2, 0.5, -0.5) * features[:, 2]
    return features, outcome[:, None], dates


def test_what_tells_is_kept_and_copies_constants_and_what_turns_round_are_not():
    features, outcome, dates = planted()
    names = [f"f{k}" for k in range(40)]
    found = select(features, outcome, dates, names, SelectionSettings(most=5))
    assert "f0" in found.columns and found.duplicates == {"f1": "f0"}
    assert not {"f1", "f4", "f2"} & set(found.columns) and len(found.columns) <= 5
    assert found.kept_in["f0"] == 1.0 == found.kept_in["f5"]
    order = np.random.default_rng(1).permutation(40)
    mixed = select(
        features[:, order], outcome, dates, [names[k] for k in order], SelectionSettings(most=5)
    )
    assert {"f0", "f1"} & set(mixed.columns)
    assert 0 < jaccard(found.columns, mixed.columns) <= 1
    assert jaccard(found.columns, found.columns) == 1


def test_the_documents_rule_picks_copies_of_the_price():
    draw = np.random.default_rng(0)
    close = np.exp(np.cumsum(0.03 * draw.normal(size=800)))
    features = np.column_stack([close + 0.01 * draw.normal(size=800), draw.normal(size=(800, 3))])
    how = SelectionSettings(rule="document", most=1)
    found = select(features, close[:, None], np.arange(800), ["price", "a", "b", "c"], how)
    assert found.columns == ("price",)


def test_a_scale_is_that_of_the_rows_it_was_fitted_on_and_bounds_the_rest():
    draw = np.random.default_rng(0)
    names = ("a", "flag", "constant", "left_out")
    seen = np.column_stack(
        [draw.normal(5, 2, 500), draw.random(500) < 0.1, np.ones(500), np.ones(500)]
    )
    scale = fit_scale(seen, names, names[:3], 5.0)
    found = scale.transform(seen, names)
    assert found.shape == (500, 3) and np.median(found[:, 0]) == pytest.approx(0)
    assert np.subtract(*np.quantile(found[:, 0], [0.75, 0.25])) == pytest.approx(1)
    assert found[:, 1].std() == pytest.approx(1) and not found[:, 2].any()
    wild = scale.transform(np.array([[1e9, 1, 7, 0], [-1e9, 0, 7, 0]]), names)
    assert wild[:, 0].tolist() == [5, -5] and not wild[:, 2].any()
    again = RobustScale.from_json(scale.to_json())
    assert np.array_equal(again.transform(seen, names), found)
    with pytest.raises(ValueError, match="finite features"):
        fit_scale(seen * np.nan, names, names, 5.0)
    assert len(NAMES) == 150
