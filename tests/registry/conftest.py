"""A small real chain, made and registered once: tiny network, booster, and a store of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from quantgod.auditor.auditor import Auditor
from quantgod.auditor.boosting import Rows, fit_booster
from quantgod.auditor.calibration import Calibrator
from quantgod.auditor.confidence import Confidence, Logistic
from quantgod.auditor.conformal import Conformal
from quantgod.contracts import FEATURES, META_FEATURES
from quantgod.dataset.inputs import Inputs
from quantgod.dataset.scaling import fit_scaler
from quantgod.evaluation.drift import Reference
from quantgod.forecasters.network import Network
from quantgod.models import zoo
from quantgod.models.heads import ONE_DIRECTION, Heads
from quantgod.registry.package import GoldenRows, Package, build_package
from quantgod.registry.reference import reference_of
from quantgod.registry.versions import register
from quantgod.served.confidence import SAID
from quantgod.settings import load_settings
from tests.registry.shelves import NAME, SERIES, Shelf, copied, make_shelf, tracked
from tests.stores import fresh_store
from tests.synthetic import synthetic_bars

collect_ignore = ["version_before_served"]

WINDOW = 720
GOLDEN = 783
BRIDGE = 5
CLASS_WEIGHTS = (2.0, 1.0, 2.0)


@dataclass(frozen=True)
class Parts:
    """What a version is made of."""

    bars: pd.DataFrame
    network: Network
    auditor: Auditor
    auditor_folder: Path
    reference: Reference
    package: Package


@dataclass(frozen=True)
class Store:
    """A tracking store with one version, and how to add others."""

    uri: str
    experiment: str
    number: int

    def add(self, package: Package, **tags: str) -> int:
        with mlflow.start_run(experiment_id=self.experiment):
            return register(package, NAME, tags)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return make_parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="session")
def registered(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(parts, tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return make_shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def shelf(template: Shelf, tmp_path: Path) -> Iterator[Shelf]:
    """A store of one's own with four cheap versions, and MLflow pointed at it."""
    with copied(template, tmp_path) as shelf:
        yield shelf


@pytest.fixture
def store(registered: Store) -> Iterator[Store]:
    """The same store, with MLflow pointed at it."""
    with tracked(registered.uri):
        yield registered


@pytest.fixture
def model(store: Store, tmp_path: Path) -> Path:
    """The files of version 1, to be spoilt."""
    source = mlflow.artifacts.download_artifacts(f"models:/{NAME}/{store.number}")
    return Path(shutil.copytree(source, tmp_path / "model"))


def make_parts(folder: Path) -> Parts:
    bars = synthetic_bars(1_000, seed=3, signal=0.6)
    network = tiny_network(bars)
    auditor = tiny_auditor()
    auditor.save(folder / "auditor")
    golden = GoldenRows(bars, GOLDEN, BRIDGE)
    reference = tiny_reference(bars)
    made_of = network, folder / "auditor", golden, reference, SERIES
    package = build_package(folder / "package", *made_of)
    return Parts(bars, network, auditor, folder / "auditor", reference, package)


def make_store(parts: Parts, folder: Path) -> Store:
    """A SQLite store in which version 1 is registered."""
    uri = fresh_store(folder)
    with tracked(uri):
        artifacts = str(folder / "artifacts")
        experiment = MlflowClient().create_experiment("chain", artifact_location=artifacts)
        store = Store(uri, experiment, 0)
        return Store(uri, experiment, store.add(parts.package, data="synthetic"))


def tiny_network(
    bars: pd.DataFrame,
    config: str = "conf/demo.yaml",
    window: int = WINDOW,
    heads: Heads = ONE_DIRECTION,
) -> Network:
    """The demo's network, untrained: it says what it says, but always the same."""
    settings = load_settings(Path(config))
    model = zoo.build(
        settings.model.name, settings.model.params,
        shapes=Inputs(window).shapes, heads=heads, seed=5,
    )  # fmt: skip
    scaler = fit_scaler(bars[list(FEATURES)].to_numpy())
    name, params = settings.model.name, settings.model.params
    until = bars.index[-1].isoformat()
    return Network(model.eval(), name, params, window, scaler, CLASS_WEIGHTS, until, heads)


def tiny_auditor() -> Auditor:
    """A booster that splits on what moves in the synthetic bars, and a crooked calibrator.

    By its threshold it acts on some minutes and abstains from others.
    """
    rng = np.random.default_rng(1)
    meta = rng.normal(size=(400, 14)) * 0.3
    meta[:, 11] = rng.uniform(20, 80, 400)
    target = np.digitize(meta[:, 9] + rng.normal(0, 0.2, 400), [-0.2, 0.2])
    rows = Rows(meta, target, np.ones(400))
    settings = load_settings(Path("conf/demo.yaml")).audit.xgboost
    settings = settings.model_copy(update={"rounds": 30, "min_child_weight": 1.0})
    booster = fit_booster(rows, rows, CLASS_WEIGHTS, settings).booster
    calibrator = Calibrator(CLASS_WEIGHTS, CLASS_WEIGHTS, (1.2, 0.9, 0.8), (0.3, 0.0, -0.1))
    return Auditor(booster, calibrator, Conformal(0.7, 0.42, 200), tiny_confidence(SAID))


def tiny_confidence(inputs: tuple[str, ...]) -> Confidence:
    """A crooked function of all that a network says."""
    some = tuple(np.linspace(0.8, -0.1, len(inputs)).tolist())
    return Confidence(
        Logistic(inputs, (0.0,) * len(inputs), (1.5,) * len(inputs), some, 0.2), "said"
    )


def tiny_reference(bars: pd.DataFrame) -> Reference:
    """Of these bars but for the newest tenth, and of what the tiny auditor says of some noise."""
    scaler = fit_scaler(bars[list(FEATURES)].to_numpy())
    times = pd.DatetimeIndex(bars.index[100 : len(bars) * 9 // 10])
    return reference_of(bars, scaler, tiny_auditor(), out_of_fold_rows(times))


def out_of_fold_rows(times: pd.DatetimeIndex) -> pd.DataFrame:
    """Out-of-fold rows of one fold at these minutes; the older half has fitted the booster."""
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(rng.normal(size=(len(times), 14)) * 0.3, columns=list(META_FEATURES))
    return frame.assign(
        target=1, time=times, label_end=times + pd.Timedelta("60min"), fold=1, weight=1.0,
        trained_until=times[0] - pd.Timedelta("1min"),
        part=np.where(np.arange(len(times)) < len(times) // 2, "fit", "calibration"),
    )  # fmt: skip


def flip(path: Path, at: float) -> None:
    """Change a bit of a file, `at` this share of its length."""
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 0x01
    path.write_bytes(content)
