"""Adding an architecture touches one file: this one adds one, from outside of the project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import Tensor, nn

from quantgod.models import zoo
from quantgod.models.base import ARCHITECTURES, register
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Positive, Section, SettingsError
from quantgod.training.loop import fit
from quantgod.training.objectives import WeightedCrossEntropy
from tests.training.problems import problem, train_settings


class MomentumSettings(Section):
    minutes: Positive = 10


class Momentum(nn.Module):
    """A linear model of the mean of the last minutes."""

    def __init__(
        self, settings: MomentumSettings, *, shapes: Mapping[str, tuple[int, ...]], heads: Heads
    ) -> None:
        super().__init__()
        self.minutes = settings.minutes
        self.heads = HeadLayers(shapes["bars"][1], heads)

    def forward(self, bars: Tensor) -> Output:
        return self.heads(bars[:, -self.minutes :].mean(1))


@pytest.fixture
def momentum() -> Iterator[str]:
    name, space = "momentum", {"minutes": [5, 10, 30]}
    register(name, MomentumSettings, space, parameters=30, causal=False)(Momentum)
    yield name
    del ARCHITECTURES[name]


def test_an_architecture_from_outside_is_built_and_trained_by_its_name(momentum: str) -> None:
    market = problem(2_000, 60)
    views, settings = market.material.views, train_settings(epochs=1, batch_size=len(market.train))
    objective = WeightedCrossEntropy(settings.class_weights)
    model = zoo.build(momentum, {"minutes": 5}, shapes=views.shapes, heads=objective.heads)
    before = [parameter.clone() for parameter in model.parameters()]
    steps = []
    done = fit(
        model, views, market.train, market.validation, settings, objective=objective,
        on_step=steps.append,
    )  # fmt: skip
    assert len(steps) == len(done.history) == 1
    assert model.minutes == 5
    assert not any(map(torch.equal, before, model.parameters()))


def test_its_settings_are_as_loud_as_any_and_its_space_is_searched(momentum: str) -> None:
    assert momentum in zoo.names()
    assert zoo.search_space(momentum) == {"minutes": [5, 10, 30]}
    with pytest.raises(SettingsError, match=r"momentum\.hours: unknown parameter \(allowed: min"):
        zoo.build(momentum, {"hours": 1}, shapes={"bars": (60, 9)})
