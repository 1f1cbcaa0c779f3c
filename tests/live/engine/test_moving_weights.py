"""Weights live are those of a batch, whatever comes later and however often a session begins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantgod.contracts import FEATURES
from quantgod.contracts.panel import Panel, Vote
from quantgod.dataset.labels import label
from quantgod.evaluation.subject import outcomes_of
from quantgod.live.engine.closes import Closes
from quantgod.live.engine.moving_weights import MovingWeights, SymbolWeights
from quantgod.live.engine.past_votes import PastVotes
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.outcome import Outcome
from quantgod.served.combiners.votes import Votes
from quantgod.served.combiners.weights import Adaptive, Hedge
from quantgod.settings import LabelSettings

BRIDGE, FIRST = 2, 28_401_120
LABEL = LabelSettings(horizon_minutes=7, buy_above=0.001, sell_below=-0.001)
RULES = [Hedge(rate=3.0, delay=3), Adaptive(half_life=20.0, prior=5.0)]
MOVING = Combiner(
    ("a", "b", "c"), "weighted_voting", (0.5, 0.3, 0.2), online=RULES[0], every=2,
    outcome=Outcome(7, 0.001, -0.001),
)  # fmt: skip
RULE = st.sampled_from(RULES)


class Market:
    """Minutes with gaps, their closes, and what three members say of them; some are absent."""

    def __init__(self, seed: int, count: int = 120) -> None:
        rng = np.random.default_rng(seed)
        self.minutes = FIRST + np.cumsum(rng.choice([1, 1, 1, 1, 1, 1, 2, 3, 4, 5], count))
        self.close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, count)))
        self.said = rng.dirichlet([1.0, 1, 1], (3, count))
        self.present = rng.random((3, count)) < 0.8
        self.said[~self.present] = np.nan

    def panel(self, at: int) -> Panel:
        votes = (
            Vote(name, tuple(chances), 0.5, 0.0, 1.0, 0.3, "" if speaks else "cold: 1 of 2 rows")
            for name, chances, speaks in zip(
                "abc", self.said[:, at].tolist(), self.present[:, at].tolist(), strict=True
            )
        )
        return Panel(int(self.minutes[at]), tuple(votes), "BUY", 1.0, 1.0, True)

    def past(self, states: Sequence[str]) -> list[PastVotes]:
        """As they come back from the journal."""
        return [
            PastVotes(int(minute), self.said[:, at], self.present[:, at], state)
            for at, (minute, state) in enumerate(zip(self.minutes, states, strict=False))
        ]

    def batch(self, combiner: Combiner) -> np.ndarray:
        """The weights of all minutes, (members, minutes), by the function of the test part."""
        index = pd.to_datetime(self.minutes * 60, unit="s", utc=True)
        bars = pd.DataFrame(0.0, index=index, columns=[*FEATURES]).assign(close=self.close)
        outcomes = outcomes_of(label(bars, LABEL, BRIDGE))
        votes = Votes(self.said, *np.zeros((2, *self.present.shape)), self.present)
        return combiner.weights_over(votes, *outcomes)[0]


def lived(
    market: Market, combiner: Combiner, begin: int = 0, end: int | None = None,
    past: Sequence[PastVotes] = (),
) -> tuple[np.ndarray, list[str]]:  # fmt: skip
    """The weights and states of minutes as a session from `begin` on has them."""
    closes = Closes(BRIDGE)
    closes.fill(market.minutes, market.close)  # the future of a replay is in the journal too
    moving, found, states = MovingWeights(combiner, closes, past), [], []
    for at in range(begin, len(market.minutes) if end is None else end):
        minute = int(market.minutes[at])
        closes.take(minute, float(market.close[at]))
        found.append(moving.at(minute))
        states.append(moving.state)
        moving.add(market.panel(at))
    return np.stack(found, axis=1), states


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), RULE)
def test_weights_live_are_those_of_the_test_part_to_the_bit(seed: int, rule: Hedge) -> None:
    market, combiner = Market(seed), replace(MOVING, online=rule)
    found, _ = lived(market, combiner)
    assert found.tobytes() == market.batch(combiner).tobytes()
    assert len(np.unique(found[0])) > 2, "outcomes have moved them"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 119), RULE)
def test_whatever_comes_after_a_minute_its_weights_stay(seed: int, at: int, rule: Hedge) -> None:
    market, other, combiner = Market(seed), Market(seed), replace(MOVING, online=rule)
    drawn = Market(seed + 1)
    other.said[:, at:], other.present[:, at:] = drawn.said[:, at:], drawn.present[:, at:]
    other.close[at + 1 :] = drawn.close[at + 1 :]
    other.minutes[at + 1 :] += 3
    until, states = lived(market, combiner)
    same, same_states = lived(other, combiner)
    assert until[:, : at + 1].tobytes() == same[:, : at + 1].tobytes()
    assert states[: at + 1] == same_states[: at + 1]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 119), max_size=3), RULE)
def test_a_session_that_starts_again_goes_on_as_if_it_had_never_ended(
    seed: int, cuts: list[int], rule: Hedge
) -> None:
    market, combiner = Market(seed), replace(MOVING, online=rule)
    whole, states = lived(market, combiner)
    begin, kept, parts = 0, [], []
    for end in [*sorted(set(cuts)), 120]:
        part, told = lived(market, combiner, begin, end, market.past(kept))
        parts.append(part)
        kept += told
        begin = end
    assert np.hstack(parts).tobytes() == whole.tobytes()
    assert kept == states


def test_votes_of_minutes_that_are_played_again_are_left_out() -> None:
    market = Market(3)
    whole, states = lived(market, MOVING)
    again, _ = lived(market, MOVING, past=market.past(states))
    assert again.tobytes() == whole.tobytes()


def test_second_votes_of_a_minute_change_nothing() -> None:
    """A champion that is the challenger as well votes twice."""
    market, closes = Market(5), Closes(BRIDGE)
    moving = MovingWeights(MOVING, closes)
    for at in range(len(market.minutes)):
        minute = int(market.minutes[at])
        closes.take(minute, float(market.close[at]))
        first = moving.at(minute)
        moving.add(market.panel(at))
        assert moving.at(minute).tobytes() == first.tobytes()
        moving.add(market.panel(0)._replace(minute=minute))
    assert first.tobytes() == lived(market, MOVING)[0][:, -1].tobytes()


def test_weights_that_have_moved_on_are_not_told_of_an_earlier_minute() -> None:
    moving = MovingWeights(MOVING, Closes(BRIDGE))
    moving.at(FIRST + 1)
    with pytest.raises(ValueError, match=f"from {FIRST + 1} on expected, got {FIRST}: weights"):
        moving.at(FIRST)


def test_each_version_has_weights_of_its_own_and_fixed_ones_have_none() -> None:
    weights = SymbolWeights("X", None, BRIDGE)
    one, other = (weights.of("quantgod", version, MOVING) for version in (1, 2))
    assert one is not other
    assert weights.of("quantgod", 1, MOVING) is one
    assert weights.of("quantgod", 3, replace(MOVING, online=None)) is None


@pytest.mark.parametrize("kept", [7, 8])
def test_what_came_of_a_minute_is_told_as_long_as_its_close_is_kept(kept: int) -> None:
    closes = Closes(BRIDGE, kept)
    for minute in range(FIRST, FIRST + 8):
        closes.take(minute, 100.0 + minute - FIRST)
    horizon = LABEL
    assert closes.outcome(FIRST, horizon) == (2 if kept == 8 else None)
    assert closes.outcome(FIRST + 1, horizon) is None


def test_a_state_is_kept_as_text_to_the_bit() -> None:
    market = Market(11)
    _, states = lived(market, MOVING)
    values = json.loads(states[-1])
    assert [*values] == ["weights"]
    assert MOVING.started({"weights": np.array(values["weights"])}).weights.tobytes() == (
        lived(market, MOVING)[0][:, -1].tobytes()
    )
