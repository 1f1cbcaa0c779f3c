"""What is found beyond the scores agrees with them, and with the rows it was found in."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.auditor.auditor_input import forecast_in
from quantgod.contracts import CLASSES, META_FEATURES, PRIMARY
from quantgod.evaluation.evaluate import said_out_of_fold
from quantgod.evaluation.scored_rows import columns_of
from quantgod.report.examination import ALL_DECISIONS, MOVES
from tests.evaluation.evaluations import case
from tests.report.written import examined

ROWS = case().evaluated.rows


def test_the_slice_of_all_rows_scores_as_the_whole_part_does() -> None:
    overall, result = examined().overall["all"], case().evaluated.result
    assert overall is not None
    assert overall.effective_rows == pytest.approx(result.effective_rows)
    for model in ("auditor", "base"):
        accuracy = overall.models[model]["accuracy"]
        assert accuracy == pytest.approx(result.models[model]["accuracy"])
        recall = overall.models[model]["recall_neutral"]
        assert recall is not None
        assert recall.value == pytest.approx(result.models[model]["recall_neutral"].value)
    apart = overall.differences["base"]["accuracy"]
    assert apart is not None
    assert apart.value == pytest.approx(result.differences["base"]["accuracy"].value)


def test_every_row_lies_in_one_slice_of_each_cut() -> None:
    cuts = [*examined().by_cut.values(), *examined().tiers.values()]
    assert list(examined().by_cut) == ["session", "weekday", "volatility"]
    assert len(cuts) == 5
    for cut in cuts:
        assert sum(part.rows for part in cut.values() if part is not None) == len(ROWS)
        assert sum(part.share for part in cut.values() if part is not None) == pytest.approx(1)


def test_volatility_is_cut_by_what_was_known_before_the_test() -> None:
    given = case()
    volatility = given.table["volatility"].to_numpy()
    edge = np.quantile(volatility[given.evaluated.dev_row], 1 / 3)
    low = examined().by_cut["volatility"]["low"]
    assert low is not None
    assert low.rows == (volatility[given.evaluated.samples_row] <= edge).sum()


def test_tiers_are_of_the_model_s_own_confidence() -> None:
    for model, tiers in examined().tiers.items():
        decided = ROWS[f"{model}_class"].to_numpy()
        given = ROWS[columns_of(model)].to_numpy()[np.arange(len(ROWS)), decided]
        part = tiers["0.5 to 0.6"]
        assert part is not None and list(part.models) == [model]
        assert part.rows == ((given >= 0.5) & (given < 0.6)).sum()


def test_selective_accuracy_is_told_of_all_decisions_and_of_moves() -> None:
    found = examined().selective
    assert {name: curve.rows for name, curve in found[ALL_DECISIONS].items()} == {
        "auditor": len(ROWS), "base": len(ROWS),
    }  # fmt: skip
    moves = {name: int((ROWS[f"{name}_class"] != 1).sum()) for name in ("auditor", "base")}
    assert {name: curve.rows for name, curve in found[MOVES].items()} == moves


def test_conformal_sets_are_told_by_class_and_size() -> None:
    holds = ROWS[columns_of("in_set")].to_numpy(bool)
    target = ROWS["target"].to_numpy()
    held = holds[np.arange(len(ROWS)), target]
    for number, name in enumerate(CLASSES):
        found = examined().coverage_by_class[name]
        came = target == number
        assert (found is None) == (not came.any())
        if found is not None:
            assert found.value == pytest.approx(held[came].mean())
            assert found.low <= found.value <= found.high
    sizes = holds.sum(axis=1)
    assert examined().set_sizes == tuple((sizes == size).sum() for size in range(4))
    assert all(type(size) is int for size in examined().set_sizes)
    alone = examined().right_alone
    assert alone is not None and alone.value == pytest.approx(held[sizes == 1].mean())


def test_importance_reads_no_more_windows_than_it_may() -> None:
    found = examined().importance
    assert (found.rows, found.repeats) == (150, 2)
    assert found.models["auditor"]["imbalance"].log_loss_rise.low > 0


def test_what_was_said_out_of_fold_leaves_out_what_trees_were_fitted_on() -> None:
    given = case()
    found = said_out_of_fold(given.subject, given.out_of_fold)
    kept = given.out_of_fold[given.out_of_fold["part"] != "fit"]
    assert 0 < len(kept) < len(given.out_of_fold)
    meta = kept[list(META_FEATURES)].to_numpy()
    expected = forecast_in(meta, given.subject.base_weights).probabilities[:, PRIMARY]
    assert np.array_equal(found["base"], expected)
    assert len(found["auditor"]) == len(kept)
