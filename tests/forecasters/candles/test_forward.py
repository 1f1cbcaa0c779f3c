"""Members walked forward: small ones, on simulated candles that lean and cluster."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from quantgod.dataset.candles.table import CandleTable, table_of
from quantgod.forecasters.candles import plain, trees
from quantgod.forecasters.candles.checking import check_members
from quantgod.forecasters.candles.forward import MemberError, split, walk_forward
from quantgod.forecasters.candles.learn import learn, scaled
from quantgod.forecasters.candles.member import Hooks, Material, windows_at
from quantgod.forecasters.candles.plain import FILE
from quantgod.served.candles.members import Floor, Linear
from quantgod.served.candles.network import mean_of
from quantgod.settings import Settings, SettingsError, load_settings, with_values
from quantgod.simulation.candles import simulate_candles

ROOT = Path(__file__).parents[3]
TREES = {"rows": 1, "leaves": 4, "trees": 20, "least_rows": 50, "patience": 5}
BOTH = {"ridge": {"model": "ridge"}, "trees": {"model": "lightgbm", "params": TREES}}
SMALL = {
    "forecast.members": {"ridge": {"model": "ridge"}},
    "forecast.horizons": [1, 5],
    "forecast.folds": 2,
    "forecast.window": 5,
    "forecast.workers": 1,
    "candles.simulate.candles": 700,
    "candles.simulate.momentum": 1.0,
    "candles.coins": ["AAAUSDT", "BBBUSDT"],
}


def small(**more: object) -> Settings:
    return with_values(load_settings(ROOT / "conf" / "full.yaml"), {**SMALL, **more})


@cache
def table() -> CandleTable:
    own = small().candles
    return table_of([simulate_candles(own, coin) for coin in own.coins])


def test_a_walk_forecasts_each_later_row_once_and_goes_on_from_what_was_kept(tmp_path):
    of, settings, told = table(), small(), []
    made = walk_forward(of, settings, tmp_path, progress=lambda *now: told.append(now))
    assert made.members == ("random_walk", "drift", "ridge")
    assert made.mean.shape == (len(made.rows), 3, 2) and made.quantiles.shape[-1] == 7
    assert len(np.unique(made.rows)) == len(made.rows)
    assert (np.diff(of.date[made.rows]) >= 0).all()
    assert not made.mean[:, 0].any() and (np.diff(made.quantiles, axis=-1) >= 0).all()
    assert [one.part.label for one in made.newest] == ["test"]
    kept = sorted(path.parent.name for path in tmp_path.rglob("told.json"))
    assert kept == ["fold-1", "fold-2"]
    said = json.loads((tmp_path / "fold-1" / "told.json").read_text())
    (tmp_path / "fold-1" / "told.json").write_text(
        json.dumps(said | {"scale": said["scale"] | {"columns": ["marked"]}})
    )
    again = walk_forward(of, settings, tmp_path)
    assert again.parts[0].columns == ("marked",), "it was read, and not fitted anew"
    assert np.array_equal(again.quantiles, made.quantiles)


def test_what_was_learned_before_a_border_knows_nothing_of_what_comes_after_it():
    of, settings = table(), small(**{"forecast.members": BOTH})
    fold = split(of, settings.forecast)[0]
    later = of.date >= fold.border
    changed = np.where(later, of.close * 1.1 ** (of.date % 3), of.close)
    features = np.where(later[:, None], of.features + 1, of.features)
    other = CandleTable(**{**vars(of), "close": changed, "features": features})
    one, two = (learn(each, fold, settings) for each in (of, other))
    assert one.selection == two.selection and one.scale.to_json() == two.scale.to_json()
    before = fold.known
    for a, b in zip(one.forecast(of, before), two.forecast(other, before), strict=True):
        assert np.array_equal(a, b)
    after = fold.judged
    assert not np.array_equal(one.forecast(of, after).mean, two.forecast(other, after).mean)


def test_planted_momentum_is_found_by_a_ridge_and_by_trees():
    more = {"candles.simulate.candles": 1600, "forecast.folds": 1, "forecast.test_fraction": 0.4}
    settings = small(**{"forecast.members": BOTH, **more})
    of = table_of([simulate_candles(settings.candles, coin) for coin in settings.candles.coins])
    fold = split(of, settings.forecast)[-1]
    said = learn(of, fold, settings).forecast(of, fold.judged)
    came = of.outcomes((1, 5))[fold.judged]
    known = np.isfinite(came[:, 1])
    for member in (2, 3):
        together = np.corrcoef(said.mean[known, member, 1], came[known, 1])[0, 1]
        assert together > 0.15, member


def test_members_are_saved_as_text_and_say_the_same_again(tmp_path):
    of, settings = table(), small(**{"forecast.members": BOTH})
    fold = split(of, settings.forecast)[0]
    learned = learn(of, fold, settings)
    for name, member in learned.members.items():
        (tmp_path / name).mkdir()
        member.save(tmp_path / name)
    matrix, rows = scaled(of, learned.scale), fold.judged[:9]
    windows = windows_at(matrix, rows, 5)
    for name, kind in (("random_walk", Floor), ("drift", Floor), ("ridge", Linear)):
        told = json.loads((tmp_path / name / FILE).read_text())
        again = kind.from_json(told).say(windows)
        assert np.array_equal(
            again.quantiles, learned.members[name].forecast(matrix, rows).quantiles
        )
    listed = json.loads((tmp_path / "trees" / trees.FILE).read_text())
    booster = lightgbm.Booster(model_file=str(tmp_path / "trees" / listed["files"][1][0]))
    mean = learned.members["trees"].forecast(matrix, rows).mean[:, 1]
    assert np.array_equal(booster.predict(windows[:, -1, :]), mean)


def test_a_ridge_of_one_horizon_is_the_one_of_several():
    draw = np.random.default_rng(3)
    matrix = draw.normal(size=(300, 4)).astype(np.float32)
    came, rows = draw.normal(size=(300, 2)) + matrix[:, :1], np.arange(300)
    both = Material(matrix, came, (1, 2), 1, rows[:200], rows[200:])
    several, one = (
        plain.ridge(of, {}, Hooks()) for of in (both, both._replace(outcomes=came[:, :1]))
    )
    for name, value in vars(several.served).items():
        np.testing.assert_allclose(vars(one.served)[name], value[..., :1], atol=1e-12)


@pytest.mark.parametrize("pooled", [True, False])
def test_coins_are_learned_together_or_each_alone(tmp_path, pooled):
    made = walk_forward(table(), small(**{"forecast.pooled": pooled}), tmp_path)
    labels = [one.part.label for one in made.parts]
    assert len(labels) == (3 if pooled else 6)
    assert len(made.newest) == (1 if pooled else 2)
    assert len(np.unique(made.rows)) == len(made.rows)


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ({"model": "ridge", "params": {"alpha": 1}}, "ridge: unknown parameter alpha"),
        ({"model": "lightgbm", "params": {"depths": 1}}, "lightgbm: unknown parameter depths"),
        ({"model": "tlob"}, "looks at book"),
        ({"model": "nothing"}, "no architecture 'nothing'"),
        ({"model": "lstm_direction", "params": {"hiden": 1}}, "unknown parameter"),
        ({"model": "lstm_direction", "train": {"objective": "direction"}}, "one horizon"),
        ({"model": "lstm_direction", "train": {"objective": "classes"}}, "returns, direction or"),
        ({"model": "lstm_direction", "train": {"epoch": 3}}, "epoch"),
    ],
)
def test_a_member_that_cannot_be_made_is_told_before_any_work(member, says):
    with pytest.raises(SettingsError, match=says) as caught:
        check_members(small(**{"forecast.members": {"mine": member}}))
    assert "forecast.members" in str(caught.value)


def test_a_member_that_fails_names_its_fold(tmp_path):
    wrong = {"trees": {"model": "lightgbm", "params": {"rows": 99}}}
    with pytest.raises(MemberError, match=r"test: SettingsError: lightgbm.rows: 1 to 5"):
        walk_forward(table(), small(**{"forecast.members": wrong}), tmp_path)


def test_a_direction_is_told_as_the_mean_of_a_distribution_that_is_above_zero_as_likely():
    said = np.array([[[0.25, 0.0, 0.75]], [[1.0, 0.0, 0.0]], [[0.5, 0.0, 0.5]]])
    assert mean_of(said)[:, 0].tolist() == [
        pytest.approx(0.6745, abs=1e-4), pytest.approx(-3.09, abs=1e-2), 0.0,
    ]  # fmt: skip


def test_trees_stop_where_newer_rows_are_foretold_worst_and_tell_what_they_used():
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(900, 4)).astype(np.float32)
    outcomes = draw.normal(size=(900, 1)) + np.abs(matrix[:, :1]) * draw.normal(size=(900, 1))
    of = Material(matrix, outcomes, (1,), 1, np.arange(600), np.arange(600, 900))
    grown = trees.trees(of, {**TREES, "trees": 200, "leaves": 8, "learning_rate": 0.1}, Hooks())
    assert max(grown.told["trees"][0]) < 200
    (gain,) = grown.told["gain"]
    assert sum(gain) == pytest.approx(1) and int(np.argmax(gain)) == 0
    said = grown.forecast(matrix, np.abs(matrix[:, 0]).argsort()[[0, -1]])
    apart = said.quantiles[:, 0, -1] - said.quantiles[:, 0, 0]
    assert apart[1] > 1.2 * apart[0], "it saw where outcomes are wide"
