"""How many models were tried before one was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from quantgod.settings.learning import ModelSettings
from quantgod.tracking.chosen import BEST_FILE, MEMBERS_FILE, trials_behind
from quantgod.training.best import BestParameters
from tests.registry.shelves import tracked
from tests.stores import fresh_store


@pytest.fixture
def client(tmp_path: Path) -> Iterator[MlflowClient]:
    with tracked(fresh_store(tmp_path)):
        mlflow.create_experiment("tried", artifact_location=str(tmp_path / "artifacts"))
        mlflow.set_experiment("tried")
        yield MlflowClient()


def a_run(file: str = "", content: object = None, **tags: str) -> str:
    with mlflow.start_run(
        tags={f"quantgod.upstream.{name}": run for name, run in tags.items()}
    ) as run:
        if file:
            mlflow.log_dict(content, file)
        return str(run.info.run_id)


def searched(trials: int) -> str:
    best = BestParameters(
        study="a search", trial=0, trials=trials, score=0.5,
        model=ModelSettings(name="tcn_lstm", params={}),
        learning_rate=0.01, batch_size=64, window_length=45,
    )  # fmt: skip
    return a_run(BEST_FILE, best.model_dump(mode="json"))


def test_each_member_of_an_ensemble_counts_the_trials_of_its_own_search(
    client: MlflowClient,
) -> None:
    assert trials_behind(client, None, None) == 1
    assert trials_behind(client, searched(7), None) == 7
    trained = {
        "near": a_run(optimize=searched(30)), "far": a_run(optimize=searched(4)), "plain": a_run()
    }  # fmt: skip
    assert trials_behind(client, None, a_run(MEMBERS_FILE, trained)) == 30 + 4 + 1
