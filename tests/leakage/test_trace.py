from __future__ import annotations

import numpy as np
import pytest

from quantgod.leakage.trace import (
    Difference,
    StageValues,
    compare,
    fitted_piece,
    rows_of,
)

KNOWN = np.array([10, 20, 30, 40])


def evidence(*values: float) -> StageValues:
    return rows_of(KNOWN[: len(values)], np.array(values))


def test_equal_traces_do_not_differ() -> None:
    found = compare(evidence(1.0, 2.0, 3.0, 4.0), evidence(1.0, 2.0, 3.0, 4.0), 25)
    assert found == Difference(compared=2, leaked=0, first=None, changed=0, newest=20)


def test_a_value_known_at_the_cut_itself_must_stand() -> None:
    found = compare(evidence(1.0, 2.0, 3.0, 4.0), evidence(1.0, 9.0, 9.0, 4.0), 20)
    assert found == Difference(compared=2, leaked=1, first=20, changed=1, newest=20)
    found = compare(evidence(1.0, 2.0, 3.0, 4.0), evidence(1.0, 9.0, 9.0, 4.0), 19)
    assert found == Difference(compared=1, leaked=0, first=None, changed=2, newest=10)


@pytest.mark.parametrize("other", [np.nextafter(1.0, 2.0), -0.0])
def test_the_last_bit_counts(other: float) -> None:
    one = 1.0 if other > 0 else 0.0
    assert compare(evidence(one), evidence(other), 10).leaked == 1


def test_no_number_is_equal_to_itself() -> None:
    assert compare(evidence(np.nan), evidence(np.nan), 10).leaked == 0


def test_a_row_that_is_there_in_one_of_them_alone_differs() -> None:
    found = compare(evidence(1.0, 2.0, 3.0), evidence(1.0, 2.0), 25)
    assert (found.leaked, found.changed) == (0, 1)
    found = compare(evidence(1.0, 2.0, 3.0), evidence(1.0), 25)
    assert (found.compared, found.leaked, found.first) == (2, 2, 10)


@pytest.mark.parametrize(("cut", "newest"), [(9, None), (10, 10), (39, 30), (40, 30), (99, 30)])
def test_the_last_row_tells_of_no_row_after_it(cut: int, newest: int | None) -> None:
    """The code that made it had no later row at hand, so that it cannot have looked at one."""
    assert compare(evidence(1.0, 2.0, 3.0, 4.0), evidence(1.0, 2.0, 3.0, 4.0), cut).newest == newest


def test_rows_of_another_width_all_differ() -> None:
    wider = rows_of(KNOWN, np.ones((4, 2)))
    found = compare(evidence(1.0, 1.0, 1.0, 1.0), wider, 20)
    assert found == Difference(compared=2, leaked=2, first=10, changed=2, newest=20)


def test_columns_of_any_type_count() -> None:
    def of(number: float, whole: int, text: str) -> StageValues:
        return rows_of(KNOWN[:1], np.array([[number, 1.0]]), np.array([whole]), np.array([text]))

    same = of(1.0, 2, "x")
    assert compare(same, of(1.0, 2, "x"), 10).leaked == 0
    for other in (of(1.5, 2, "x"), of(1.0, 3, "x"), of(1.0, 2, "y")):
        assert compare(same, other, 10).leaked == 1


def test_nothing_is_nothing() -> None:
    nothing = rows_of(KNOWN[:0], np.empty((0, 3)), np.empty(0))
    assert compare(nothing, nothing, 10) == Difference(0, 0, None, 0, None)
    assert rows_of(KNOWN, np.ones((4, 2)), np.ones(4, np.int32)).values.shape == (4, 20)


def test_a_fitted_piece_is_known_by_each_of_its_parts() -> None:
    piece = fitted_piece(20, b"ab", b"c")
    assert len(piece) == 1
    assert compare(piece, fitted_piece(20, b"ab", b"c"), 20).leaked == 0
    assert [compare(piece, piece, cut).newest for cut in (19, 20, 99)] == [None, 20, 20]
    for parts in ((b"ab", b"d"), (b"a", b"bc"), (b"ab", b"c", b"")):
        assert compare(piece, fitted_piece(20, *parts), 20).leaked == 1
        assert compare(piece, fitted_piece(20, *parts), 19).leaked == 0
