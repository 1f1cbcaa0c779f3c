from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor.provenance import ProvenanceError
from quantgod.contracts import FEATURES, META_FEATURES
from quantgod.dataset.inputs import Inputs
from quantgod.dataset.labels import label
from quantgod.dataset.samples import SEEN, samples
from quantgod.dataset.scaling import Scaler
from quantgod.dataset.splits import split_test
from quantgod.evaluation.drift import OUTPUTS, Reference
from quantgod.registry.reference import _features, reference_of
from quantgod.settings import load_settings
from quantgod.training.material import material, train_and_validation
from tests.registry.conftest import out_of_fold_rows, tiny_auditor
from tests.synthetic import synthetic_bars

WINDOW = 60
SETTINGS = load_settings(Path("conf/full.yaml"))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return label(synthetic_bars(3_000, seed=3), SETTINGS.label, 5)


def reference(table: pd.DataFrame, rows: pd.DataFrame | None = None) -> Reference:
    """As the pipeline makes it: the scaler of the training part, out-of-fold rows of dev."""
    rows = forecast(table) if rows is None else rows
    return reference_of(table, scaler(table), tiny_auditor(), rows)


def scaler(table: pd.DataFrame) -> Scaler:
    train, _ = train_and_validation(table, WINDOW, 1, SETTINGS.split)
    return material(table, train, Inputs(WINDOW)).scaler


def forecast(table: pd.DataFrame) -> pd.DataFrame:
    taken = samples(table, WINDOW, 1)
    dev = split_test(taken, SETTINGS.split).train
    return out_of_fold_rows(pd.DatetimeIndex(table.index[taken.row[dev[len(dev) // 6 :]]]))


def test_no_row_of_the_test_part_moves_the_reference(table: pd.DataFrame, tmp_path: Path) -> None:
    taken = samples(table, WINDOW, 1)
    border = table.index[taken.row[split_test(taken, SETTINGS.split).other[0]]]
    changed = table.copy()
    changed.loc[changed.index >= border, list(FEATURES)] *= -7.0
    # Labels stay as they are: they cut the parts, and features alone are under test.
    assert (changed["log_ret_close"] != table["log_ret_close"]).sum() >= 290
    kept = saved(reference(table), tmp_path / "kept")
    assert saved(reference(changed), tmp_path / "changed") == kept
    newest = forecast(table)["time"].max()
    assert newest < border
    changed.loc[newest, "body"] += 1.0
    assert saved(reference(changed), tmp_path / "dev") != kept


def test_z_scores_are_what_the_network_sees(table: pd.DataFrame) -> None:
    kept, fitted = reference(table), scaler(table)
    np.testing.assert_array_equal(kept.mean, fitted.mean)
    np.testing.assert_array_equal(kept.std, fitted.std)


def test_quantiles_are_of_all_of_dev(table: pd.DataFrame) -> None:
    rows = forecast(table)
    dev = table.loc[: rows["time"].max(), "max_spread"]
    kept = reference(table).features["max_spread"]
    blind = table.assign(**{SEEN: np.arange(len(table)) >= 9})
    unseen = reference_of(blind, scaler(table), tiny_auditor(), rows).features["max_spread"]
    assert (kept.count, unseen.count) == (len(dev), len(dev) - 9)
    assert (kept.quantiles[0], kept.quantiles[-1]) == (dev.min(), dev.max())
    assert abs(kept.quantiles[250] - dev.median()) < 1e-9


def test_probabilities_are_of_rows_that_the_booster_was_not_fitted_on(table: pd.DataFrame) -> None:
    rows = forecast(table)
    kept = reference(table, rows)
    unseen = rows["part"] != "fit"
    said = tiny_auditor().predict(rows.loc[unseen, list(META_FEATURES)].to_numpy())
    for place, name in enumerate(OUTPUTS):
        assert kept.output[name].count == unseen.sum()
        assert kept.output[name].mean == pytest.approx(said[:, place].mean())
    assert sum(kept.output[name].mean for name in OUTPUTS) == pytest.approx(1)
    fitted = rows.copy()
    fitted.loc[~unseen, list(META_FEATURES)] += 5.0
    assert reference(table, fitted).output["prob_buy"].mean == kept.output["prob_buy"].mean
    fitted.loc[unseen, list(META_FEATURES)] += 5.0
    assert reference(table, fitted).output["prob_buy"].mean != kept.output["prob_buy"].mean


def test_rows_whose_model_had_seen_them_are_refused(table: pd.DataFrame) -> None:
    rows = forecast(table)
    rows["trained_until"] = rows["time"]
    with pytest.raises(ProvenanceError, match="forecast by a model that saw past them"):
        reference(table, rows)


def saved(kept: Reference, folder: Path) -> bytes:
    folder.mkdir()
    kept.save(folder)
    return (folder / "reference.json").read_bytes()


def test_a_feature_that_never_moved_in_training_has_the_deviation_one() -> None:
    std = np.arange(len(FEATURES)) * 0.5
    found = _features(np.random.default_rng(1).normal(size=(50, 9)), Scaler(std + 3, std), FEATURES)
    assert [found[name].std for name in FEATURES] == [1.0, *std[1:]]
    assert [found[name].mean for name in FEATURES] == [*(std + 3)]
