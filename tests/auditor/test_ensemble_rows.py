"""An ensemble's out-of-fold rows are as one forecaster's, and know nothing of later outcomes."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor.audit import fit_auditor
from quantgod.auditor.auditor_input import BASE, SPOKEN
from quantgod.auditor.ensemble_rows import (
    CONTEXT,
    EnsembleRows,
    OtherTargetError,
    ensemble_rows,
)
from quantgod.auditor.provenance import OOF_COLUMNS
from quantgod.contracts import META_FEATURES
from quantgod.ensemble.fitting import UnknownMemberError, grid_minutes, new_combiner
from quantgod.served.combiners.outcome import Outcome
from quantgod.settings import EnsembleSettings
from quantgod.settings.ensemble import Strategy
from tests.auditor.markets import oof_frame
from tests.auditor.test_audit import audit_settings
from tests.later import later

WEIGHTS = (2.0, 1.0, 2.0)
SKILL = {"wide": 1.5, "sharp": 3.0, "blind": 0.0}
strategies = pytest.mark.parametrize("strategy", get_args(Strategy))


def member(name: str, rows: int = 900) -> pd.DataFrame:
    """Return a member's out-of-fold rows: the same labels for all, forecasts of its own skill."""
    frame = oof_frame(rows)
    rng = np.random.default_rng(len(name))
    raw = rng.random((rows, 3)) + SKILL[name] * np.eye(3)[frame["target"]] * rng.random((rows, 1))
    said = raw / raw.sum(axis=1, keepdims=True)
    tilted = said * WEIGHTS
    frame[list(META_FEATURES[:3])] = tilted / tilted.sum(axis=1, keepdims=True)
    frame[list(BASE)] = said
    return frame.assign(confidence=said.max(axis=1), expected_return=np.nan)


def combined(
    frames: dict[str, pd.DataFrame], strategy: str = "weighted_voting", **more: object
) -> EnsembleRows:
    settings = EnsembleSettings(strategy=strategy, **more)
    new = new_combiner(settings, list(frames), WEIGHTS, Outcome(60, 0.001, -0.001), every=10)
    return ensemble_rows(frames, new, strategy, next(iter(frames)))


def members(rows: int = 900) -> dict[str, pd.DataFrame]:
    return {name: member(name, rows) for name in SKILL}


@strategies
def test_an_auditor_is_fitted_to_an_ensemble_as_to_one_network(strategy: str) -> None:
    made = combined(members(), strategy)
    assert set(made.rows.columns) == {*OOF_COLUMNS, *SPOKEN}
    assert made.rows["confidence"].between(0, 1).all()
    np.testing.assert_allclose(made.rows[list(BASE)].sum(axis=1), 1)
    fitted = fit_auditor(made.rows, audit_settings())
    assert fitted.auditor.predict(made.rows[list(META_FEATURES)].to_numpy()).shape[1] == 3


@strategies
def test_one_member_alone_is_its_own_ensemble(strategy: str) -> None:
    one = member("sharp")
    rows = combined({"sharp": one}, strategy).rows
    if strategy == "unanimous":
        assert len(rows) == len(one)
    shared = ["time", "label_end", "target", "weight", *CONTEXT]
    pd.testing.assert_frame_equal(rows[shared], one[shared], check_dtype=False)
    for names in (BASE, META_FEATURES[:3], ("confidence",)):
        np.testing.assert_allclose(rows[list(names)], one[list(names)], rtol=1e-9, atol=1e-12)


@strategies
@pytest.mark.parametrize("cut", [450, *later(250, 700)])
def test_what_comes_after_a_minute_changes_no_bit_of_the_rows_up_to_it(
    strategy: str, cut: int
) -> None:
    """Outcomes that are known later, and forecasts made later, are all made other ones."""
    given = members()
    now = given["wide"]["time"].iloc[cut]
    other = {name: frame.copy() for name, frame in given.items()}
    for frame in other.values():
        later, unknown = frame["time"] > now, frame["label_end"] > now
        frame.loc[unknown, "target"] = (frame.loc[unknown, "target"] + 1) % 3
        changed = frame.loc[later, list(BASE)].to_numpy()[:, [1, 2, 0]]
        frame.loc[later, list(BASE)] = changed
    one, two = (combined(each, strategy).rows for each in (given, other))
    seen = [*META_FEATURES, *SPOKEN, "fold", "weight"]
    before, after = (rows.loc[rows["time"] <= now, seen] for rows in (one, two))
    np.testing.assert_array_equal(before.to_numpy(), after.to_numpy())
    assert len(before) == cut + 1
    assert not np.array_equal(one[seen].to_numpy(), two[seen].to_numpy())


@pytest.mark.parametrize("strategy", ["adaptive", "hedge", "stacking"])
def test_weights_that_learn_favour_the_member_that_knows(strategy: str) -> None:
    made = combined(members(), strategy).fitted
    served = made.combiner.now / made.combiner.now.sum()
    assert served.argmax() == 1, dict(zip(made.combiner.members, served, strict=True))
    assert served[2] < 1 / 3
    first = made.weights[:, 0] / made.weights[:, 0].sum()
    np.testing.assert_allclose(first, 1 / 3)


def test_minutes_that_lack_a_member_or_a_quorum_are_left_out_and_counted() -> None:
    frames = members()
    frames["wide"] = frames["wide"].drop(index=[5, 6, 7]).reset_index(drop=True)
    made = combined(frames)
    assert made.left_out == 3
    assert len(made.rows) == 897
    heard = combined(frames, quorum=3, min_confidence={"blind": 0.5})
    sure = (frames["blind"]["confidence"] >= 0.5).drop(index=[5, 6, 7])
    is_said = np.isfinite(heard.rows["prob_sell"].to_numpy())
    np.testing.assert_array_equal(is_said, sure)
    assert heard.left_out == 900 - int(is_said.sum())


def test_members_whose_folds_begin_elsewhere_make_folds_of_one_model_each() -> None:
    frames = members()
    later = frames["sharp"].assign(fold=1 + np.arange(900) * 3 // 930)
    first = later.groupby("fold")["time"].transform("min") - pd.Timedelta(minutes=10)
    frames["sharp"] = later.assign(trained_until=first)
    rows = combined(frames).rows
    assert rows["fold"].nunique() == 5
    assert (rows.groupby("fold")["trained_until"].nunique() == 1).all()
    newest = pd.concat([frame["trained_until"] for frame in frames.values()], axis=1).max(axis=1)
    assert (rows["trained_until"] == newest).all()


def test_members_of_other_labels_or_minutes_are_refused() -> None:
    frames = members()
    frames["blind"] = frames["blind"].assign(target=2 - frames["blind"]["target"])
    with pytest.raises(OtherTargetError, match=r"wide and blind have other labels of .* minutes"):
        combined(frames)
    late = frames["blind"]["time"] + pd.Timedelta(days=30)
    moved = {"time": late, "label_end": late + pd.Timedelta(minutes=60), "trained_until": late[0]}
    first = pd.Timedelta(minutes=10)
    frames["blind"] = frames["blind"].assign(
        **moved | {"fold": 1, "trained_until": late[0] - first}
    )
    with pytest.raises(ValueError, match="wide, sharp, blind have no minute out of fold in common"):
        combined(frames)


@pytest.mark.parametrize("key", ["weights", "min_confidence"])
def test_settings_of_a_member_that_is_not_there_are_refused(key: str) -> None:
    with pytest.raises(UnknownMemberError, match=rf"ensemble.{key}: no member tlob \(members: "):
        combined(members(), **{key: {"tlob": 0.5}})


def test_outcomes_move_weights_on_the_minutes_that_all_strides_have() -> None:
    assert grid_minutes(5, 3) == 15
    assert grid_minutes(10, 5) == 10
