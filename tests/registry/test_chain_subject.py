"""The served chain says what the network and the auditor said that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor.auditor import Auditor
from quantgod.auditor.auditor_input import HEADS as HEADS_SAID
from quantgod.contracts import FEATURES, PRIMARY
from quantgod.evaluation.network_subject import NetworkSubject
from quantgod.evaluation.subject import RawMaterial
from quantgod.forecasters.network import Network
from quantgod.models.heads import Heads
from quantgod.registry import chain_subject
from quantgod.registry.chain import BATCH, Chain
from quantgod.registry.chain_subject import WARM_UP, ChainSubject
from quantgod.registry.package import GoldenRows, build_package
from quantgod.served.confidence import HEADS, SAID
from tests.registry.conftest import (
    BRIDGE,
    CLASS_WEIGHTS,
    WINDOW,
    Parts,
    tiny_confidence,
    tiny_network,
)
from tests.registry.shelves import SERIES


@pytest.fixture(scope="module")
def served(parts: Parts) -> ChainSubject:
    return ChainSubject("quantgod/1", Chain(parts.package.folder))


@pytest.fixture(scope="module")
def trained(parts: Parts) -> NetworkSubject:
    return NetworkSubject("run 1", parts.network, parts.auditor, 16, "cpu")


ROWS = [
    np.arange(WINDOW - 1, WINDOW + 40),
    np.arange(WINDOW - 1, 1_000, 7),
    np.array([WINDOW - 1, WINDOW + 3, WINDOW + 4, WINDOW + 5, 999]),
    np.array([800]),
]


@pytest.mark.parametrize("rows", ROWS, ids=["each", "every seventh", "some", "one"])
def test_both_say_the_same_of_the_same_rows(
    parts: Parts, served: ChainSubject, trained: NetworkSubject, rows: np.ndarray
) -> None:
    matrix = parts.bars[list(FEATURES)].to_numpy()
    one, other = (subject.ask(RawMaterial(matrix), rows) for subject in (served, trained))
    assert np.allclose(one.meta, other.meta, rtol=1e-7, atol=1e-6)
    apart = one.forecast.probabilities - other.forecast.probabilities
    assert np.abs(apart).max() < 1e-6
    assert np.abs(served.audited(one.meta) - trained.audited(other.meta)).max() < 1e-6


def test_they_are_the_chains_own_answers(parts: Parts, served: ChainSubject) -> None:
    rows = parts.bars[list(FEATURES)]
    said = served.chain.judge(rows.reset_index())
    seen = served.ask(RawMaterial(rows.to_numpy()), np.arange(WINDOW - 1, len(rows)))
    base = seen.forecast.probabilities[:, PRIMARY]
    names = ("sell", "neutral", "buy")
    assert np.array_equal(base, said[[f"base_{name}" for name in names]])
    assert np.array_equal(served.audited(seen.meta), said[[f"prob_{name}" for name in names]])
    assert np.array_equal(served.confidence(seen), said["base_confidence"])


@pytest.fixture(scope="module")
def with_heads(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    """A network that says of two horizons how sure it is and what it expects, and its package."""
    heads = Heads(horizons=2, confidence=True, expected_return=True)
    network = tiny_network(parts.bars, heads=heads)
    folder = tmp_path_factory.mktemp("heads")
    auditor_with_heads(parts).save(folder)
    golden = GoldenRows(parts.bars, WINDOW + 1, BRIDGE)
    build_package(folder / "package", network, folder, golden, parts.reference, SERIES)
    return network, folder / "package"


def auditor_with_heads(parts: Parts) -> Auditor:
    return replace(parts.auditor, confidence=tiny_confidence((*SAID, *HEADS)))


def test_what_the_heads_say_is_served_and_judged_alike_to_the_bit(
    parts: Parts, with_heads: tuple[Network, Path]
) -> None:
    network, package = with_heads
    bars = parts.bars[list(FEATURES)]
    served = ChainSubject("quantgod/2", Chain(package))
    trained = NetworkSubject("run 2", network, auditor_with_heads(parts), 16, "cpu")
    ends = np.arange(WINDOW - 1, WINDOW + 20)
    one, other = (subject.ask(RawMaterial(bars.to_numpy()), ends) for subject in (served, trained))
    assert one.meta.shape == (21, 14)
    for name in HEADS_SAID:
        told, expected = getattr(one.said, name), getattr(other.said, name)
        assert np.ptp(told) > 0
        np.testing.assert_allclose(told, expected, atol=1e-6)
    judged = served.confidence(one)
    np.testing.assert_allclose(judged, trained.confidence(other), atol=1e-6)
    answered = served.chain.judge(bars.iloc[: WINDOW + 20].reset_index())
    assert answered["base_confidence"].to_numpy().tobytes() == judged.tobytes()
    alone = served.chain.judge(bars.iloc[7 : WINDOW + 7].reset_index())
    assert alone["base_confidence"][0] == judged[7]
    fewer = replace(parts.auditor, confidence=None)
    assert NetworkSubject("run 3", network, fewer, 16, "cpu").confidence(other) is None


def test_both_weigh_classes_alike(served: ChainSubject, trained: NetworkSubject) -> None:
    assert served.window == trained.window == WINDOW
    assert served.base_weights == trained.base_weights == CLASS_WEIGHTS
    assert served.decision_weights == trained.decision_weights == CLASS_WEIGHTS


def test_the_chain_is_asked_of_no_minute_that_nobody_wants(
    parts: Parts, served: ChainSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of no more than a batch at once, so that memory does not grow with the rows."""
    asked: list[int] = []

    def meta_features(features: Sequence[object]) -> np.ndarray:
        asked.append(len(features) - WINDOW + 1)
        return np.ones((asked[-1], 14))

    monkeypatch.setattr(served.chain, "meta_features", meta_features)
    rows = np.concatenate([np.arange(WINDOW, WINDOW + BATCH + 3), [900, 910, 911]])
    heard: list[int] = []
    served.ask(
        RawMaterial(parts.bars[list(FEATURES)].to_numpy()),
        rows,
        lambda done, _total, _note: heard.append(done),
    )
    assert asked == [BATCH, 3, 1, 2]
    assert heard == [BATCH, BATCH + 3, BATCH + 4, BATCH + 6]


def test_single_windows_are_timed_after_a_warm_up(
    parts: Parts, served: ChainSubject, trained: NetworkSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(WINDOW - 1, WINDOW + 9)
    judged: list[pd.DataFrame] = []
    clock = iter(np.cumsum(np.arange(2 * len(rows))).tolist())
    monkeypatch.setattr(chain_subject, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setattr(served.chain, "judge", judged.append)
    times = served.answer_times(parts.bars, rows)
    assert times.tolist() == [1_000.0 * (2 * place + 1) for place in range(len(rows))]
    asked = [*rows[:WARM_UP], *rows]
    for given, row in zip(judged, asked, strict=True):
        window = parts.bars.iloc[row - WINDOW + 1 : row + 1]
        assert given["datetime"].tolist() == window.index.tolist()
        assert np.array_equal(given[list(FEATURES)], window[list(FEATURES)])
    assert trained.answer_times(parts.bars, rows) is None
