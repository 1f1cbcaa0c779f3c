from __future__ import annotations

import multiprocessing
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor.auditor_input import BASE, SPOKEN, forecast_in
from quantgod.auditor.out_of_fold import Recipe, out_of_fold
from quantgod.auditor.provenance import OOF_COLUMNS, PROVENANCE, assert_provenance
from quantgod.auditor.reports import FoldReport, Hooks
from quantgod.contracts import FEATURES, META_FEATURES, PRIMARY
from quantgod.dataset.samples import covered_rows
from quantgod.dataset.splits import uniqueness
from quantgod.training import material
from tests.auditor import markets
from tests.auditor.markets import WINDOW, Market, market, recipe
from tests.later import later


@pytest.fixture(scope="module")
def small() -> Market:
    return market(3_000, 10, signal=0.7)


class Heard:
    """Listens to an audit."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.folds: list[FoldReport] = []
        self.notes: list[str] = []

    @property
    def hooks(self) -> Hooks:
        return Hooks(
            on_epoch=lambda fold, epoch: self.epochs.append(fold),
            on_fold=self.folds.append,
            progress=lambda done, total, note: self.notes.append(note),
        )


def forecast(of: Market, work: Path, how: Recipe | None = None) -> tuple[pd.DataFrame, Heard]:
    heard = Heard()
    frame = out_of_fold(of.material(how or recipe()), work, heard.hooks)
    return frame, heard


@pytest.fixture(scope="module")
def whole(small: Market, tmp_path_factory: pytest.TempPathFactory):
    work = tmp_path_factory.mktemp("whole")
    return *forecast(small, work), work


def test_every_sample_after_the_first_part_is_forecast_once_with_its_provenance(small, whole):
    frame, heard, _ = whole
    assert tuple(frame.columns) == (*META_FEATURES, *SPOKEN, "target", *PROVENANCE)
    assert set(OOF_COLUMNS) < set(frame.columns)
    weights = recipe().train.class_weights
    said = forecast_in(frame[list(META_FEATURES)].to_numpy(), weights)
    assert np.array_equal(frame[list(BASE)], said.probabilities[:, PRIMARY])
    assert np.array_equal(frame["confidence"], said.confidence[:, PRIMARY]), "it has no head"
    assert frame["expected_return"].isna().all()
    assert_provenance(frame)
    dev = small.samples.take(small.split.train)
    newest = dev.take(np.arange(len(dev) - len(frame), len(dev)))
    assert np.array_equal(frame.target, newest.target)
    times = frame.time.dt.as_unit("ms").astype("int64")
    assert np.array_equal(times, newest.time_ms)
    assert np.isfinite(frame.iloc[:, :14]).all(axis=None)
    assert [report.fold for report in heard.folds] == [1, 2, 3]
    assert sum(report.forecast for report in heard.folds) == len(frame)
    assert set(heard.epochs) == {1, 2, 3}
    assert any(note.startswith("fold 2/3: ") for note in heard.notes)


def test_a_row_weighs_its_uniqueness_within_its_fold(small, whole):
    frame, _, _ = whole
    samples, times = small.samples, frame.time.dt.as_unit("ms").astype("int64")
    for fold in (1, 2, 3):
        mask = np.isin(samples.time_ms, times[frame.fold == fold])
        assert np.allclose(frame.weight[frame.fold == fold], uniqueness(samples.take(mask)))


def test_trained_until_is_the_last_label_end_of_fitting_and_stopping(whole):
    frame, heard, _ = whole
    for report in heard.folds:
        until = frame.trained_until[frame.fold == report.fold]
        first = frame.time[frame.fold == report.fold].iloc[0]
        assert (until == pd.Timestamp(report.trained_until)).all()
        assert first - pd.Timedelta(minutes=10) <= until.iloc[0] < first  # nothing is wasted


def test_a_second_call_trains_nothing_and_gives_the_same_bytes(small, whole):
    frame, _, work = whole
    again, heard = forecast(small, work)
    pd.testing.assert_frame_equal(again, frame, check_exact=True)
    assert heard.epochs == []
    assert all(report.reused for report in heard.folds)


@pytest.mark.long
def test_an_audit_killed_in_a_fold_goes_on_with_that_fold(small, whole, tmp_path):
    process = multiprocessing.get_context("spawn").Process(
        target=markets.killed_in_the_second_fold, args=(tmp_path,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    frame, heard = forecast(small, tmp_path)
    pd.testing.assert_frame_equal(frame, whole[0], check_exact=True)
    assert [report.reused for report in heard.folds] == [True, False, False]
    assert set(heard.epochs) == {2, 3}
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["rows.parquet"] * 3


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("audit", {"epochs": 1}),
        ("split", {"embargo_minutes": 30}),
        *later(
            ("train", {"seed": 99}),
            ("audit", {"stopping_fraction": 0.3}),
            ("model", {"params": {**recipe().model.params, "lstm_hidden": 6}}),
        ),
    ],
    ids=["epochs", "embargo", "seed", "stopping", "model"],
)
def test_a_changed_setting_trains_anew(small, whole, section, change):
    how = recipe()
    changed = replace(how, **{section: getattr(how, section).model_copy(update=change)})
    _, heard = forecast(small, whole[2], changed)
    assert not any(report.reused for report in heard.folds)


def test_other_labels_of_the_same_minutes_train_anew(small, whole):
    """New thresholds of the label change targets alone; the folds of old ones are no use."""
    target = small.samples.target.copy()
    target[small.split.train[10]] = (target[small.split.train[10]] + 1) % 3
    _, heard = forecast(replace(small, samples=replace(small.samples, target=target)), whole[2])
    assert not any(report.reused for report in heard.folds)


def test_a_setting_that_no_fold_reads_trains_nothing(small, whole):
    frame, _, work = whole
    other = recipe(decision_weights=(1.0, 1.0, 1.0), calibration_fraction=0.3)
    again, heard = forecast(small, work, other)
    assert heard.epochs == []
    pd.testing.assert_frame_equal(again, frame)


def test_what_comes_after_a_cut_does_not_touch_what_came_before(small, whole, tmp_path):
    """Scramble every bar from a minute inside the last fold on, features and labels alike."""
    frame = whole[0]
    times = small.samples.time_ms
    cut = int(np.median(np.flatnonzero(np.isin(times, _ms(frame.time[frame.fold == 3])))))
    row = small.samples.row[cut]
    table, rng = small.table.copy(), np.random.default_rng(5)
    later = table.index[row + 1 :]
    table.loc[later, list(FEATURES)] = 10 * rng.normal(size=(len(later), len(FEATURES)))
    late = small.samples.label_end_ms > times[cut]
    target = np.where(late, rng.integers(0, 3, len(times)), small.samples.target)
    scrambled = Market(table, replace(small.samples, target=target), small.split)
    changed, heard = forecast(scrambled, tmp_path)
    before = frame.time <= small.table.index[row]
    known = [name for name in OOF_COLUMNS if name != "target"]
    pd.testing.assert_frame_equal(changed[before][known], frame[before][known], check_exact=True)
    assert not changed[~before][known].equals(frame[~before][known])
    assert not any(report.reused for report in heard.folds)


def test_a_fold_is_reused_when_only_what_comes_after_it_changed(small, whole):
    table = small.table.copy()
    table.iloc[-1, table.columns.get_loc("body")] += 1.0  # beyond dev
    dev_end = small.samples.row[small.split.train].max()
    table.iloc[dev_end, table.columns.get_loc("body")] += 1.0  # the last fold's last minute
    _, heard = forecast(replace(small, table=table), whole[2])
    assert [report.reused for report in heard.folds] == [True, True, False]


def test_scalers_see_their_own_training_rows_alone(small, monkeypatch, tmp_path):
    """Each fold's scaler is fitted on the rows of its training windows; none is shared."""
    seen: list[np.ndarray] = []
    real = material.fit_scaler
    monkeypatch.setattr(material, "fit_scaler", lambda rows: seen.append(rows) or real(rows))
    frame, heard = forecast(small, tmp_path, recipe(epochs=1))
    features = small.table[list(FEATURES)].to_numpy()
    for rows, report in zip(seen, heard.folds, strict=True):
        dev = small.samples.take(small.split.train[: report.fit])
        assert np.array_equal(rows, features[covered_rows(dev.row, WINDOW)])
        last = small.table.index[dev.row[-1]]
        assert last < frame.time[frame.fold == report.fold].min()


def _ms(times: pd.Series) -> np.ndarray:
    return times.dt.as_unit("ms").astype("int64").to_numpy()
