"""The training loop: what it learns, what it tells, and what it refuses."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from quantgod.contracts import PRIMARY
from quantgod.dataset.inputs import BARS
from quantgod.dataset.samples import Samples
from quantgod.dataset.views import Views
from quantgod.dataset.windows import Windows
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.training import loop
from quantgod.training.confusion import confusion_matrix, precision_recall_f1
from quantgod.training.loop import fit
from quantgod.training.objectives import Judgement, WeightedCrossEntropy, objective_of
from quantgod.training.predict import outputs, predict
from quantgod.training.reports import Epoch, Step
from quantgod.training.sampler import phase
from quantgod.training.schedule import cosine
from quantgod.training.steps import STEPS_IN_FLIGHT, NonFiniteLossError
from tests.later import later
from tests.training.problems import Problem, network, persistence, problem, train_settings


def macro_f1(truth: np.ndarray, said: np.ndarray) -> float:
    return float(precision_recall_f1(confusion_matrix(truth, said))[2].mean())


@dataclass(frozen=True)
class Verdict:
    """Macro-F1 on the test parts of two markets together."""

    network: float
    majority: float
    persistence: float
    shifted: float  # the network's own forecasts, told of other hours: its skill taken away

    @property
    def clearly_learned(self) -> bool:
        """The criterion: at least 0.05 above persistence, and 0.15 above majority and shifted."""
        return self.network >= max(
            self.persistence + 0.05, self.majority + 0.15, self.shifted + 0.15
        )


def verdict(signal: float) -> Verdict:
    truth, said, before = [], [], []
    for seed in (1, 2):
        market, model = problem(80_000, 20, seed=seed, signal=signal), network()
        fit(
            model,
            market.material.views,
            market.train,
            market.validation,
            train_settings(epochs=4),
        )
        rows = market.test.row
        asked = predict(model, market.material.views, rows, 256, None, device="cpu")
        said.append(asked.decided[:, PRIMARY])
        truth.append(market.test.target)
        before.append(persistence(market.table, rows))
    true, forecast = np.concatenate(truth), np.concatenate(said)
    shifts = np.linspace(60, len(true) - 60, 40).astype(int)
    return Verdict(
        macro_f1(true, forecast),
        macro_f1(true, np.ones_like(true)),
        macro_f1(true, np.concatenate(before)),
        float(np.mean([macro_f1(true, np.roll(forecast, shift)) for shift in shifts])),
    )


@pytest.mark.long
def test_a_planted_signal_is_found() -> None:
    found = verdict(signal=0.6)
    assert found.clearly_learned, found


@pytest.mark.long
def test_a_market_with_nothing_to_find_teaches_nothing() -> None:
    found = verdict(signal=0.0)
    assert not found.clearly_learned, found
    assert found.network < found.persistence + 0.05, found
    assert abs(found.network - found.shifted) < 0.05, found


def trained(small: Problem, **changes: object) -> tuple[nn.Module, list[Epoch], list[Step]]:
    model, epochs, steps = network(), [], []
    fit(
        model,
        small.material.views,
        small.train,
        small.validation,
        train_settings(**changes),
        on_epoch=epochs.append,
        on_step=steps.append,
    )
    return model, epochs, steps


def test_the_same_seed_gives_the_same_bits_and_leaves_the_caller_s_random_state(
    small: Problem,
) -> None:
    before = torch.get_rng_state()
    first, again, other = (trained(small, seed=seed)[0].state_dict() for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


class Watched(Views):
    """Views that note which rows are trained on, and which are judged, of each epoch."""

    def __init__(self, views: Views) -> None:
        super().__init__(views.parts)
        self.trained: list[list[int]] = [[]]
        self.judged: list[list[int]] = [[]]

    def __call__(self, rows: Tensor) -> dict[str, Tensor]:
        (self.trained if torch.is_grad_enabled() else self.judged)[-1].extend(rows.tolist())
        return super().__call__(rows)

    def to(self, device: torch.device) -> Views:
        return self

    def next_epoch(self, _: Epoch) -> None:
        self.trained.append([])
        self.judged.append([])


def watched(small: Problem, **changes: object) -> Watched:
    views = Watched(small.material.views)
    fit(
        network(), views, small.train, small.validation, train_settings(**changes),
        on_epoch=views.next_epoch,
    )  # fmt: skip
    return views


def test_every_epoch_goes_once_through_all_samples_in_an_order_of_its_own(small: Problem) -> None:
    seen = watched(small).trained
    assert [sorted(epoch) for epoch in seen[:3]] == [sorted(small.train.row)] * 3
    assert len({tuple(epoch) for epoch in seen[:3]}) == 3


def test_epochs_over_every_third_sample_have_seen_all_after_three(small: Problem) -> None:
    views = watched(small, every=3, batch_size=16, epochs=4)
    wanted = [small.train.row[phase::3].tolist() for phase in (0, 2, 1, 0)]
    assert [sorted(epoch) for epoch in views.trained[:4]] == wanted
    assert views.trained[0] != views.trained[3], "in an order of their own"
    assert views.judged[:4] == [small.validation.row[::3].tolist()] * 4, "always the same"
    with pytest.raises(ValueError, match=r"999 training samples \(train.every\)"):
        fit(
            network(), small.material.views, small.train, small.validation,
            train_settings(every=999),
        )  # fmt: skip


@pytest.mark.parametrize("every", [1, 2, 6, 10, 60])
def test_few_epochs_over_every_nth_sample_leave_no_long_gap(every: int) -> None:
    phases = [phase(every, epoch) for epoch in range(every)]
    assert sorted(phases) == list(range(every))
    for epochs in range(1, every + 1):
        first = sorted(phases[:epochs])
        gaps = np.diff([*first, first[0] + every])
        assert gaps.max() <= 2.5 * every / epochs


@pytest.mark.parametrize("objective", ["classes", "direction", "multi_task", "returns"])
@pytest.mark.parametrize("accumulate", [5, *later(4, 64)])
def test_a_batch_in_parts_makes_the_step_of_the_whole(
    small: Problem, objective: str, accumulate: int
) -> None:
    made = []
    for parts in (1, accumulate):
        chosen = train_settings(objective=objective, accumulate=parts, epochs=1, batch_size=64)
        heads = objective_of(chosen, small.train.horizons).heads
        shapes = small.material.views.shapes
        torch.manual_seed(3)
        model = Still(shapes["bars"], heads)
        steps: list[Step] = []
        fit(
            model, small.material.views, small.train, small.validation, chosen,
            on_step=steps.append,
        )  # fmt: skip
        made.append((model, steps))
    (whole, one), (parted, other) = made
    for step, again in zip(one, other, strict=True):
        assert again.loss == pytest.approx(step.loss, rel=1e-5)
        assert again.gradient_norm == pytest.approx(step.gradient_norm, rel=1e-4)
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(parted.state_dict()[name], weight, rtol=0, atol=1e-6)


class Still(nn.Module):
    """A network without dropout and without norms over a batch."""

    def __init__(self, shape: tuple[int, ...], heads: Heads) -> None:
        super().__init__()
        self.lstm = nn.LSTM(shape[1], 4, batch_first=True)
        self.heads = HeadLayers(4, heads)

    def forward(self, bars: Tensor) -> Output:
        return self.heads(self.lstm(bars)[1][0][-1])


def test_the_best_epoch_s_weights_are_in_the_network_and_match_what_was_told(
    small: Problem,
) -> None:
    model, epochs, _ = trained(small, epochs=5, learning_rate=0.02)
    best = max(epochs, key=lambda epoch: epoch.score)
    said = outputs(
        model, small.material.views, torch.from_numpy(small.validation.row), batch_size=50
    )
    truth = torch.from_numpy(small.validation.target)
    objective = WeightedCrossEntropy((2.0, 1.0, 2.0))
    assert objective.judge(said, truth).figures == best.figures
    assert float(objective.loss(said, truth)) == pytest.approx(best.validation_loss, rel=1e-5)


def test_an_epoch_tells_losses_rates_norms_and_throughput(small: Problem) -> None:
    _, epochs, steps = trained(small)
    assert [epoch.learning_rate for epoch in epochs] == [cosine(0.005, e, 3) for e in range(3)]
    batches = -(-len(small.train) // 64)
    assert [(step.epoch, step.batch) for step in steps] == [
        (epoch, batch) for epoch in range(3) for batch in range(batches)
    ]
    first, sizes = steps[:batches], [64] * (batches - 1) + [len(small.train) - 64 * (batches - 1)]
    assert epochs[0].train_loss == pytest.approx(np.average([s.loss for s in first], weights=sizes))
    assert epochs[0].gradient_norm == pytest.approx(np.mean([s.gradient_norm for s in first]))
    metrics = epochs[0].metrics()
    assert metrics["macro_f1"] == epochs[0].score
    assert {"train_loss", "validation_loss", "precision_sell", "recall_buy"} <= metrics.keys()
    assert metrics["windows_per_second"] > 0
    assert metrics["seconds"] > 0


def test_with_a_warm_up_each_step_has_a_rate_of_its_own_through_all_epochs(small: Problem) -> None:
    chosen = {"schedule": "warmup", "warmup_steps": 5, "every": 3, "batch_size": 16}
    _, epochs, steps = trained(small, **chosen)
    rates = [0.005 * min((n + 1) / 5, (5 / (n + 1)) ** 0.5) for n in range(len(steps))]
    assert [step.learning_rate for step in steps] == pytest.approx(rates, rel=1e-12)
    assert max(rates) == rates[4] == 0.005
    last = [max(n for n, step in enumerate(steps) if step.epoch == one.epoch) for one in epochs]
    assert [one.learning_rate for one in epochs] == [steps[n].learning_rate for n in last]


def test_training_stops_when_the_score_has_not_risen_for_so_many_epochs(small: Problem) -> None:
    class Falling(WeightedCrossEntropy):
        def judge(self, output: Mapping[str, Tensor], target: Tensor) -> Judgement:
            scores.append([0.1, 0.5, 0.5, 0.4, 0.9][len(scores)])
            return Judgement(scores[-1], {})

    scores: list[float] = []
    done = fit(
        network(), small.material.views, small.train, small.validation,
        train_settings(epochs=5, patience=2), objective=Falling((1.0, 1.0, 1.0)),
    )  # fmt: skip
    assert scores == [0.1, 0.5, 0.5, 0.4]
    assert (done.best_epoch, done.best_score, done.stopped_early) == (1, 0.5, True)


def test_gradients_are_clipped_to_the_norm_and_told_unclipped(small: Problem) -> None:
    model = network()
    norms: list[float] = []

    def on_step(step: Step) -> None:
        clipped = torch.cat([p.grad.flatten() for p in model.parameters()])
        norms.append(float(clipped.norm()))
        assert step.gradient_norm > 0.05

    fit(
        model, small.material.views, small.train, small.validation,
        train_settings(epochs=1, gradient_norm=0.01), on_step=on_step,
    )  # fmt: skip
    assert norms == pytest.approx([0.01] * len(norms), rel=1e-3)


def test_a_value_that_is_not_finite_stops_the_run_with_epoch_batch_and_rows(
    small: Problem,
) -> None:
    matrix = small.material.views.parts[BARS].content.clone()
    poisoned = int(small.train.row[100])
    matrix[poisoned, 4] = float("nan")
    with pytest.raises(NonFiniteLossError, match=r"epoch 0, batch \d+: loss nan") as e:
        fit(
            network(), Views({BARS: Windows(matrix, 60)}), small.train, small.validation,
            train_settings(batch_size=8),
        )  # fmt: skip
    reached = (e.value.rows >= poisoned) & (e.value.rows < poisoned + 60)
    assert reached.any()
    assert len(e.value.rows) == 8
    assert str(e.value).endswith(f"they hold rows that are not finite: {poisoned}")


def test_weights_that_run_away_are_told_from_bad_bars(small: Problem) -> None:
    model = network()
    with torch.no_grad():
        model.head[0].weight.fill_(float("inf"))
    with pytest.raises(NonFiniteLossError, match=r"batch 0: .* all that they hold is finite"):
        fit(model, small.material.views, small.train, small.validation, train_settings())


@pytest.mark.long
def test_looking_at_losses_in_bursts_as_on_cuda_changes_nothing_but_when_they_are_told(
    small: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _, steps = trained(small, batch_size=16)
    monkeypatch.setitem(STEPS_IN_FLIGHT, "cpu", 4)
    burst = network()
    told: list[Step] = []
    fit(
        burst,
        small.material.views,
        small.train,
        small.validation,
        train_settings(batch_size=16, checkpoint_batches=3),
        checkpoint=tmp_path / "run",
        on_step=told.append,
    )
    assert told == steps
    alike = zip(model.state_dict().values(), burst.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in alike)


def test_a_spoilt_batch_is_named_also_when_losses_are_looked_at_late(
    small: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STEPS_IN_FLIGHT, "cpu", 100)
    matrix = small.material.views.parts[BARS].content.clone()
    poisoned = int(small.train.row[100])
    matrix[poisoned, 4] = float("inf")
    told: list[Step] = []
    with pytest.raises(NonFiniteLossError, match=f"not finite: {poisoned}$") as e:
        fit(
            network(), Views({BARS: Windows(matrix, 60)}), small.train, small.validation,
            train_settings(batch_size=8), on_step=told.append,
        )  # fmt: skip
    assert e.value.batch == len(told)


def test_a_listener_ends_the_run_by_raising(small: Problem) -> None:
    class Enough(Exception):
        pass

    def on_epoch(epoch: Epoch) -> None:
        raise Enough

    with pytest.raises(Enough):
        fit(
            network(), small.material.views, small.train, small.validation, train_settings(),
            on_epoch=on_epoch,
        )  # fmt: skip


def test_another_kind_of_target_needs_another_objective_and_nothing_else(small: Problem) -> None:
    class NextMinute(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(9, 1)

        def forward(self, bars: Tensor) -> dict[str, Tensor]:
            return {"expected_return": self.last(bars[:, -1])}

    class SquaredError:
        heads = Heads(expected_return=True)

        def targets(self, samples: Samples) -> Tensor:
            return small.material.views.parts[BARS].content[torch.from_numpy(samples.row), 6]

        class_weights = (1.0, 1.0, 1.0)

        def loss(
            self, output: Mapping[str, Tensor], target: Tensor, whole: Tensor | None = None
        ) -> Tensor:
            return functional.mse_loss(output["expected_return"][:, 0], target)

        def judge(self, output: Mapping[str, Tensor], target: Tensor) -> Judgement:
            return Judgement(-float(self.loss(output, target)), {"mse": 0.0})

    torch.manual_seed(0)
    done = fit(
        NextMinute(), small.material.views, small.train, small.validation,
        train_settings(epochs=20, learning_rate=0.1, patience=20), objective=SquaredError(),
    )  # fmt: skip
    assert done.best_score > -0.01


def test_an_empty_part_is_refused(small: Problem) -> None:
    nothing, few = small.train.take(small.train.row < 0), small.train.take(np.arange(3))
    with pytest.raises(ValueError, match=r"^training and validation samples .* got 0 and"):
        fit(network(), small.material.views, nothing, small.validation, train_settings())
    with pytest.raises(ValueError, match="got 3 and 0"):
        fit(network(), small.material.views, few, nothing, train_settings())
    with pytest.raises(ValueError, match=r"^4 training samples \(train\.every\) and .* got 3 and"):
        fit(network(), small.material.views, few, small.validation, train_settings(every=4))
    with pytest.raises(ValueError, match=r"^2 training samples \(train\.every\)"):
        fit(network(), small.material.views, nothing, small.validation, train_settings(every=2))
    one_each = train_settings(every=3, epochs=3)
    assert len(fit(network(), small.material.views, few, small.validation, one_each).history) == 3


class Nought(WeightedCrossEntropy):
    """Every epoch has this score."""

    score = 0.0

    def judge(self, output: Mapping[str, Tensor], target: Tensor) -> Judgement:
        return Judgement(self.score, {})


@pytest.mark.parametrize(("epochs", "patience", "early"), [(3, 2, False), (4, 2, True)])
def test_a_score_of_nothing_is_a_score(
    small: Problem, epochs: int, patience: int, early: bool
) -> None:
    done = fit(
        network(), small.material.views, small.train, small.validation,
        train_settings(epochs=epochs, patience=patience), objective=Nought((1.0, 1.0, 1.0)),
    )  # fmt: skip
    assert (done.best_epoch, done.best_score, done.resumed_at) == (0, 0.0, None)
    assert (len(done.history), done.stopped_early) == (3, early)


@pytest.mark.parametrize("every", [0, 1, 2, 3, 99])
def test_a_state_is_saved_after_so_many_batches_and_after_each_epoch(
    small: Problem, every: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    saved: list[tuple[int, int]] = []

    def write(path: Path, snapshot: Any, identity: Any) -> None:
        assert path == tmp_path / "run"
        saved.append((snapshot.values["epoch"], snapshot.values["batch"]))

    monkeypatch.setattr(loop, "write_checkpoint", write)
    few = small.train.take(np.arange(45))
    fit(
        network(), small.material.views, few, small.validation,
        train_settings(epochs=2, batch_size=8, checkpoint_batches=every),
        checkpoint=tmp_path / "run",
    )  # fmt: skip
    within = [batch for batch in range(1, 6) if every and batch % every == 0]  # of six batches
    expected = [*((0, batch) for batch in within), (1, 0)]
    assert saved == [*expected, *((1, batch) for batch in within), (2, 0)]


def test_progress_is_told_in_batches_and_time_in_seconds(
    small: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock moves by a second with each look: one a batch, and one for the judgement."""
    clock = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    told: list[tuple[int, int, str]] = []
    few = small.train.take(np.arange(20))
    steps: list[Step] = []
    done = fit(
        network(), small.material.views, few, small.validation,
        train_settings(epochs=2, batch_size=8), progress=lambda *given: told.append(given),
        on_step=steps.append,
    )  # fmt: skip
    assert [given[:2] for given in told] == [(batch, 6) for batch in range(1, 7)]
    assert told[0][2] == f"epoch 1, loss {steps[0].loss:.4f}"
    assert told[2][2] == f"epoch 1, loss {done.history[0].train_loss:.4f}"
    assert told[5][2] == f"epoch 2, loss {done.history[1].train_loss:.4f}"
    for epoch in done.history:
        assert epoch.seconds == 3 + 1
        assert epoch.windows_per_second == pytest.approx(20 / 3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_is_refused_where_there_is_none(small: Problem) -> None:
    with pytest.raises(ValueError, match="cuda was asked for"):
        trained(small, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_cuda_agrees_with_the_cpu_roughly(small: Problem) -> None:
    _, on_cpu, _ = trained(small, epochs=1)
    _, on_cuda, steps = trained(small, epochs=1, device="cuda")
    assert len(steps) == -(-len(small.train) // 64)
    assert on_cuda[0].train_loss == pytest.approx(on_cpu[0].train_loss, rel=0.1)
