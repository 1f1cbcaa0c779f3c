import json

import numpy as np
import pytest
import xgboost

from quantgod.auditor.boosting import (
    BoosterError,
    Boosting,
    Rows,
    contributions,
    fit_booster,
    gain,
    load_booster,
    save_booster,
    tilted_probabilities,
)
from quantgod.contracts import CLASSES, META_FEATURES
from tests.auditor.markets import settings

TILT = (2.0, 1.0, 2.0)


def rows(count: int, seed: int, *, weight: float = 1.0, informed: bool = True) -> Rows:
    rng = np.random.default_rng(seed)
    target = rng.choice(3, count, p=[0.2, 0.6, 0.2])
    meta = rng.normal(size=(count, len(META_FEATURES)))
    meta[:, 0] -= informed * 1.5 * (target - 1)
    return Rows(meta, target, np.full(count, weight))


def fitted(**changes: object) -> Boosting:
    chosen = settings().audit.xgboost.model_copy(update={"rounds": 60, "eta": 0.2, **changes})
    return fit_booster(rows(600, 1), rows(300, 2), TILT, chosen)


@pytest.fixture(scope="module")
def boosting() -> Boosting:
    return fitted()


def test_the_booster_is_cut_after_its_best_round(boosting):
    best = int(np.argmin(boosting.stopping_loss))
    assert boosting.booster.num_boosted_rounds() == best + 1 < len(boosting.stopping_loss)
    assert boosting.fit_loss[-1] < boosting.fit_loss[0]


def test_what_stops_it_is_the_loss_weighted_as_it_is_fitted(boosting):
    """Computed again from what it says: rows weigh their uniqueness times their class's weight."""
    fit, stopping = rows(600, 1), rows(300, 2)
    unequal = Rows(stopping.meta, stopping.target, np.random.default_rng(4).uniform(0.1, 1, 300))
    chosen = settings().audit.xgboost.model_copy(update={"rounds": 12, "eta": 0.2})
    found = fit_booster(fit, unequal, TILT, chosen)
    for part, losses in ((fit, found.fit_loss), (unequal, found.stopping_loss)):
        weight = part.weight * np.array(TILT)[part.target]
        for number in range(found.booster.num_boosted_rounds()):
            given = tilted_probabilities(found.booster[: number + 1], part.meta)[
                np.arange(len(part)), part.target
            ]
            expected = -(weight * np.log(given)).sum() / weight.sum()
            assert losses[number] == pytest.approx(expected, rel=1e-5)


def test_it_is_fitted_and_asked_by_one_thread_whatever_the_machine_has(boosting, monkeypatch):
    """Sums of several threads differ in their last bits."""
    config = json.loads(boosting.booster.save_config())
    assert config["learner"]["generic_param"]["nthread"] == "1"
    threads = []
    matrix = xgboost.DMatrix

    def asked(*given, **named):
        threads.append(named["nthread"])
        return matrix(*given, **named)

    monkeypatch.setattr(xgboost, "DMatrix", asked)
    fitted(rounds=2)
    tilted_probabilities(boosting.booster, rows(9, 3).meta)
    assert threads
    assert set(threads) == {1}


def test_the_same_rows_and_settings_give_the_same_bytes(boosting):
    assert fitted().booster.save_raw("ubj") == boosting.booster.save_raw("ubj")
    assert fitted(seed=5).booster.save_raw("ubj") != boosting.booster.save_raw("ubj")


def test_class_weights_tilt_what_it_says_by_their_odds():
    nothing = [rows(4_000, seed, informed=False) for seed in (1, 2)]
    plain, tilted = (
        tilted_probabilities(
            fit_booster(*nothing, weights, settings().audit.xgboost).booster, nothing[1].meta
        )
        for weights in ((1.0, 1.0, 1.0), TILT)
    )
    assert plain.mean(axis=0) == pytest.approx([0.2, 0.6, 0.2], abs=0.03)
    assert tilted.mean(axis=0) == pytest.approx(np.array([0.4, 0.6, 0.4]) / 1.4, abs=0.03)


def test_a_row_that_weighs_nothing_teaches_nothing():
    fields = ("meta", "target", "weight")
    heavy, light = rows(600, 1), rows(600, 3, weight=1e-9)
    joined = Rows(*(np.concatenate([getattr(r, f) for r in (heavy, light)]) for f in fields))
    chosen = settings().audit.xgboost.model_copy(update={"subsample": 1.0, "rounds": 20})
    alone, both = (
        tilted_probabilities(fit_booster(fit, rows(300, 2), TILT, chosen).booster, heavy.meta)
        for fit in (heavy, joined)
    )
    assert np.abs(alone - both).max() < 0.05


def test_with_few_effective_rows_the_trees_hold_back():
    many, few = (
        fit_booster(rows(600, 1, weight=w), rows(300, 2), TILT, settings().audit.xgboost).booster
        for w in (1.0, 1 / 60)
    )
    assert len(few.trees_to_dataframe()) / few.num_boosted_rounds() < 6
    assert len(many.trees_to_dataframe()) / many.num_boosted_rounds() > 20


def test_a_class_that_never_occurs_gets_a_small_probability_and_no_error():
    only = rows(300, 1)
    some = Rows(only.meta, np.minimum(only.target, 1), only.weight)
    out = tilted_probabilities(
        fit_booster(some, some, TILT, settings().audit.xgboost).booster, only.meta
    )
    assert out.shape == (300, 3)
    assert out[:, 2].max() < 0.1


def test_importance_and_contributions_are_in_the_order_of_the_meta_features(boosting):
    importance = gain(boosting.booster)
    assert importance.shape == (len(META_FEATURES),)
    assert importance.argmax() == 0
    meta = rows(50, 7).meta
    parts = contributions(boosting.booster, meta)
    assert parts.shape == (50, len(CLASSES), len(META_FEATURES) + 1)
    score = parts.sum(axis=2)
    softmax = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, tilted_probabilities(boosting.booster, meta), atol=1e-5)
    assert np.abs(parts[:, :, :-1]).mean(axis=(0, 1)).argmax() == 0


def test_a_saved_booster_says_the_same_also_without_names(boosting, tmp_path):
    save_booster(boosting.booster, tmp_path / "booster.ubj")
    loaded = load_booster(tmp_path / "booster.ubj")
    meta = rows(50, 7).meta
    assert np.array_equal(
        tilted_probabilities(loaded, meta), tilted_probabilities(boosting.booster, meta)
    )
    assert np.array_equal(
        loaded.inplace_predict(meta), tilted_probabilities(boosting.booster, meta)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["booster.ubj"]


def test_a_damaged_booster_is_refused(boosting, tmp_path):
    path = tmp_path / "booster.ubj"
    save_booster(boosting.booster, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BoosterError, match="no booster"):
        load_booster(path)


@pytest.mark.parametrize("what", ["features", "classes"])
def test_a_booster_for_other_columns_is_refused(what, tmp_path):
    names = [*META_FEATURES[::-1]] if what == "features" else list(META_FEATURES)
    data = rows(50, 1)
    matrix = xgboost.DMatrix(data.meta, label=data.target, feature_names=names)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3}, matrix, 1)
    booster.set_attr(classes=",".join(CLASSES if what == "features" else CLASSES[::-1]))
    save_booster(booster, tmp_path / "booster.ubj")
    with pytest.raises(BoosterError, match=what):
        load_booster(tmp_path / "booster.ubj")


@pytest.mark.parametrize("empty", [0, 1])
def test_a_part_without_rows_is_refused(empty):
    parts = [rows(0 if at == empty else 50, at) for at in (0, 1)]
    with pytest.raises(ValueError, match="rows to fit and to stop on"):
        fit_booster(*parts, TILT, settings().audit.xgboost)


def test_progress_hears_of_every_round():
    heard: list[tuple[int, int]] = []

    def progress(done: int, total: int, note: str) -> None:
        heard.append((done, total))

    chosen = settings().audit.xgboost.model_copy(update={"rounds": 5})
    fit_booster(rows(100, 1), rows(100, 2), TILT, chosen, progress)
    assert heard == [(n, 5) for n in range(1, 6)]
