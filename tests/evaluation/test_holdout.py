"""The test part is read once, beside baselines, and refused where someone has seen it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor.audit import Fitted, fit_auditor
from quantgod.auditor.provenance import ProvenanceError
from quantgod.contracts import FEATURES
from quantgod.dataset.scaling import fit_scaler
from quantgod.dataset.splits import split_test
from quantgod.dataset.windows import samples
from quantgod.evaluation.holdout import Holdout, read_holdout, score_holdout
from quantgod.evaluation.metrics import classification_report
from quantgod.models.zoo import build
from quantgod.settings import Settings
from quantgod.training.weights import Network
from tests.auditor.markets import WINDOW, Market, market, oof_frame, settings

STRIDE = 4
PARAMS = {"tcn_channels": 4, "lstm_hidden": 4, "lstm_layers": 1, "dropout": 0.0}


def chosen() -> Settings:
    given = settings()
    audit = given.audit.model_copy(update={"stride": STRIDE})
    train = given.train.model_copy(update={"device": "cpu"})
    return given.model_copy(update={"audit": audit, "train": train})


@pytest.fixture(scope="module")
def of() -> Market:
    return market(4000, STRIDE, seed=3, signal=0.7)


@pytest.fixture(scope="module")
def network(of: Market) -> Network:
    """An untrained one: what is tested is who is asked of what."""
    model = build("tcn_lstm", PARAMS, features=len(FEATURES), window=WINDOW, seed=1).eval()
    scaler = fit_scaler(of.table[list(FEATURES)].to_numpy())
    return Network(model, "tcn_lstm", PARAMS, WINDOW, scaler, (2.0, 1.0, 2.0))


def fitted_before(moment: pd.Timestamp) -> Fitted:
    """An auditor whose rows all end an hour before `moment`."""
    rows = oof_frame(600, seed=1)
    shift = moment - pd.Timedelta(hours=1) - rows["label_end"].max()
    for column in ("time", "label_end", "trained_until"):
        rows[column] += shift
    return fit_auditor(rows, chosen().audit)


@pytest.fixture(scope="module")
def holdout(of: Market, network: Network) -> Holdout:
    begins = of.table.index[of.samples.row[of.split.other[0]]]
    return read_holdout(of.table, chosen(), network, fitted_before(begins))


def test_everyone_is_asked_of_the_same_minutes(of: Market, holdout: Holdout) -> None:
    test = of.samples.take(of.split.other)
    assert np.array_equal(holdout.time_ms, test.time_ms)
    assert np.array_equal(holdout.target, test.target)
    for said in (holdout.base, holdout.audited, *holdout.baselines.values()):
        assert said.shape == (len(test), 3) and np.allclose(said.sum(axis=1), 1)
    assert holdout.effective_rows == pytest.approx(len(test) * STRIDE / 60, rel=0.2)


def test_all_are_compared_with_the_base_under_their_own_weights(holdout: Holdout) -> None:
    given = chosen()
    scores = score_holdout(holdout, given, (3.0, 1.0, 3.0))
    assert list(scores.models) == [
        "base", "auditor", "majority", "persistence", "logistic_regression", "gradient_boosting",
    ]  # fmt: skip
    assert list(scores.differences) == list(scores.models)[1:]
    expected = classification_report(holdout.target, holdout.base, (3.0, 1.0, 3.0))
    assert {name: found.value for name, found in scores.models["base"].items()} == expected
    plain = classification_report(holdout.target, holdout.baselines["majority"])
    assert scores.models["majority"]["macro_f1"].value == plain["macro_f1"]


def test_the_networks_tilt_is_undone(network: Network, holdout: Holdout) -> None:
    tilted = holdout.base * np.array(network.class_weights)
    tilted /= tilted.sum(axis=1, keepdims=True)
    assert np.allclose(tilted, holdout.meta[:, :3])


def test_a_test_part_that_the_auditor_knows_is_refused(of: Market, network: Network) -> None:
    inside = of.table.index[of.samples.row[of.split.other[20]]]
    with pytest.raises(ProvenanceError):
        read_holdout(of.table, chosen(), network, fitted_before(inside))


def test_nothing_of_the_test_part_reaches_what_was_said_before_it(
    of: Market, network: Network, holdout: Holdout
) -> None:
    """Rows after the tenth test minute change nothing of the first ten."""
    changed = of.table.copy()
    after = of.samples.row[of.split.other[9]] + 1
    changed.iloc[after:, : len(FEATURES)] += 0.5
    begins = of.table.index[of.samples.row[of.split.other[0]]]
    again = read_holdout(changed, chosen(), network, fitted_before(begins))
    assert np.array_equal(holdout.meta[:10], again.meta[:10])
    assert np.array_equal(holdout.audited[:10], again.audited[:10])
    for name, said in holdout.baselines.items():
        assert np.array_equal(said[:10], again.baselines[name][:10]), name


def test_another_window_finds_the_same_minutes_of_test(of: Market, holdout: Holdout) -> None:
    found = samples(of.table, 2 * WINDOW, STRIDE)
    other = found.take(split_test(found, chosen().split).other)
    assert np.array_equal(other.time_ms, holdout.time_ms)
