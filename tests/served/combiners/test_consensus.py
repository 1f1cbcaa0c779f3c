"""The properties of each strategy, and document 001's worked example."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quantgod.served.combiners.consensus import Consensus, consensus
from quantgod.served.combiners.strategies import STRATEGIES
from quantgod.served.combiners.votes import BUY, NEUTRAL, SELL, UNDECIDED, Rules, Votes, likeliest

MOMENTS = 7
EXAMPLE = Votes(
    probabilities=np.array([[[0.1, 0.15, 0.75]], [[0.12, 0.2, 0.68]], [[0.2, 0.55, 0.25]]]),
    confidence=np.array([[0.75], [0.68], [0.55]]),
    expected_return=np.array([[0.002], [0.0018], [0.0001]]),
    present=np.ones((3, 1), dtype=np.bool_),
)
RULES = Rules(quorum=2, min_agreement=0.6, confidence_threshold=0.5, neutral_threshold=0.1)
few = settings(max_examples=15)
"""For each of the strategies."""
strategies = pytest.mark.parametrize("strategy", sorted(STRATEGIES))


@st.composite
def ballots(draw: st.DrawFn, least: int = 1, most: int = 5) -> tuple[Votes, np.ndarray]:
    """Draw votes and weights: ties, certainties, absent members and members without a weight."""
    members = draw(st.integers(least, most))
    cells = st.sampled_from([0, 1, 1, 2, 3, 5, 8, 100])
    raw = draw(arrays(np.float64, (members, MOMENTS, 3), elements=cells)) + 0.0
    raw[raw.sum(axis=-1) == 0] = 1.0
    unit = arrays(np.float64, (members, MOMENTS), elements=st.sampled_from([0, 0.3, 0.5, 0.9, 1]))
    votes = Votes(
        raw / raw.sum(axis=-1, keepdims=True),
        draw(unit),
        draw(unit) - 0.5,
        draw(arrays(np.bool_, (members, MOMENTS))),
    )
    weights = draw(arrays(np.float64, members, elements=st.sampled_from([0, 0.1, 1, 2.5, 7])))
    return votes, weights


rules = st.builds(
    Rules,
    quorum=st.integers(1, 3),
    min_agreement=st.sampled_from([0.0, 0.5, 0.6, 1.0]),
    confidence_threshold=st.sampled_from([0.0, 0.5, 0.9]),
    neutral_threshold=st.sampled_from([0.0, 0.1, 0.5]),
    class_weights=st.sampled_from([(1.0, 1.0, 1.0), (2.0, 1.0, 2.0)]),
)


def the_same(one: Consensus, other: Consensus, order: object = slice(None)) -> None:
    """Compare to the bit, members of the first taken in an order."""
    for name in one.__dataclass_fields__:
        mine = getattr(one, name)
        mine = mine[order] if name == "contributions" else mine
        np.testing.assert_array_equal(mine, getattr(other, name), err_msg=name)


def test_the_worked_example_of_document_001_holds_to_two_digits() -> None:
    said = consensus("weighted_voting", EXAMPLE, np.array([0.4, 0.35, 0.25]), RULES)
    assert said.direction[0] == BUY
    assert round(said.confidence[0], 2) == 0.67
    assert round(said.meta_confidence[0], 2) == 0.85
    assert round(said.agreement[0], 2) == 0.67
    assert said.should_trade[0]
    np.testing.assert_allclose(said.probabilities[0], [0.132, 0.2675, 0.6005])
    np.testing.assert_allclose(said.expected_return[0], 0.4 * 0.002 + 0.35 * 0.0018 + 0.25e-4)
    parts = np.array([0.4 * 0.75, 0.35 * 0.68, 0.25 * 0.25])
    np.testing.assert_allclose(said.contributions[:, 0], parts / parts.sum())


@strategies
@few
@given(drawn=ballots(), rules=rules, seed=st.integers(0, 99))
def test_the_order_of_members_changes_no_bit(
    strategy: str, drawn: tuple[Votes, np.ndarray], rules: Rules, seed: int
) -> None:
    votes, weights = drawn
    order = np.random.default_rng(seed).permutation(len(weights))
    shuffled = consensus(strategy, votes.only(order), weights[order], rules)
    the_same(consensus(strategy, votes, weights, rules), shuffled, order)


@strategies
@few
@given(drawn=ballots(), rules=rules)
def test_an_answer_is_on_the_simplex_and_a_moment_without_one_is_not_traded(
    strategy: str, drawn: tuple[Votes, np.ndarray], rules: Rules
) -> None:
    votes, weights = drawn
    said = consensus(strategy, votes, weights, rules)
    speaks = said.direction != UNDECIDED
    np.testing.assert_allclose(said.probabilities[speaks].sum(axis=1), 1.0)
    assert (said.probabilities[speaks] >= 0).all()
    np.testing.assert_allclose(said.contributions[:, speaks].sum(axis=0), 1.0)
    assert np.isnan(said.probabilities[~speaks]).all()
    assert not said.should_trade[~speaks].any()
    assert not said.should_trade[said.direction == NEUTRAL].any()
    nobody = replace(votes, present=np.zeros_like(votes.present))
    silent = consensus(strategy, nobody, weights, rules)
    assert (silent.direction == UNDECIDED).all()
    assert not silent.should_trade.any()


@strategies
@few
@given(drawn=ballots(), rules=rules, absent=ballots(1, 1))
def test_a_member_that_is_absent_from_all_moments_is_as_if_it_were_not_there(
    strategy: str, drawn: tuple[Votes, np.ndarray], rules: Rules, absent: tuple[Votes, np.ndarray]
) -> None:
    if strategy == "unanimous":  # there it is a member that has not agreed; see below
        return
    votes, weights = drawn
    other = replace(absent[0], present=np.zeros((1, MOMENTS), dtype=np.bool_))
    both = joined(votes, replace(other, confidence=other.confidence + np.nan))
    said = consensus(strategy, both, np.append(weights, 3.0), rules)
    the_same(said, consensus(strategy, votes, weights, rules), slice(0, len(weights)))


@strategies
@few
@given(drawn=ballots(1, 1))
def test_a_single_member_is_given_back(strategy: str, drawn: tuple[Votes, np.ndarray]) -> None:
    votes = replace(drawn[0], confidence=np.maximum(drawn[0].confidence, 0.1))
    said = consensus(strategy, votes, np.array([0.7]), Rules())
    speaks = votes.present[0]
    np.testing.assert_allclose(
        said.probabilities[speaks], votes.probabilities[0][speaks], atol=1e-11
    )
    np.testing.assert_array_equal(said.direction[speaks], likeliest(votes.probabilities[0])[speaks])
    np.testing.assert_allclose(said.confidence[speaks], votes.confidence[0][speaks])
    np.testing.assert_array_equal(said.expected_return[speaks], votes.expected_return[0][speaks])
    assert (said.direction[~speaks] == UNDECIDED).all()


@strategies
@few
@given(drawn=ballots(), rules=rules)
def test_who_mirrors_the_votes_mirrors_the_answer(
    strategy: str, drawn: tuple[Votes, np.ndarray], rules: Rules
) -> None:
    votes, weights = drawn
    flipped = replace(
        votes,
        probabilities=votes.probabilities[..., ::-1].copy(),
        expected_return=-votes.expected_return,
    )
    said, other = (consensus(strategy, one, weights, rules) for one in (votes, flipped))
    mirror = np.array([BUY, NEUTRAL, SELL, UNDECIDED])
    np.testing.assert_array_equal(mirror[said.direction], other.direction)
    np.testing.assert_array_equal(said.should_trade, other.should_trade)
    np.testing.assert_allclose(said.probabilities[:, ::-1], other.probabilities, atol=1e-15)
    np.testing.assert_allclose(said.expected_return, -other.expected_return, atol=1e-15)


@strategies
def test_a_tie_between_buy_and_sell_is_neutral(strategy: str) -> None:
    votes = EXAMPLE.only([0, 0])
    flipped = votes.probabilities.copy()
    flipped[1] = flipped[1, :, ::-1]
    said = consensus(strategy, replace(votes, probabilities=flipped), np.ones(2), Rules())
    assert said.direction[0] == NEUTRAL
    assert not said.should_trade[0]


@given(drawn=ballots(), factor=st.sampled_from([0.125, 4.0, 1024.0]))
def test_the_weighted_mean_lies_among_its_members_and_only_ratios_of_weights_count(
    drawn: tuple[Votes, np.ndarray], factor: float
) -> None:
    votes, weights = drawn
    said = consensus("weighted_voting", votes, weights, Rules())
    heard = votes.present & (weights > 0)[:, None]
    low = np.where(heard[..., None], votes.probabilities, np.inf).min(axis=0)
    high = np.where(heard[..., None], votes.probabilities, -np.inf).max(axis=0)
    speaks = said.direction != UNDECIDED
    assert (said.probabilities[speaks] >= low[speaks] - 1e-12).all()
    assert (said.probabilities[speaks] <= high[speaks] + 1e-12).all()
    the_same(said, consensus("weighted_voting", votes, weights * factor, Rules()))


@given(drawn=ballots(), more=ballots(1, 1), rules=rules)
def test_one_more_member_never_adds_a_unanimous_trade(
    drawn: tuple[Votes, np.ndarray], more: tuple[Votes, np.ndarray], rules: Rules
) -> None:
    votes, weights = drawn[0], np.maximum(drawn[1], 0.1)
    rules = replace(rules, quorum=1)
    fewer = consensus("unanimous", votes, weights, rules)
    all_of_them = consensus("unanimous", joined(votes, more[0]), np.append(weights, 1.0), rules)
    assert not (all_of_them.should_trade & ~fewer.should_trade).any()


@given(drawn=ballots(), rules=rules, seed=st.integers(0, 99))
def test_the_majoritys_direction_depends_on_the_likeliest_classes_alone(
    drawn: tuple[Votes, np.ndarray], rules: Rules, seed: int
) -> None:
    votes, weights = drawn
    extreme = np.eye(3)[rules.directions(votes.probabilities)]
    other = replace(votes, probabilities=0.4 * extreme + 0.2)
    one, two = (consensus("majority", each, weights, rules) for each in (votes, other))
    np.testing.assert_array_equal(one.direction, two.direction)
    np.testing.assert_array_equal(one.agreement, two.agreement)


@given(drawn=ballots())
def test_equal_confidences_give_the_weighted_mean(drawn: tuple[Votes, np.ndarray]) -> None:
    votes, weights = drawn
    even = replace(votes, confidence=np.full_like(votes.confidence, 0.5))
    one, two = (
        consensus(strategy, even, weights, Rules())
        for strategy in ("confidence_based", "weighted_voting")
    )
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-15)


def test_a_member_that_says_no_return_has_no_part_in_the_expected_one() -> None:
    weights = np.array([0.4, 0.35, 0.25])
    told = EXAMPLE.expected_return.copy()
    told[0] = np.nan
    said = consensus("weighted_voting", replace(EXAMPLE, expected_return=told), weights, RULES)
    mean = (0.35 * 0.0018 + 0.25 * 0.0001) / 0.6
    np.testing.assert_allclose(said.expected_return, mean)
    none = replace(EXAMPLE, expected_return=np.full((3, 1), np.nan))
    assert np.isnan(consensus("weighted_voting", none, weights, RULES).expected_return).all()


def test_below_the_quorum_there_is_no_answer() -> None:
    alone = replace(EXAMPLE, present=np.array([[True], [False], [False]]))
    assert consensus("weighted_voting", alone, np.ones(3), RULES).direction[0] == UNDECIDED
    assert (
        consensus("weighted_voting", alone, np.ones(3), replace(RULES, quorum=1)).direction[0]
        == BUY
    )


def test_a_member_below_its_least_confidence_is_not_heard() -> None:
    barred = EXAMPLE.barred([0.6, 0.55, 0.56])
    assert barred.present[:, 0].tolist() == [True, True, False]
    assert EXAMPLE.barred([0.75, 0.55, 0.55]).present.all()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            {"probabilities": EXAMPLE.probabilities * np.nan},
            "member 0, moment 0: probabilities that add",
        ),
        ({"probabilities": EXAMPLE.probabilities * 1.01}, "probabilities that add"),
        ({"probabilities": EXAMPLE.probabilities[..., :2]}, "3 classes expected"),
        ({"confidence": EXAMPLE.confidence + 1}, "a confidence of"),
        ({"expected_return": EXAMPLE.expected_return * np.inf}, "a finite expected return"),
    ],
)
def test_votes_that_are_none_are_refused_by_name(change: dict[str, np.ndarray], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        replace(EXAMPLE, **change)


@pytest.mark.parametrize("weights", [[1, np.nan, 1], [1, -1, 1], [1, 1]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="3 weights of 0 or more expected"):
        consensus("weighted_voting", EXAMPLE, np.array(weights, np.float64), RULES)


def test_an_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"majority.*'loudest'"):
        consensus("loudest", EXAMPLE, np.ones(3), RULES)


def joined(one: Votes, other: Votes) -> Votes:
    """Return the votes of both."""
    return Votes(
        *(
            np.concatenate([getattr(one, name), getattr(other, name)])
            for name in one.__dataclass_fields__
        )
    )
