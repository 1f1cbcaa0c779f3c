"""The test part is read beside baselines, on the same minutes, and refused where it was seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor.audit import AuditorFit, fit_auditor
from quantgod.auditor.auditor_input import forecast_in
from quantgod.auditor.conformal import fit_conformal
from quantgod.auditor.meta_features import MetaFeatures, meta_features
from quantgod.auditor.provenance import ProvenanceError
from quantgod.contracts import FEATURES, META_FEATURES, PRIMARY, silent
from quantgod.dataset.book_blocks import RowBlocks
from quantgod.dataset.inputs import Inputs
from quantgod.dataset.samples import samples
from quantgod.dataset.scaling import fit_scaler
from quantgod.dataset.splits import split_test, uniqueness
from quantgod.evaluation.drift import shift
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.evaluation import Evaluation
from quantgod.evaluation.evidence import EvaluationResult, read_evidence, write_evidence
from quantgod.evaluation.metrics import classification_report
from quantgod.evaluation.network_subject import NetworkSubject
from quantgod.evaluation.scored_rows import (
    BASELINES,
    MODELS,
    probabilities_of,
    read_scored,
    write_scored,
)
from quantgod.forecasters.baselines import baselines
from quantgod.forecasters.network import Network
from quantgod.models.zoo import build
from quantgod.settings import Settings
from quantgod.tracking.summary import KEY_FIGURES
from tests.auditor.markets import WINDOW, Market, market, settings

DEV_STRIDE, TEST_STRIDE = 4, 3
PARAMS = {"tcn_channels": 4, "lstm_hidden": 4, "lstm_layers": 1, "dropout": 0.0}
BASE_WEIGHTS = (3.0, 1.0, 3.0)


def chosen() -> Settings:
    given = settings()
    # At this level there are sets of none, one and several classes.
    audit = given.audit.model_copy(update={"stride": DEV_STRIDE, "conformal_level": 0.6})
    changes = {"stride": TEST_STRIDE, "inference_windows": 7}
    evaluation = given.evaluate.model_copy(update=changes)
    return given.model_copy(update={"audit": audit, "evaluate": evaluation})


@dataclass(frozen=True)
class Case:
    """A market, an untrained network and an auditor whose rows end an hour before the test."""

    of: Market
    subject: NetworkSubject
    fitted: AuditorFit


def rows_before(of: Market, network: Network, moment: pd.Timestamp) -> pd.DataFrame:
    """Out-of-fold rows whose labels end before `moment`, with what the network says of them."""
    reach = of.samples.label_end_ms < moment.value // 1_000_000
    taken = of.samples.take(np.flatnonzero(reach)[-900:])
    module = MetaFeatures(network.model, network.scaler.mean, network.scaler.std)
    meta = meta_features(
        module, of.table[list(FEATURES)].to_numpy(), taken.row, WINDOW, 64,
        device="cpu",
    ).meta  # fmt: skip
    frame = pd.DataFrame(meta, columns=list(META_FEATURES)).assign(
        target=taken.target,
        time=of.table.index[taken.row],
        label_end=of.table["label_end"].to_numpy()[taken.row],
        fold=1 + np.arange(len(taken)) * 3 // len(taken),
        weight=uniqueness(taken),
    )
    first = frame.groupby("fold")["time"].transform("min")
    return frame.assign(trained_until=first - pd.Timedelta(minutes=10))


def begins(of: Market, number: int = 0) -> pd.Timestamp:
    """The minute of a test row."""
    return of.table.index[of.samples.row[of.split.other[number]]]


def small_network(of: Market) -> Network:
    model = build("tcn_lstm", PARAMS, shapes=Inputs(WINDOW).shapes, seed=1).eval()
    scaler = fit_scaler(of.table[list(FEATURES)].to_numpy())
    return Network(model, "tcn_lstm", PARAMS, WINDOW, scaler, BASE_WEIGHTS, "2024-01-01T00:00Z")


@pytest.fixture(scope="module")
def case() -> Case:
    of = market(4000, TEST_STRIDE, seed=3, signal=0.7)
    network = small_network(of)
    audit = chosen().audit
    boosting = audit.xgboost.model_copy(update={"min_child_weight": 0.5, "eta": 0.2})
    rows = rows_before(of, network, begins(of))
    fitted = fit_auditor(rows, audit.model_copy(update={"xgboost": boosting}))
    return Case(of, NetworkSubject("run 1", network, fitted.auditor, 64, "cpu"), fitted)


@pytest.fixture(scope="module")
def evaluated(case: Case) -> Evaluation:
    return evaluate(case.subject, case.of.table, case.fitted.rows, chosen())


def test_everyone_is_asked_of_the_same_minutes(case: Case, evaluated: Evaluation) -> None:
    test = case.of.samples.take(case.of.split.other)
    rows, result = evaluated.rows, evaluated.result
    assert np.array_equal(evaluated.samples_row, test.row)
    assert (rows["time"] == case.of.table.index[test.row]).all()
    labels = case.of.table.iloc[test.row]
    for name in ("label_end", "target", "forward_return"):
        assert (rows[name].to_numpy() == labels[name].to_numpy()).all(), name
    for model in MODELS:
        said = probabilities_of(rows, model)
        assert said.shape == (len(test), 3) and np.allclose(said.sum(axis=1), 1)
    assert result.rows == len(test)
    assert result.effective_rows == pytest.approx(len(test) * TEST_STRIDE / 60, rel=0.2)
    assert (result.first, result.last) == (
        case.of.table.index[test.row[0]].isoformat(),
        case.of.table.index[test.row[-1]].isoformat(),
    )


def test_each_model_says_in_the_rows_what_it_says_when_asked(
    case: Case, evaluated: Evaluation
) -> None:
    rows, meta = evaluated.rows, evaluated.meta
    assert np.array_equal(probabilities_of(rows, "auditor"), case.subject.audited(meta))
    base = forecast_in(meta, BASE_WEIGHTS).probabilities[:, PRIMARY]
    assert np.array_equal(probabilities_of(rows, "base"), base)
    tilted = base * BASE_WEIGHTS
    assert np.allclose(tilted / tilted.sum(axis=1, keepdims=True), meta[:, :3])
    dev = samples(case.of.table, WINDOW, DEV_STRIDE)
    dev = dev.take(split_test(dev, chosen().split).train)
    assert np.array_equal(evaluated.dev_row, dev.row)
    test = case.of.samples.take(case.of.split.other)
    for name, said in baselines(case.of.table, dev, test, chosen().label).items():
        assert np.array_equal(probabilities_of(rows, name), said.probabilities[:, PRIMARY]), name


def test_scores_are_those_of_the_rows_each_under_its_own_weights(evaluated: Evaluation) -> None:
    rows, result = evaluated.rows, evaluated.result
    weights = {
        "auditor": (2.0, 1.0, 2.0), "base": BASE_WEIGHTS, "majority": None, "persistence": None,
        "logistic_regression": (2.0, 1.0, 2.0), "gradient_boosting": (2.0, 1.0, 2.0),
    }  # fmt: skip
    assert list(result.models) == list(MODELS)
    assert list(result.differences) == ["base", *BASELINES]
    for model, weight in weights.items():
        target, said = rows["target"].to_numpy(), probabilities_of(rows, model)
        expected = classification_report(target, said, weight)
        scores = {name: found.value for name, found in result.models[model].items()}
        assert scores == pytest.approx(expected, rel=1e-12)
    for model, scores in result.differences.items():
        for name, found in scores.items():
            auditor, other = result.models["auditor"][name], result.models[model][name]
            assert found.value == pytest.approx(auditor.value - other.value)
    decided = (probabilities_of(rows, "base") * BASE_WEIGHTS).argmax(axis=1)
    assert np.array_equal(rows["base_class"], decided)


def test_an_action_is_the_decided_class_of_a_set_of_one(evaluated: Evaluation) -> None:
    rows, sets = evaluated.rows, evaluated.result.coverage
    holds = rows[["in_set_sell", "in_set_neutral", "in_set_buy"]].to_numpy()
    assert np.array_equal(holds, probabilities_of(rows, "auditor") >= sets.threshold)
    assert set(rows["auditor_class"]) > {1} and (rows["action"] != rows["auditor_class"]).any()
    assert (rows["action"] != 1).any()
    for decided, row, acted in zip(rows["auditor_class"], holds, rows["action"], strict=True):
        assert acted == (decided if row[decided] and row.sum() == 1 else 1)
    assert sets.singletons == (holds.sum(axis=1) == 1).mean()


def test_the_threshold_is_of_rows_that_no_tree_was_fitted_on(
    case: Case, evaluated: Evaluation
) -> None:
    """And no row at all moves a set once the model is made: sets are the model's own."""
    rows, fitted = case.fitted.rows, case.fitted.auditor
    kept = rows[rows["part"].isin(["stopping", "calibration"])]
    said = fitted.predict(kept[list(META_FEATURES)].to_numpy())
    again = fit_conformal(kept["target"].to_numpy(), said, 0.6)
    assert fitted.conformal == again and again.rows == len(kept)
    promised = evaluated.result.coverage
    assert (promised.promised, promised.threshold) == (0.6, again.threshold)
    moved = rows.assign(target=(rows["target"] + 1) % 3)
    assert evaluate(case.subject, case.of.table, moved, chosen()).result.coverage == promised


def test_drift_is_between_what_was_learned_from_and_what_was_met(
    case: Case, evaluated: Evaluation
) -> None:
    features = case.of.table[list(FEATURES)].to_numpy()
    learned, met = features[evaluated.dev_row], features[evaluated.samples_row]
    for place, name in enumerate(FEATURES):
        assert evaluated.result.drift[name] == shift(learned[:, place], met[:, place])
    unfitted = case.fitted.rows[case.fitted.rows["part"] != "fit"]
    before = case.subject.audited(unfitted[list(META_FEATURES)].to_numpy())
    now = probabilities_of(evaluated.rows, "auditor")
    found = evaluated.result.forecast_shift
    assert found["auditor_buy"] == shift(before[:, 2], now[:, 2])
    assert list(found) == [
        f"{m}_{c}" for m in ("auditor", "base") for c in ("sell", "neutral", "buy")
    ]


class Timed(NetworkSubject):
    """A subject whose windows take as many ms as they have been asked for."""

    def answer_times(
        self, table: pd.DataFrame, rows: np.ndarray, book: RowBlocks | None = None
    ) -> np.ndarray:
        self.asked = rows.tolist()
        return np.arange(1.0, len(rows) + 1)


def test_single_windows_are_timed_where_they_are_served(case: Case, evaluated: Evaluation) -> None:
    assert evaluated.result.inference is None
    assert "test_inference_p99_ms" not in evaluated.metrics()
    timed = Timed.__new__(Timed)
    timed.__dict__.update(case.subject.__dict__)
    found = evaluate(timed, case.of.table, case.fitted.rows, chosen())
    times, test = found.result.inference, found.samples_row
    assert times is not None and (times.p50, times.windows) == (4, 7)
    assert timed.asked == [test[round(place * (len(test) - 1) / 6)] for place in range(7)]
    assert times.p99 == pytest.approx(6.94)
    assert found.metrics()["test_inference_p99_ms"] == times.p99


def test_a_test_part_that_the_auditor_knows_is_refused_before_anything_is_asked(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> None:
        pytest.fail("the test part was read")

    monkeypatch.setattr(case.subject, "ask", asked)
    inside = case.fitted.rows.copy()
    for column in ("time", "label_end", "trained_until"):
        inside[column] += pd.Timedelta(minutes=TEST_STRIDE)
    with pytest.raises(ProvenanceError, match="reaches into the rows"):
        evaluate(case.subject, case.of.table, inside, chosen())
    dishonest = case.fitted.rows.assign(trained_until=case.fitted.rows["time"].max())
    with pytest.raises(ProvenanceError, match="saw past them"):
        evaluate(case.subject, case.of.table, dishonest, chosen())
    with pytest.raises(ProvenanceError, match="no `part`"):
        evaluate(case.subject, case.of.table, case.fitted.rows.drop(columns="part"), chosen())


def test_nothing_that_comes_later_reaches_what_was_said_before_it(
    case: Case, evaluated: Evaluation
) -> None:
    """Rows after the tenth test minute change nothing of what is said of the first ten."""
    changed = case.of.table.copy()
    changed.iloc[evaluated.samples_row[9] + 1 :, : len(FEATURES)] += 0.5
    again = evaluate(case.subject, changed, case.fitted.rows, chosen())
    assert np.array_equal(evaluated.meta[:10], again.meta[:10])
    said = [column for column in evaluated.rows if column not in ("target", "forward_return")]
    assert evaluated.rows.loc[:9, said].equals(again.rows.loc[:9, said])
    assert not evaluated.rows.equals(again.rows)


def test_what_is_found_can_be_kept_and_read(evaluated: Evaluation, tmp_path: Path) -> None:
    write_scored(tmp_path, evaluated.rows)
    assert read_scored(tmp_path).equals(evaluated.rows)
    write_evidence(tmp_path / "evaluation.json", evaluated.result)
    kept = read_evidence(tmp_path / "evaluation.json", EvaluationResult)
    assert kept == evaluated.result
    metrics = evaluated.metrics()
    assert metrics["test_auditor_mcc"] == kept.models["auditor"]["mcc"].value
    assert {name for name in metrics if name.startswith("test_majority")} == {
        "test_majority_macro_f1"
    }
    assert metrics["test_majority_macro_f1"] == kept.models["majority"]["macro_f1"].value
    assert metrics["test_rows"] == kept.rows
    assert metrics["test_coverage"] == kept.coverage.found.value
    assert set(KEY_FIGURES["evaluate"]) <= metrics.keys() and len(metrics) < 20
    assert evaluated.summary().items() <= metrics.items() and len(evaluated.summary()) == 3
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_same_evaluation_twice_is_the_same(case: Case, evaluated: Evaluation) -> None:
    again = evaluate(case.subject, case.of.table, case.fitted.rows, chosen(), silent)
    assert again.result == evaluated.result
    assert again.rows.equals(evaluated.rows)


def test_another_window_finds_the_same_minutes_of_test(case: Case, evaluated: Evaluation) -> None:
    found = samples(case.of.table, 2 * WINDOW, TEST_STRIDE)
    other = found.take(split_test(found, chosen().split).other)
    assert np.array_equal(other.row, evaluated.samples_row)
