"""Too few rows are told with how many there are and how many it takes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quantgod.auditor.audit import walk
from quantgod.auditor.out_of_fold import FoldMaterial, Recipe
from quantgod.dataset import enough
from quantgod.dataset.enough import TooFewRowsError, rows_needed
from quantgod.dataset.labels import label
from quantgod.dataset.learning_table import LearnedFrom
from quantgod.dataset.samples import SEEN, samples
from quantgod.dataset.splits import EmptyPartError, Split, folds, split_test, split_validation
from quantgod.forecasters.base_model import train_base
from quantgod.settings import Settings, load_settings
from quantgod.training.material import train_and_validation
from tests.synthetic import synthetic_bars

FULL = Path("conf/full.yaml")


def labelled(rows: int, given: Settings, lost: int = 0) -> pd.DataFrame:
    """A table with so many labelled rows, of one run whose first rows are not seen."""
    bars = synthetic_bars(rows + given.label.horizon_minutes, seed=1)
    table = label(bars, given.label, given.etl.max_bridge_minutes)
    return table.assign(**{SEEN: np.arange(len(table)) >= lost}) if lost else table


def small(window: int, horizon: int, stride: int, parts: int, embargo: int = 0) -> Settings:
    return load_settings(FULL, {
        "window.length": window, "window.stride": stride, "audit.stride": stride,
        "label.horizon_minutes": horizon, "split.folds": parts, "split.embargo_minutes": embargo,
    })  # fmt: skip


def cut(table: pd.DataFrame, given: Settings) -> None:
    """As the audit cuts dev."""
    taken = samples(table, given.window.length, given.audit.stride)
    walked = folds(taken, split_test(taken, given.split).train, given.split)
    for fold in walked:
        split_validation(taken, fold.train, given.audit.stopping_fraction, given.split)
    split_validation(taken, walked[-1].other, given.audit.calibration_fraction, given.split)


@settings(max_examples=8, deadline=None)
@given(
    window=st.integers(20, 90), horizon=st.integers(1, 60), stride=st.integers(1, 6),
    parts=st.integers(2, 5), embargo=st.integers(0, 20), lost=st.sampled_from([0, 1, 479]),
)  # fmt: skip
@example(window=60, horizon=60, stride=10, parts=5, embargo=0, lost=0)
def test_so_many_rows_can_be_cut_and_one_less_cannot(
    window: int, horizon: int, stride: int, parts: int, embargo: int, lost: int
) -> None:
    """The table begins at midnight, which is a minute of each of these strides."""
    given = small(window, horizon, stride, parts, embargo)
    least = rows_needed(window, horizon, stride, given.split, given.audit, lost)
    assert least is not None
    cut(labelled(least, given, lost), given)
    with pytest.raises(EmptyPartError):
        cut(labelled(least - 1, given, lost), given)


def test_nobody_looks_beyond_the_most_rows_that_there_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search doubles the window until it is enough; the last step may be the most itself."""
    given = small(64, 5, 1, 2)
    least = rows_needed(64, 5, 1, given.split, given.audit)
    assert least is not None
    reached = 64 * 2 ** math.ceil(math.log2(least / 64))
    for most, found in ((reached, least), (reached - 1, None)):
        monkeypatch.setattr(enough, "MOST", most)
        assert rows_needed(64, 5, 1, given.split, given.audit) == found


def test_28_labelled_rows_are_told_with_what_training_and_audit_need(tmp_path: Path) -> None:
    given = load_settings(FULL)
    table = labelled(28, given)
    for_base = rows_needed(720, 60, 1, given.split)
    said = (
        rf"28 labelled rows give 0 samples; for a window of 720, a horizon of 60 and a stride of 1 "
        rf"minutes at least {for_base:,} in one run without a hole is needed \(dev/test: "
    )
    with pytest.raises(TooFewRowsError, match=said):
        train_base(table, given)
    for_audit = rows_needed(720, 60, 1, given.split, given.audit)
    assert for_base < for_audit
    recipe = Recipe(given.model, given.train, given.audit, given.split, 720)
    nothing, taken = np.empty(0, np.int64), samples(table, 720, 1)
    made_of = FoldMaterial(LearnedFrom(table, None), taken, Split(nothing, nothing), recipe)
    with pytest.raises(TooFewRowsError, match=rf"5 folds at least {for_audit:,} in one run"):
        walk(made_of, tmp_path)


def test_rows_that_are_not_seen_are_told_and_needed_beside_the_others() -> None:
    given = load_settings(FULL)
    need = rows_needed(720, 60, 1, given.split, lost=479)
    assert need is not None
    said = f"500 labelled rows, of which 479 cannot be looked at, give 0 samples; .* {need:,} in"
    with pytest.raises(TooFewRowsError, match=said):
        train_base(labelled(500, given, 479), given)
    train_and_validation(labelled(need, given, 479), 720, 1, given.split)
    with pytest.raises(TooFewRowsError, match=f"least {need:,} in"):
        train_and_validation(labelled(need - 1, given, 479), 720, 1, given.split)


def test_a_table_without_a_label_and_settings_that_no_table_serves_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = load_settings(FULL)
    with pytest.raises(TooFewRowsError, match="0 labelled rows give 0 samples"):
        train_base(labelled(28, given).iloc[:0], given)
    never = given.split.model_copy(update={"test_fraction": 1 - 1e-12})
    monkeypatch.setattr(enough, "MOST", 200_000)  # as a table of 38 years it takes seconds
    assert rows_needed(20, 5, 1, never) is None
