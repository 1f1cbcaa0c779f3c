"""Loss and score against their definitions, written by other means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_fscore_support

from quantgod.contracts import CLASSES
from quantgod.dataset.labels import label
from quantgod.dataset.samples import Samples, samples
from quantgod.models import zoo
from quantgod.models.heads import HeadLayers
from quantgod.settings import LabelSettings
from quantgod.training.confusion import confusion_matrix, precision_recall_f1
from quantgod.training.loop import fit
from quantgod.training.objectives import (
    Direction,
    MultiTask,
    Objective,
    ScaledReturns,
    Trend,
    WeightedCrossEntropy,
    objective_of,
)
from tests.synthetic import synthetic_bars
from tests.training.problems import LABELS, SMALL, Problem, train_settings

WEIGHTS = (2.0, 1.0, 2.0)

pairs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


def test_the_loss_weighs_each_window_by_its_class() -> None:
    logits = torch.randn(40, 3, generator=torch.manual_seed(0))
    target = torch.arange(40) % 3
    weights = np.array(WEIGHTS)[target.numpy()]
    chances = np.exp(logits.numpy().astype(float))
    chances /= chances.sum(1, keepdims=True)
    surprise = -np.log(chances[np.arange(40), target])
    wanted = (weights * surprise).sum() / weights.sum()
    assert float(
        WeightedCrossEntropy(WEIGHTS).loss({"logits": logits[:, None]}, target)
    ) == pytest.approx(wanted, rel=1e-6)


@given(pairs)
@settings(max_examples=50, deadline=None)
def test_the_figures_are_those_of_scikit_learn(drawn: list[tuple[int, int]]) -> None:
    truth, said = np.array(drawn).T
    wanted = precision_recall_fscore_support(truth, said, labels=[0, 1, 2], zero_division=0)
    came = precision_recall_f1(confusion_matrix(truth, said))
    np.testing.assert_allclose(came, np.stack(wanted[:3]))


def test_a_model_that_always_says_neutral_scores_what_facts_say() -> None:
    """77 % NEUTRAL: accuracy 0.77 and macro-F1 0.29 (2 * 0.77 / 1.77 / 3)."""
    truth = torch.tensor([1] * 77 + [0] * 12 + [2] * 11)
    always = {"logits": torch.tensor([0.0, 1.0, 0.0]).expand(100, 1, 3)}
    score, figures = WeightedCrossEntropy(WEIGHTS).judge(always, truth)
    assert score == figures["macro_f1"] == pytest.approx(2 * 0.77 / 1.77 / 3)
    assert [figures[f"recall_{name.lower()}"] for name in CLASSES] == [0, 1, 0]


def test_a_direction_is_up_or_down_and_never_neutral(small: Problem) -> None:
    objective, heads = Direction(), Direction().heads
    target = objective.targets(small.train)
    assert set(target.tolist()) == {0, 2}
    assert np.array_equal(target == 2, small.train.returns[:, 0] > 0)
    seen = torch.randn(len(target), 5, generator=torch.manual_seed(1))
    output = HeadLayers(5, heads)(seen)
    chance = output["probs"][:, 0, 2].detach().numpy().astype(float)
    likely = np.where(target == 2, chance, 1 - chance)
    assert objective.loss(output, target).item() == pytest.approx(-np.log(likely).mean(), rel=1e-5)
    score, figures = objective.judge(output, target)
    said = np.where(chance > 0.5, 2, 0)
    assert score == pytest.approx(f1_score(target, said, labels=[0, 2], average="macro"))
    assert figures["accuracy"] == pytest.approx((said == target.numpy()).mean())


HORIZONS = (60, 10, 90)


def several() -> Samples:
    further = [{"horizon_minutes": h, "buy_above": 0.004, "sell_below": -0.004} for h in (10, 90)]
    labels = LabelSettings.model_validate({**LABELS.model_dump(), "further": further})
    return samples(label(synthetic_bars(600, seed=2), labels, 5), 20, 1)


def test_multi_task_targets_are_classes_and_returns_in_past_volatility() -> None:
    found = several()
    assert found.horizons == HORIZONS
    target = MultiTask(WEIGHTS, found.horizons).targets(found).numpy()
    assert np.array_equal(target[..., 0], found.classes)
    returns = synthetic_bars(600, seed=2)["log_ret_close"].to_numpy()
    for place in (0, 39, 40, 41, 200, len(found) - 1):
        row = found.row[place]
        if row < 59:
            assert np.isnan(target[place, :, 1]).all(), "an hour of past is needed"
            continue
        volatility = returns[row - 59 : row + 1].std(ddof=1)
        for k, horizon in enumerate(HORIZONS):
            total = returns[row + 1 : row + horizon + 1].sum() / (volatility * horizon**0.5)
            assert target[place, k, 1] == pytest.approx(total, rel=1e-4)


def test_multi_task_losses_are_those_written_out() -> None:
    found = several()
    objective = MultiTask(WEIGHTS, HORIZONS)
    target = objective.targets(found)
    seen = torch.randn(len(found), 4, generator=torch.manual_seed(3))
    with torch.no_grad():
        output = HeadLayers(4, objective.heads)(seen)
    wanted = 0.0
    for k, horizon in enumerate(HORIZONS):
        one = {"logits": output["logits"][:, k : k + 1]}
        truth = target[:, k, 0].long()
        direction = WeightedCrossEntropy(WEIGHTS).loss(one, truth).item()
        is_right = (output["logits"][:, k].argmax(1) == truth).numpy()
        sure = output["confidence"][:, k].detach().numpy().astype(float)
        confidence = -np.log(np.where(is_right, sure, 1 - sure)).mean()
        error = (output["expected_return"][:, k].detach() - target[:, k, 1]).numpy().astype(float)
        error = np.abs(error[np.isfinite(error)])
        huber = np.where(error < 1, error**2 / 2, error - 0.5).mean()
        wanted += (direction + 0.5 * confidence + 0.3 * huber) / horizon**0.5
    assert objective.loss(output, target).item() == pytest.approx(wanted, rel=1e-4)
    score, figures = objective.judge(output, target)
    said = output["logits"].argmax(-1).numpy()
    for k, horizon in enumerate(HORIZONS):
        f1 = f1_score(found.classes[:, k], said[:, k], labels=[0, 1, 2], average="macro")
        assert figures[f"macro_f1_{horizon}"] == pytest.approx(f1)
    assert score == figures["macro_f1"] == figures["macro_f1_60"]


def test_a_moment_without_volatility_moves_no_expected_return() -> None:
    found = several()
    objective = MultiTask(WEIGHTS, HORIZONS)
    target, unknown = objective.targets(found), ~np.isfinite(found.volatility)
    assert unknown.sum() == 40
    seen = torch.randn(len(found), 4, requires_grad=True)
    heads = HeadLayers(4, objective.heads)
    heads.direction.requires_grad_(False)
    with torch.no_grad():
        heads.direction.weight.zero_()
    objective.loss(heads(seen), target).backward()
    moved = (seen.grad != 0).any(1).numpy()
    assert np.array_equal(moved, ~unknown)


def test_the_strength_of_a_trend_is_the_share_of_the_way_that_leads_on() -> None:
    bars, found = synthetic_bars(600, seed=2), several()
    close = bars["close"].to_numpy()
    for place in (0, 57, len(found) - 1):
        for k, horizon in enumerate(HORIZONS):
            path = np.log(close[found.row[place] : found.row[place] + horizon + 1])
            strength = abs(path[-1] - path[0]) / np.abs(np.diff(path)).sum()
            assert found.efficiency[place, k] == pytest.approx(strength, rel=1e-9)
    still = bars.assign(close=7.0)
    assert (samples(label(still, LABELS, 5), 20, 1).efficiency == 0).all()
    one_way = bars.assign(close=np.exp(np.arange(len(bars)) * 1e-3))
    assert (samples(label(one_way, LABELS, 5), 20, 1).efficiency > 1 - 1e-9).all()


def test_a_bridged_gap_is_one_move_and_a_last_minute_that_is_not_there_leaves_it_open() -> None:
    bars = synthetic_bars(600, seed=2)
    gaps = label(bars.drop(bars.index[[100, 101, 102]]), LABELS, 5)
    found = samples(gaps, 20, 1)
    place = int(np.flatnonzero(found.row == 70)[0])  # 60 minutes on are 57 rows on
    path = np.log(gaps["close"].to_numpy()[70:128])
    strength = abs(path[-1] - path[0]) / np.abs(np.diff(path)).sum()
    assert found.efficiency[place, 0] == pytest.approx(strength, rel=1e-9)
    without = samples(gaps.drop(gaps.index[127]), 20, 1)
    assert np.isnan(without.efficiency[without.row == 70, 0]).all()
    assert np.isfinite(without.efficiency[without.row < 67, 0]).all()


def test_trend_losses_are_those_written_out_whole_and_in_parts() -> None:
    found, objective = several(), Trend(WEIGHTS)
    target = objective.targets(found)
    assert np.array_equal(target[:, 0], found.target)
    target[3, 1] = torch.nan
    seen = torch.randn(len(found), 4, generator=torch.manual_seed(3))
    with torch.no_grad():
        output = HeadLayers(4, objective.heads)(seen)
    said = np.delete(output["trend"][:, 0].numpy().astype(float), 3)
    came = np.delete(target[:, 1].numpy().astype(float), 3)
    classes = WeightedCrossEntropy(WEIGHTS)
    wanted = -(came * np.log(said) + (1 - came) * np.log(1 - said)).mean()
    wanted += classes.loss(output, target[:, 0].long()).item()
    assert objective.loss(output, target).item() == pytest.approx(wanted, rel=1e-5)
    parts = [
        objective.loss({k: v[cut] for k, v in output.items()}, target[cut], target).item()
        for cut in (slice(0, 5), slice(5, None))
    ]
    assert sum(parts) == pytest.approx(wanted, rel=1e-5)
    score, figures = objective.judge(output, target)
    assert score == classes.judge(output, target[:, 0].long()).score
    assert figures["trend_error"] == pytest.approx(((said - came) ** 2).mean() ** 0.5)
    assert figures["trend_r2"] == pytest.approx(1 - ((said - came) ** 2).mean() / came.var())
    flat = torch.stack([target[:, 0], torch.full((len(target),), 0.25)], dim=1)
    assert objective.judge(output, flat).figures["trend_r2"] == 0


def test_scaled_returns_pay_and_score_by_the_root_of_the_horizon() -> None:
    found, objective = several(), ScaledReturns(HORIZONS)
    target = objective.targets(found)
    assert target.isnan().sum() == 3 * 40  # an hour of past is needed
    of_both = MultiTask(WEIGHTS, HORIZONS).targets(found)[..., 1]
    torch.testing.assert_close(target, of_both, rtol=0, atol=0, equal_nan=True)
    target[100:150, 1] = torch.nan
    with torch.no_grad():
        seen = torch.randn(len(found), 4, generator=torch.manual_seed(3))
        output = HeadLayers(4, objective.heads)(seen)
    assert output.keys() == {"expected_return"}
    said, weights = output["expected_return"].numpy().astype(float), np.array(HORIZONS) ** -0.5
    score, figures = objective.judge(output, target)
    hubers = []
    for k, horizon in enumerate(HORIZONS):
        known = np.isfinite(target[:, k].numpy())
        came = target[known, k].numpy().astype(float)
        error = np.abs(said[known, k] - came)
        hubers.append(np.where(error < 1, error**2 / 2, error - 0.5).mean())
        assert figures[f"huber_{horizon}"] == pytest.approx(hubers[-1], rel=1e-5)
        skill = 1 - (error**2).mean() / (came**2).mean()
        assert figures[f"mse_skill_{horizon}"] == pytest.approx(skill, rel=1e-4)
    wanted = np.average(hubers, weights=weights)
    assert objective.loss(output, target).item() == pytest.approx(wanted, rel=1e-5)
    assert score == figures["minus_huber"] == pytest.approx(-wanted, rel=1e-5)
    parts = [
        objective.loss({k: v[cut] for k, v in output.items()}, target[cut], target).item()
        for cut in (slice(0, 50), slice(50, None))
    ]
    assert sum(parts) == pytest.approx(wanted, rel=1e-5)
    unknown = torch.full_like(target, torch.nan)
    assert set(objective.judge(output, unknown).figures.values()) == {0.0}
    assert objective.loss(output, unknown) == 0


@pytest.mark.parametrize("objective", [Direction(), MultiTask(WEIGHTS, (60,)), Trend(WEIGHTS)])
def test_a_network_is_trained_for_what_an_objective_asks(
    small: Problem, objective: Objective
) -> None:
    shapes = small.material.views.shapes
    model = zoo.build("tcn_lstm", SMALL, shapes=shapes, heads=objective.heads, seed=1)
    done = fit(
        model, small.material.views, small.train, small.validation, train_settings(epochs=2),
        objective=objective,
    )  # fmt: skip
    assert done.best_score == max(epoch.score for epoch in done.history) > 0


@pytest.mark.parametrize("objective", [Direction(), WeightedCrossEntropy(WEIGHTS)])
def test_of_several_horizons_the_first_is_read(objective: Objective) -> None:
    logits = torch.randn(30, 3, 3, generator=torch.manual_seed(5))
    target = torch.arange(30) % 2 * 2
    alone, several_of = {"logits": logits[:, :1]}, {"logits": logits}
    assert objective.loss(several_of, target) == objective.loss(alone, target)
    assert objective.judge(several_of, target) == objective.judge(alone, target)


def test_a_return_of_nothing_is_no_rise() -> None:
    found = several()
    returns = np.array([[0.0, 1.0, 1.0], [1e-9, -1.0, -1.0], [-1e-9, 1.0, 1.0]])
    zero = replace(found.take(np.arange(3)), returns=returns)
    assert Direction().targets(zero).tolist() == [0, 2, 0]


def test_a_head_that_is_sure_pays_a_finite_price() -> None:
    objective = MultiTask(WEIGHTS, (4, 9))
    target = torch.tensor([[[0.0, torch.nan], [2.0, 0.5]], [[1.0, torch.nan], [1.0, 3.0]]])
    logits = torch.tensor([[[9.0, 0, 0], [9.0, 0, 0]], [[9.0, 0, 0], [0, 9.0, 0]]])
    output = {
        "logits": logits,
        "confidence": torch.tensor([[1.0, 1.0], [0.0, 0.25]]),
        "expected_return": torch.tensor([[5.0, 0.0], [5.0, 1.0]]),
    }
    figures = objective.judge(output, target).figures
    sure = -np.log(1 - 1e-6)
    confidence = [(sure + sure) / 2, (-np.log(1e-6) - np.log(0.25)) / 2]
    assert figures["loss_confidence"] == pytest.approx(
        confidence[0] / 2 + confidence[1] / 3, rel=0.02
    )
    assert figures["loss_returns"] == pytest.approx(((0.5**2) / 2 + (2 - 0.5)) / 2 / 3)
    part = objective.loss({k: v[:1] for k, v in output.items()}, target[:1], target)
    rest = objective.loss({k: v[1:] for k, v in output.items()}, target[1:], target)
    assert float(part + rest) == pytest.approx(float(objective.loss(output, target)), rel=1e-5)


def test_settings_name_the_objective() -> None:
    named = {
        name: objective_of(train_settings(objective=name), HORIZONS)
        for name in ("classes", "direction", "multi_task", "trend")
    }
    assert named == {
        "classes": WeightedCrossEntropy(WEIGHTS),
        "direction": Direction(),
        "multi_task": MultiTask(WEIGHTS, HORIZONS),
        "trend": Trend(WEIGHTS),
    }
