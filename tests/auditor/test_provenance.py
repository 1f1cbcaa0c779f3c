import pandas as pd
import pytest

from quantgod.auditor.provenance import (
    ProvenanceError,
    assert_provenance,
    assert_unseen,
    assert_untrained,
)
from tests.auditor.markets import oof_frame

MINUTE = pd.Timedelta(minutes=1)


def test_honest_folds_pass():
    assert_provenance(oof_frame())


def planted(column: str, row: int, value: object) -> pd.DataFrame:
    frame = oof_frame()
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize("ahead", [0, 1, 10_000])
def test_a_model_that_saw_the_row_it_forecasts_is_caught(ahead):
    frame = oof_frame()
    first = frame.index[frame.fold == 2]
    frame.loc[first, "trained_until"] = frame.time[first[0]] + ahead * MINUTE
    with pytest.raises(ProvenanceError, match=r"^\d+ of 900 rows were forecast by a model"):
        assert_provenance(frame)


def test_the_report_names_the_row():
    frame = planted("trained_until", 450, oof_frame().time[450])
    with pytest.raises(ProvenanceError, match=r"^1 of 900 .*first: time 2024-01-04 03:00.*fold 2"):
        assert_provenance(frame)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (planted("trained_until", 5, pd.NaT), "no full provenance"),
        (planted("weight", 5, float("nan")), "no full provenance"),
        (planted("label_end", 5, oof_frame().time[5]), "ends before it begins"),
        (planted("time", 5, oof_frame().time[4]), "do not come after"),
        (planted("fold", 5, 3), "older fold"),
        (planted("fold", 5, 2), "older fold"),
        (planted("trained_until", 5, oof_frame().trained_until[5] - MINUTE), "more than one model"),
        (oof_frame().drop(columns="trained_until"), "lack trained_until"),
        (oof_frame().iloc[:0], "no out-of-fold rows"),
    ],
)
def test_rows_whose_past_is_not_shown_are_refused(frame, reason):
    with pytest.raises(ProvenanceError, match=reason):
        assert_provenance(frame)


def test_rows_that_reach_into_the_test_part_are_caught():
    frame = oof_frame()
    last = frame.label_end.max()
    assert_unseen(frame, last + MINUTE)
    with pytest.raises(ProvenanceError, match="1 of 900 rows have a label that reaches"):
        assert_unseen(frame, last)


def test_a_network_that_has_seen_the_test_part_is_caught():
    first = pd.Timestamp("2024-01-07T10:00Z")
    assert_untrained("2024-01-07T09:59:00+00:00", first)
    with pytest.raises(ProvenanceError, match=r"up to 2024-01-07T10:00.* begins at 2024-01-07T10"):
        assert_untrained("2024-01-07T10:00:00+00:00", first)
