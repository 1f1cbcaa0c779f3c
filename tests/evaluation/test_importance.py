"""Permutation importance: what is exchanged, what stays, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.auditor.auditor_input import AuditorInput, forecast_in
from quantgod.contracts import ALL_FEATURES, FEATURES, PRIMARY, Progress, silent
from quantgod.evaluation.importance import (
    GROUPS,
    Plan,
    evenly,
    groups_of,
    permutation,
    permutation_importance,
)
from quantgod.evaluation.metrics import log_loss, macro_f1
from quantgod.evaluation.subject import RawMaterial
from quantgod.served.calibration import decide
from tests.evaluation.evaluations import WINDOW, ImbalanceSubject
from tests.synthetic import synthetic_bars

EFFECTIVE = 50.0
MATRIX = synthetic_bars(3_000, seed=1)[list(FEATURES)].to_numpy()
ROWS = np.arange(WINDOW - 1, 3_000, 40)
TARGET = np.random.default_rng(0).choice(3, len(ROWS))


@dataclass
class Watched(ImbalanceSubject):
    """Keeps the windows that it is asked of."""

    trust: float = 1.5
    asked: int = 0
    windows: list[np.ndarray] = field(default_factory=list)

    def ask(
        self, material: RawMaterial, rows: np.ndarray, progress: Progress = silent
    ) -> AuditorInput:
        self.windows += [material.matrix[row - WINDOW + 1 : row + 1].copy() for row in rows]
        return super().ask(material, rows, progress)


def test_every_feature_is_in_one_group() -> None:
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(FEATURES)


def test_each_set_of_further_features_is_a_group_of_who_takes_them() -> None:
    assert groups_of(FEATURES) == GROUPS
    wide = groups_of(ALL_FEATURES)
    assert list(wide) == [*GROUPS, "book features", "candle features", "indicator features"]
    assert sorted(name for group in wide.values() for name in group) == sorted(ALL_FEATURES)


@given(st.integers(2, 300), st.integers(0, 2**32))
def test_a_permutation_leaves_nothing_in_its_place(count: int, seed: int) -> None:
    found = permutation(count, np.random.default_rng(seed))
    assert sorted(found) == list(range(count))
    assert (found != np.arange(count)).all()


def test_one_window_cannot_be_exchanged_and_two_can() -> None:
    with pytest.raises(ValueError, match="two windows or more are needed"):
        permutation(1, np.random.default_rng(0))
    assert permutation(2, np.random.default_rng(0)).tolist() == [1, 0]


@given(st.integers(1, 500), st.integers(1, 500))
def test_chosen_rows_are_spread_over_all(count: int, most: int) -> None:
    found = evenly(count, most)
    assert len(found) == min(count, most) and found[0] == 0
    assert most == 1 or found[-1] == count - 1
    steps = np.diff(found)
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


def test_a_group_is_exchanged_whole_and_all_else_stays() -> None:
    subject = Watched()
    plan = Plan(rows=len(ROWS), repeats=2, seed=5)
    permutation_importance(subject, RawMaterial(MATRIX), ROWS, TARGET, plan, EFFECTIVE)
    count = len(ROWS)
    assert len(subject.windows) == count * (1 + 2 * len(GROUPS))
    own = np.array(subject.windows[:count])
    assert np.array_equal(own, [MATRIX[row - WINDOW + 1 : row + 1] for row in ROWS])
    rng = np.random.default_rng(5)
    given = count
    for names in GROUPS.values():
        columns = [FEATURES.index(name) for name in names]
        for _ in range(2):
            other = permutation(count, rng)
            expected = own.copy()
            expected[:, :, columns] = own[other][:, :, columns]
            assert np.array_equal(subject.windows[given : given + count], expected)
            given += count


def test_importance_is_how_much_worse_the_scores_become() -> None:
    subject, plan = ImbalanceSubject(), Plan(rows=50, repeats=3, seed=5)
    told: list[tuple[int, int, str]] = []
    found = permutation_importance(
        subject, RawMaterial(MATRIX), ROWS, TARGET, plan, EFFECTIVE, lambda *one: told.append(one)
    )
    assert told == [(done, 19, "importance") for done in range(1, 20)]
    assert (found.rows, found.repeats, subject.asked) == (50, 3, 50 * 19)
    chosen = evenly(len(ROWS), 50)
    ends, came = ROWS[chosen], TARGET[chosen]
    own = subject.ask(RawMaterial(MATRIX), ends).meta

    def base(meta: np.ndarray) -> np.ndarray:
        return forecast_in(meta, subject.base_weights).probabilities[:, PRIMARY]

    rng = np.random.default_rng(5)
    orders = {group: [permutation(50, rng) for _ in range(3)] for group in GROUPS}
    for model, ask in (("auditor", subject.audited), ("base", base)):
        rises = [
            log_loss(came, ask(own[order])) - log_loss(came, ask(own))
            for order in orders["imbalance"]
        ]
        loss = found.models[model]["imbalance"]
        # This subject reads imbalance alone, so another window's imbalance is another window.
        assert loss.log_loss_by_repeat == pytest.approx(rises)
        assert loss.log_loss_rise.value == pytest.approx(np.mean(rises))
        assert loss.log_loss_rise.low <= loss.log_loss_rise.value <= loss.log_loss_rise.high
        before = macro_f1(came, decide(ask(own), subject.decision_weights))
        falls = [
            before - macro_f1(came, decide(ask(own[order]), subject.decision_weights))
            for order in orders["imbalance"]
        ]
        assert loss.macro_f1_by_repeat == pytest.approx(falls)
        assert loss.macro_f1_fall.value == pytest.approx(np.mean(falls))


def test_what_the_model_does_not_read_costs_nothing_and_what_it_reads_does() -> None:
    # What it says is true: targets are drawn from its own probabilities.
    subject = ImbalanceSubject()
    said = subject.audited(subject.ask(RawMaterial(MATRIX), ROWS).meta)
    ladder = np.cumsum(said, axis=1)[:, :2]
    target = (np.random.default_rng(4).random(len(ROWS))[:, None] > ladder).sum(axis=1)
    plan = Plan(rows=1_000, repeats=3, seed=5)
    found = permutation_importance(subject, RawMaterial(MATRIX), ROWS, target, plan, EFFECTIVE)
    for groups in found.models.values():
        assert groups["imbalance"].log_loss_rise.low > 0
        assert groups["imbalance"].macro_f1_fall.value > 0
        for group in GROUPS.keys() - {"imbalance"}:
            assert groups[group].log_loss_rise[:3] == (0, 0, 0)
            assert groups[group].macro_f1_fall[:3] == (0, 0, 0)


def test_the_seed_decides() -> None:
    def importance(seed: int) -> object:
        plan = Plan(rows=40, repeats=1, seed=seed)
        return permutation_importance(
            ImbalanceSubject(), RawMaterial(MATRIX), ROWS, TARGET, plan, EFFECTIVE
        )

    assert importance(1) == importance(1)
    assert importance(1) != importance(2)
