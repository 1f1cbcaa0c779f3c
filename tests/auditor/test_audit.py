from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, log_loss

from quantgod.auditor.audit import (
    AuditorFit,
    AuditResult,
    audit,
    fit_auditor,
    parts_of,
    walk,
)
from quantgod.auditor.auditor import load_auditor
from quantgod.auditor.provenance import ProvenanceError, assert_provenance
from quantgod.auditor.reports import Hooks
from quantgod.contracts import FEATURES, META_FEATURES, PRIMARY
from quantgod.dataset.splits import split_test, split_validation
from quantgod.evaluation.network_subject import NetworkSubject
from quantgod.evaluation.subject import RawMaterial
from quantgod.forecasters.network import Network
from quantgod.models.zoo import build
from quantgod.training.loop import fit
from quantgod.training.material import material
from tests.auditor.markets import Market, market, oof_frame, recipe, settings

MINUTES = 24_000
STRIDE = 10


@dataclass(frozen=True)
class Judged:
    """What a final base model and the auditor say of the test part."""

    target: np.ndarray
    meta: np.ndarray
    base_said: np.ndarray
    base: np.ndarray
    audited: np.ndarray
    audited_class: np.ndarray


def audited(of: Market, work: Path, **changes: float) -> tuple[AuditResult, Judged]:
    """Audit dev, train a final base model on it, and judge both on the test part."""
    how = recipe(**changes)
    result = audit(walk(of.material(how), work))
    subject = NetworkSubject("test", final_network(of), result.auditor, how.train.batch_size)
    test = of.samples.take(of.split.other)
    forecast, meta, _ = subject.ask(RawMaterial(of.table[list(FEATURES)].to_numpy()), test.row)
    said = subject.audited(meta)
    return result, Judged(
        test.target, meta, forecast.tilted[:, PRIMARY], forecast.probabilities[:, PRIMARY], said,
        result.auditor.decide(said),
    )  # fmt: skip


def final_network(of: Market) -> Network:
    how = recipe()
    sides = split_validation(of.samples, of.split.train, 0.2, how.split)
    train = of.samples.take(sides.train)
    made = material(of.table, train, how.inputs)
    model = build(how.model.name, how.model.params, shapes=made.views.shapes, seed=1)
    fit(model, made.views, train, of.samples.take(sides.other), how.fold_training(0))
    name, params, weights = how.model.name, how.model.params, how.train.class_weights
    return Network(model, name, params, how.window, made.scaler, weights, "2024-01-01T00:00Z")


def large_test(minutes: int, seed: int, signal: float) -> Market:
    """A market of which the newest two fifths are the test: enough to tell skill from luck."""
    made = market(minutes, STRIDE, seed=seed, signal=signal)
    given = settings().split.model_copy(update={"test_fraction": 0.4})
    return replace(made, split=split_test(made.samples, given))


def prior_loss(of: Market, target: np.ndarray) -> float:
    counts = np.bincount(of.samples.target[of.split.train], minlength=3)
    return log_loss(target, np.tile(counts / counts.sum(), (len(target), 1)), labels=[0, 1, 2])


def majority_f1(target: np.ndarray) -> float:
    return f1_score(target, np.ones_like(target), average="macro", zero_division=0)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    of = large_test(MINUTES, 2, 0.7)
    return of, *audited(of, tmp_path_factory.mktemp("planted"))


@pytest.mark.long
def test_a_planted_signal_is_found(planted):
    of, _, judged = planted
    assert log_loss(judged.target, judged.audited) < prior_loss(of, judged.target) - 0.1
    f1 = f1_score(judged.target, judged.audited_class, average="macro")
    assert f1 > majority_f1(judged.target) + 0.15


def test_untilting_alone_already_improves_what_the_base_model_says(planted):
    _, _, judged = planted
    said, base = (
        log_loss(judged.target, probs / probs.sum(axis=1, keepdims=True))
        for probs in (judged.base_said, judged.base)
    )
    assert base < said - 0.01


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_in_a_market_with_nothing_to_find_the_auditor_finds_nothing(seed, tmp_path):
    of = large_test(MINUTES, seed, 0.0)
    _, judged = audited(of, tmp_path)
    loss = log_loss(judged.target, judged.audited, labels=[0, 1, 2])
    assert abs(loss - prior_loss(of, judged.target)) < 0.03
    f1 = f1_score(judged.target, judged.audited_class, average="macro")
    assert f1 < majority_f1(judged.target) + 0.1


def test_the_result_tells_of_folds_parts_and_what_calibration_did(planted):
    _, result, _ = planted
    assert [report.fold for report in result.folds] == [1, 2, 3]
    assert set(result.rows["part"]) == {"fit", "stopping", "calibration", "purged"}
    assert result.auditor.calibrator.reason is None
    held_out = result.held_out
    assert held_out is not None
    assert len(held_out.target) == len(held_out.before) == len(held_out.after)
    newest = result.rows.tail(len(held_out.target))
    assert np.array_equal(held_out.target, newest.target)
    assert (newest.part == "calibration").all()


def test_the_auditor_tells_what_it_leans_on(planted):
    _, result, judged = planted
    assert result.auditor.gain().shape == (14,)
    assert result.auditor.contributions(judged.meta[:5]).shape == (5, 3, 15)


def test_a_saved_auditor_says_the_same(planted, tmp_path):
    _, result, judged = planted
    result.auditor.save(tmp_path / "auditor")
    assert sorted(p.name for p in (tmp_path / "auditor").iterdir()) == [
        "booster.ubj",
        "calibrator.json",
        "confidence.json",
        "conformal.json",
    ]
    loaded = load_auditor(tmp_path / "auditor")
    probs = loaded.predict(judged.meta)
    assert np.array_equal(probs, judged.audited)
    assert np.array_equal(loaded.decide(probs), judged.audited_class)
    assert loaded.confidence == result.auditor.confidence


def audit_settings(**changes: object):
    return settings().audit.model_copy(update=changes)


def test_the_parts_are_in_order_of_time_and_no_label_reaches_across():
    frame = oof_frame()
    parts = parts_of(frame, 0.5, embargo_minutes=20)
    assert (parts[frame.fold < 3].drop_duplicates() == ["fit", "purged"]).all()
    assert parts.value_counts().to_dict() == {
        "fit": 592, "stopping": 142, "calibration": 150, "purged": 16,
    }  # fmt: skip
    for older, newer in (("fit", "stopping"), ("stopping", "calibration")):
        end = frame.label_end[parts == older].max() + pd.Timedelta(minutes=20)
        assert end < frame.time[parts == newer].min()


def test_the_calibrator_has_not_seen_what_stopped_the_booster():
    """Flipping the calibration rows' classes changes the calibrator and not the booster."""
    frame = oof_frame()
    given = audit_settings()
    newest = parts_of(frame, given.calibration_fraction, 0) == "calibration"
    flipped = frame.assign(target=frame.target.where(~newest, 2 - frame.target))
    one, other = fit_auditor(frame, given), fit_auditor(flipped, given)
    assert one.auditor.booster.save_raw("ubj") == other.auditor.booster.save_raw("ubj")
    assert one.auditor.calibrator != other.auditor.calibrator


def test_the_same_frame_gives_the_same_auditor():
    one, other = (fit_auditor(oof_frame(), audit_settings()) for _ in range(2))
    assert one.auditor.booster.save_raw("ubj") == other.auditor.booster.save_raw("ubj")
    assert one.auditor.calibrator == other.auditor.calibrator


def test_calibration_is_judged_on_rows_newer_than_those_it_was_fitted_on():
    frame = oof_frame()
    fitted = fit_auditor(frame, audit_settings())
    held_out = fitted.held_out
    assert held_out is not None
    assert np.array_equal(held_out.target, frame.target.tail(75))
    changed = frame.copy()
    changed.loc[changed.index[-75:], "target"] = 2 - changed.target.tail(75)
    again: AuditorFit = fit_auditor(changed, audit_settings())
    assert again.held_out is not None
    assert np.array_equal(again.held_out.after, held_out.after)


def test_without_a_class_in_the_calibration_rows_the_map_is_the_identity():
    frame = oof_frame()
    newest = parts_of(frame, 0.5, 0) == "calibration"
    frame.loc[newest & (frame.target == 0), "target"] = 1
    fitted = fit_auditor(frame, audit_settings())
    assert fitted.auditor.calibrator.reason is not None
    meta = frame[list(META_FEATURES)].to_numpy()
    assert np.isfinite(fitted.auditor.predict(meta)).all()


def test_rows_without_an_honest_past_are_not_learned_from():
    frame = oof_frame()
    frame.loc[frame.fold == 3, "trained_until"] = frame.time.max()
    with pytest.raises(ProvenanceError):
        fit_auditor(frame, audit_settings())


@pytest.mark.parametrize("rows", [3, 12, 24])
def test_too_few_rows_are_refused_with_what_is_missing(rows):
    with pytest.raises(ValueError, match=r"no row for|leave none for"):
        fit_auditor(oof_frame(rows), audit_settings())


def test_hooks_hear_of_every_stage(tmp_path):
    of, notes, folds = market(3_000, 10, signal=0.7), [], []
    hooks = Hooks(
        on_fold=folds.append, progress=lambda done, total, note: notes.append(note.split(":")[0])
    )
    result = audit(walk(of.material(recipe(epochs=1)), tmp_path, hooks), hooks.progress)
    assert {"fold 1/3", "fold 2/3", "fold 3/3"} < set(notes)
    assert any(note.startswith("log-loss") for note in notes)
    assert tuple(folds) == result.folds
    assert_provenance(result.rows)
