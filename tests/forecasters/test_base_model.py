"""The base model of a table: trained on dev, and blind to the test part."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quantgod.contracts import FEATURES, PRIMARY
from quantgod.dataset.samples import Samples, samples
from quantgod.dataset.splits import split_test
from quantgod.forecasters.base_model import TrainedBase, train_base
from quantgod.settings import Settings, SettingsError
from quantgod.training.confusion import confusion_matrix, precision_recall_f1
from tests.training.searches import settings, table


def short(stride: int = 20) -> Settings:
    every = settings()
    return every.model_copy(
        update={
            "train": every.train.model_copy(update={"epochs": 2}),
            "window": every.window.model_copy(update={"stride": stride}),
        }
    )


def test_nothing_of_the_test_part_reaches_the_base_model() -> None:
    chosen = short()
    taken = samples(table(), chosen.window.length, chosen.window.stride)
    first = taken.row[split_test(taken, chosen.split).other[0]]
    disturbed = table().copy()
    disturbed.iloc[first:, : len(FEATURES)] = 1e3
    labelled = disturbed["target"] >= 0
    labelled.iloc[:first] = False
    disturbed.loc[labelled, "target"] = 2 - disturbed.loc[labelled, "target"]
    blind, other = train_base(table(), chosen), train_base(disturbed, chosen)
    assert_same(blind, other)


def assert_same(one: TrainedBase, other: TrainedBase) -> None:
    weights, others = one.network.model.state_dict(), other.network.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    np.testing.assert_array_equal(one.network.scaler.mean, other.network.scaler.mean)
    np.testing.assert_array_equal(one.forecast.tilted, other.forecast.tilted)


def test_the_parts_are_purged_and_the_probabilities_are_the_network_s() -> None:
    trained = train_base(table(), short())
    parts: tuple[Samples, Samples] = (trained.train, trained.validation)
    assert parts[0].label_end_ms.max() < parts[1].time_ms.min()
    said = trained.forecast.decided[:, PRIMARY]
    score = precision_recall_f1(confusion_matrix(parts[1].target, said))[2].mean()
    assert score == trained.fit.best_score


def test_an_objective_without_classes_is_refused_before_anything_is_trained() -> None:
    train = short().train.model_copy(update={"objective": "returns"})
    with pytest.raises(SettingsError, match=r"train\.objective: returns has no classes"):
        train_base(table(), short().model_copy(update={"train": train}))
