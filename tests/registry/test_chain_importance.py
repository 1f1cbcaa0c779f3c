"""Features are exchanged in windows of the served chain as in the network's, at the same cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantgod.contracts import FEATURES
from quantgod.evaluation.importance import GROUPS, Importance, Plan, permutation_importance
from quantgod.evaluation.network_subject import NetworkSubject
from quantgod.evaluation.subject import RawMaterial, Subject
from quantgod.registry.chain import Chain
from quantgod.registry.chain_subject import ChainSubject
from tests.registry.conftest import WINDOW, Parts

ROWS = np.arange(WINDOW - 1, 1_000, 50)


class CountingGraph:
    """A graph that counts the windows it is given."""

    def __init__(self, graph: Any) -> None:
        self.graph, self.windows = graph, 0

    def run(self, outputs: Any, given: dict[str, np.ndarray]) -> Any:
        self.windows += len(given["windows"])
        return self.graph.run(outputs, given)


def importance(subject: Subject, parts: Parts) -> Importance:
    matrix = parts.bars[list(FEATURES)].to_numpy()
    target = np.arange(len(ROWS)) % 3
    plan = Plan(rows=100, repeats=1, seed=1)
    return permutation_importance(subject, RawMaterial(matrix), ROWS, target, plan, 40.0)


def test_a_chain_is_asked_of_the_exchanged_windows_alone(parts: Parts) -> None:
    chain = Chain(parts.package.folder)
    counting = CountingGraph(chain.graph.session)
    chain.graph.session = counting
    served = importance(ChainSubject("quantgod/1", chain), parts)
    trained = importance(NetworkSubject("run 1", parts.network, parts.auditor, 64, "cpu"), parts)
    assert counting.windows == len(ROWS) * (1 + len(GROUPS))
    for model, groups in served.models.items():
        for group, loss in groups.items():
            other = trained.models[model][group].log_loss_rise
            assert loss.log_loss_rise == pytest.approx(tuple(other), abs=1e-5)
    assert any(loss.log_loss_rise.value for loss in served.models["auditor"].values())
