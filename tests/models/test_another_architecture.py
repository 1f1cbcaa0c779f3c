"""Adding an architecture touches one file: this one adds two, from outside of the project."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from torch import Tensor, nn

from quantgod.contracts import ALL_FEATURES
from quantgod.files import file_digest
from quantgod.gates.power import Market
from quantgod.models import zoo
from quantgod.models.base import ARCHITECTURES, register
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.registry.package import CHAIN_FILE, Package
from quantgod.registry.rehearsal import rehearse
from quantgod.registry.tryout import predict_golden
from quantgod.registry.versions import load_chain
from quantgod.registry.versions import register as register_version
from quantgod.settings import ModelSettings, Positive, Section, SettingsError, load_settings
from quantgod.training.loop import fit
from quantgod.training.objectives import WeightedCrossEntropy
from tests.registry.shelves import NAME, tracked
from tests.registry.test_rehearsals import CONFIG, TINY
from tests.stores import fresh_store
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


class WideMomentum(nn.Module):
    """The same of the 112 features."""

    def __init__(
        self, settings: MomentumSettings, *, shapes: Mapping[str, tuple[int, ...]], heads: Heads
    ) -> None:
        super().__init__()
        self.of = Momentum(settings, shapes={"bars": shapes["features"]}, heads=heads)

    def forward(self, features: Tensor) -> Output:
        return self.of(features)


@contextmanager
def registered(name: str, network: type[nn.Module], parameters: int) -> Iterator[str]:
    space = {"minutes": [5, 10, 30]}
    register(name, MomentumSettings, space, parameters=parameters, causal=False)(network)
    yield name
    del ARCHITECTURES[name]


@pytest.fixture
def momentum() -> Iterator[str]:
    with registered("momentum", Momentum, 30) as name:
        yield name


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


@pytest.mark.long
def test_it_goes_the_whole_way_from_archives_to_a_registered_version_that_answers(
    tmp_path: Path,
) -> None:
    asked = load_settings(CONFIG, TINY | {"leak_audit.cuts": 0, "leak_audit.params": {}})
    with registered("wide_momentum", WideMomentum, 339) as name:
        how = asked.model_copy(update={"model": ModelSettings(name=name, params={"minutes": 5})})
        made = rehearse(Market("planted", 101), how, tmp_path)
    verdicts = {gate.name: gate for gate in made.gates}
    assert verdicts["leak_audit"].passed, verdicts["leak_audit"].detail
    folder = tmp_path / "package"
    manifest = file_digest(folder / "manifest.json")
    sets = json.loads((folder / "labels.json").read_text())["feature_set"]
    package = Package(folder, CHAIN_FILE, manifest, 0.0, how.data.series, sets)
    (tmp_path / "store").mkdir()
    with tracked(fresh_store(tmp_path / "store")):
        artifacts = str(tmp_path / "artifacts")
        experiment = MlflowClient().create_experiment("outside", artifact_location=artifacts)
        with mlflow.start_run(experiment_id=experiment):
            number = register_version(package, NAME, {})
        version = load_chain(NAME, number)
    predict_golden(version)  # after ARCHITECTURES has forgotten it: a version carries its graph
    contract = version.unwrap_python_model().chain.contract
    assert (contract.features, contract.window) == (list(ALL_FEATURES), how.window.length)
