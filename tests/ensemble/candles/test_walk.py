"""The ensemble, date by date: what has matured moves it, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from quantgod.ensemble.candles.stacked import fit_stack
from quantgod.ensemble.candles.walk import Moments, walk
from quantgod.served.candles.quantiles import COVERAGES, NORMAL, pinball
from quantgod.served.candles.state import EQUAL, STACKED, Rules, experts_of
from quantgod.served.candles.timeline import Timeline

HORIZONS = (1, 5)
DATES, COINS = 400, 2
MEMBERS = ("random_walk", "wide", "knows")


def moments(
    seed: int = 0, dates: int = DATES, tails: float = 1.0, ahead: tuple[int, ...] = HORIZONS
) -> Moments:
    """A walk, a member that is twice too wide, and one that knows a third of what comes."""
    draw = np.random.default_rng(seed)
    date = np.repeat(np.arange(dates), COINS)
    rows, horizons = len(date), len(ahead)
    told = draw.normal(size=(rows, horizons))
    outcomes = tails * (0.6 * told + 0.8 * draw.normal(size=(rows, horizons)))
    outcomes[date[:, None] + np.array(ahead) >= dates] = np.nan
    means = np.stack([0 * told, 0 * told, 0.6 * told], axis=1)
    widths = np.array([1.0, 2.0, 0.8])[None, :, None, None]
    quantiles = means[..., None] + widths * NORMAL
    coin, regime = np.tile(np.arange(COINS), dates), (date // 50) % 4
    return Moments(MEMBERS, ahead, date, coin, regime, means, quantiles, outcomes)


def loss(of: Moments, quantiles: np.ndarray, place: int = 0, since: int = 200) -> float:
    known = np.isfinite(of.outcomes[:, place]) & (of.date >= since)
    return float(pinball(of.outcomes[known, place], quantiles[known]).mean())


@pytest.fixture(scope="module")
def made():
    given = moments()
    return given, walk(Rules(), given, [0, 100, 300])


def test_who_knows_more_gets_the_weight_and_the_whole_is_better_than_a_walk(made):
    given, found = made
    names = experts_of(MEMBERS)
    weights = found.timeline.states[0].weights
    assert weights.sum() == pytest.approx(1)
    assert names[int(weights.argmax())] in ("knows", STACKED)
    assert weights[names.index("wide")] < 0.1
    walked = np.tile(NORMAL, (len(given), 1))
    assert loss(given, found.issued[0].quantiles) < 0.9 * loss(given, walked)
    assert [date for date, _ in found.stacks] == [0, 100, 300]
    assert found.stacks[0][1].sum() == 0, "nothing had matured"
    assert found.stacks[-1][1][2, 0] > 0.7


def test_nothing_that_comes_after_a_date_moves_what_was_issued_by_it():
    given, cut = moments(), 200
    outcomes = given.outcomes.copy()
    for place, steps in enumerate(HORIZONS):
        outcomes[given.date + steps > cut, place] *= -3
    quantiles, mean = given.quantiles.copy(), given.mean.copy()
    quantiles[given.date > cut] += 1
    mean[given.date > cut] -= 1
    other = replace(given, outcomes=outcomes, quantiles=quantiles, mean=mean)
    one, two = (walk(Rules(), of, [0, 150, 300]) for of in (given, other))
    then = given.date <= cut
    for before, after in zip(one.issued, two.issued, strict=True):
        for name, value in vars(before).items():
            assert np.array_equal(value[then], vars(after)[name][then]), name
        assert not np.array_equal(before.quantiles[~then], after.quantiles[~then])


def test_an_outcome_moves_the_state_when_it_matures_and_not_a_date_earlier():
    given = moments(dates=120)
    changed = given.outcomes.copy()
    changed[given.date == 60] = 9.0
    one, two = (walk(Rules(), of, [0]) for of in (given, replace(given, outcomes=changed)))
    for place, steps in enumerate(HORIZONS):
        same = (one.issued[place].weights == two.issued[place].weights).all(axis=1)
        assert given.date[~same].min() == 60 + steps


@pytest.mark.long
def test_intervals_hold_what_they_promise_of_members_that_are_all_too_narrow():
    given = moments(seed=3, dates=900, tails=1.8, ahead=(1,))
    found = walk(Rules(), given, [])
    late = (given.date > 300) & np.isfinite(given.outcomes[:, 0])
    came = given.outcomes[late, 0]
    for promised, (low, high) in COVERAGES.items():
        for quantiles, close in (
            (found.issued[0].quantiles, True),
            (found.issued[0].uncorrected, 0),
        ):
            inside = (came >= quantiles[late, low]) & (came <= quantiles[late, high])
            assert (abs(inside.mean() - promised) < 0.03) == bool(close)


def test_a_state_that_was_written_and_read_goes_on_with_the_same_bits():
    given, half = moments(dates=200), 100
    whole = walk(Rules(), given, [])
    first = walk(Rules(), given.take(slice(0, half * COINS)), [])
    text = json.dumps(first.timeline.to_json(), allow_nan=False)
    timeline = Timeline.from_json(json.loads(text))
    for now in range(half, 200):
        own = slice(now * COINS, (now + 1) * COINS)
        timeline.absorb(now, lambda date, coins, place: given.outcomes[date * COINS + coins, place])
        said = timeline.issue(
            now, given.coin[own], given.regime[own], given.mean[own], given.quantiles[own]
        )
        for place, one in enumerate(said):
            assert np.array_equal(one.quantiles, whole.issued[place].quantiles[own])
    assert timeline.to_json() == whole.timeline.to_json()


def test_an_outcome_that_never_comes_moves_nothing():
    given = moments(dates=100)
    lost = given.outcomes.copy()
    lost[:] = np.nan
    found = walk(Rules(), replace(given, outcomes=lost), [0, 50])
    state = found.timeline.states[0]
    assert state.usual == (0.0, 0) and not len(state.scores)
    assert state.weights.tolist() == [0.5, *[0.125] * 4]
    assert np.array_equal(found.issued[0].experts[:, :3], given.quantiles[:, :, 0])


def by_regime(seed: int, *, differ: bool) -> tuple[Moments, np.ndarray]:
    """Two members, each of which knows what comes in one of two regimes, if they differ."""
    given = moments(seed, dates=600, ahead=(1,))
    regime = (given.date // 60) % 2
    draw = np.random.default_rng(seed + 1)
    mean, own = given.mean.copy(), given.regime * 0 + regime
    right = 0.7 * given.mean[:, 2] / 0.6
    noise = draw.normal(size=right.shape)
    for member, there in ((1, 0), (2, 1)):
        good = regime == there if differ else np.ones(len(given), bool)
        mean[:, member] = np.where(good[:, None], right, noise)
    quantiles = mean[..., None] + NORMAL
    return replace(given, regime=own, mean=mean, quantiles=quantiles), own


@pytest.mark.long
def test_weights_by_regime_count_where_they_are_better_and_are_off_where_they_are_not():
    for differ in (True, False):
        given, _ = by_regime(5, differ=differ)
        found = walk(Rules(share=0.002), given, [])
        issued = found.issued[0]
        used = np.array_equal(issued.pooled[-100:], issued.by_regime[-100:])
        assert used == differ
        if differ:
            late = slice(-400, -COINS)
            paid = [
                pinball(given.outcomes[late, 0], part[late]).mean()
                for part in (issued.by_regime, issued.by_weights)
            ]
            assert paid[0] < paid[1]
    few = by_regime(5, differ=True)[0].take(slice(0, 300))
    off = walk(Rules(regime_rate=0.0), few, []).issued[0]
    assert np.array_equal(off.pooled, off.by_weights)


def test_a_stack_of_noise_is_nothing_and_one_of_knowledge_is_what_was_planted():
    draw = np.random.default_rng(1)
    dates = np.repeat(np.arange(900), 2)
    mean = draw.normal(size=(len(dates), 3))
    came = draw.normal(size=len(dates))
    assert np.abs(fit_stack(mean, came, dates, 1)).max() < 0.1
    found = fit_stack(mean, came + 0.5 * mean[:, 1], dates, 1)
    assert found[1] == pytest.approx(0.5, abs=0.15) and found[[0, 2]].max() < 0.1
    assert not fit_stack(mean[:50], came[:50], dates[:50], 1).any(), "too few"
    assert experts_of(("a",)) == ("a", STACKED, EQUAL)
