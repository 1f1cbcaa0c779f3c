from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ks_2samp

from quantgod.contracts import FEATURES
from quantgod.evaluation.drift import (
    OUTPUTS,
    QUANTILES,
    REFERENCE_FILE,
    BadReferenceError,
    Reference,
    distribution,
    ks,
    psi,
    read_reference,
    shift,
    z_scores,
)

NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 1e-300])
COLUMNS = st.integers(1, 300).flatmap(lambda n: arrays(np.float64, n, elements=NUMBERS))


def reference(seed: int = 0, rows: int = 5_000) -> Reference:
    rng = np.random.default_rng(seed)
    said = rng.dirichlet([2, 6, 2], rows)
    return Reference(
        {
            name: distribution(rng.normal(place, 1 + place, rows))
            for place, name in enumerate(FEATURES)
        },
        {name: distribution(said[:, place]) for place, name in enumerate(OUTPUTS)},
        "2024-01-31T23:59:00+00:00",
    )


def test_a_reference_comes_back_from_its_file_bit_for_bit(tmp_path: Path) -> None:
    kept = reference()
    kept.save(tmp_path)
    assert (tmp_path / REFERENCE_FILE).stat().st_size < 300_000
    found = read_reference(tmp_path)
    assert found is not None
    assert found.until == kept.until
    for part in ("features", "output"):
        before, after = getattr(kept, part), getattr(found, part)
        assert before.keys() == after.keys()
        for name in before:
            assert after[name].mean == before[name].mean
            assert after[name].std == before[name].std
            assert after[name].count == before[name].count
            np.testing.assert_array_equal(after[name].quantiles, before[name].quantiles)


def test_a_package_without_a_reference_has_none(tmp_path: Path) -> None:
    assert read_reference(tmp_path) is None


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda said: said.update(format=2), "format 1 expected"),
        (lambda said: said["features"].pop("body"), "features: body, .* expected"),
        (lambda said: said["output"].update(prob_hold={}), "output: prob_sell, .* expected"),
        (lambda said: said["features"]["body"].pop("std"), "features: body: mean, std, .*'std'"),
        (lambda said: said["features"]["body"].update(std=0.0), "a deviation above zero"),
        (lambda said: said["features"]["body"].update(std=-0.5), "a deviation above zero expected"),
        (lambda said: said["features"]["body"].update(count=0), "a count .* above zero"),
        (lambda said: said["features"]["body"].update(mean=math.nan), "features: body: 501 rising"),
        (lambda said: said["features"]["body"]["quantiles"].append(1e9), "body: 501 rising"),
        (lambda said: said["features"]["body"]["quantiles"].reverse(), "rising quantiles"),
        (lambda said: said["features"]["body"]["quantiles"].pop(), "501 rising quantiles"),
    ],
)  # fmt: skip
def test_a_damaged_reference_is_refused_by_name(tmp_path: Path, edit, expected: str) -> None:  # type: ignore[no-untyped-def]
    reference().save(tmp_path)
    path = tmp_path / REFERENCE_FILE
    said = json.loads(path.read_text())
    edit(said)
    path.write_text(json.dumps(said))
    with pytest.raises(BadReferenceError, match=expected):
        read_reference(tmp_path)


def test_a_reference_that_is_not_json_is_refused(tmp_path: Path) -> None:
    for text, expected in (("{", "is not JSON"), ("[]", "a reference of format 1 expected")):
        (tmp_path / REFERENCE_FILE).write_text(text)
        with pytest.raises(BadReferenceError, match=expected):
            read_reference(tmp_path)


def test_a_reference_of_a_row_that_never_moved_is_read_back(tmp_path: Path) -> None:
    still = distribution(np.full(1, 6.4))
    kept = Reference(dict.fromkeys(FEATURES, still), dict.fromkeys(OUTPUTS, still), "")
    kept.save(tmp_path)
    found = read_reference(tmp_path)
    assert found is not None and found.features["body"].count == 1


def test_a_distribution_keeps_the_scalers_mean_and_deviation_where_it_is_given_them() -> None:
    values = np.array([1.0, 2.0, 6.0])
    assert distribution(values).mean == 3 and distribution(values).std == pytest.approx(
        np.std(values)
    )
    given = distribution(values, mean=2.5, std=0.25)
    assert (given.mean, given.std, given.count) == (2.5, 0.25, 3)
    assert distribution(values, std=0.25).mean == 3 and distribution(values, mean=2.5).std > 2
    assert (given.quantiles[[0, 250, 500]] == values).all()


def test_z_is_the_documents_formula() -> None:
    kept = reference()
    row = np.asarray([kept.features[name].mean for name in FEATURES])
    row[2] -= 4.5 * kept.features["lower_wick"].std
    np.testing.assert_allclose(z_scores(kept, row), [0, 0, 4.5, 0, 0, 0, 0, 0, 0], atol=1e-12)


def test_psi_is_the_formula_on_shares_that_are_known() -> None:
    tens = np.arange(100.0)
    lower_half = np.repeat(np.arange(0.0, 50.0), 2)
    # Five bins double from a tenth to a fifth, five fall to half a row of a hundred.
    expected = 5 * 0.1 * math.log(2) + 5 * (0.005 - 0.1) * math.log(0.05)
    assert psi(tens, lower_half) == pytest.approx(expected)


@given(n=st.integers(10, 60), drawn=st.lists(st.integers(-1, 60), min_size=1, max_size=40))
def test_deciles_end_where_a_tenth_of_the_rows_is_reached_whatever_their_number(
    n: int, drawn: list[int]
) -> None:
    rows, sample = np.arange(float(n)), np.asarray(drawn, float)
    reached = [next(x for x in range(n) if 10 * (x + 1) >= tenth * n) for tenth in range(1, 10)]
    ends = [-math.inf, *reached, math.inf]
    total = 0.0
    for low, high in itertools.pairwise(ends):
        before, now = (int(((low < side) & (side <= high)).sum()) for side in (rows, sample))
        expected, actual = max(before, 0.5) / n, max(now, 0.5) / len(drawn)
        total += (actual - expected) * math.log(actual / expected)
    assert psi(rows, sample) == pytest.approx(total)


@given(*[st.lists(st.integers(0, 9), min_size=2, max_size=30)] * 2)
def test_the_distance_is_that_of_scipy(one: list[int], other: list[int]) -> None:
    sides = [np.asarray(side, float) for side in (one, other)]
    assert ks(*sides) == pytest.approx(ks_2samp(*sides, method="asymp").statistic, abs=1e-12)


def test_the_quantile_grid_stands_in_for_its_rows() -> None:
    rng = np.random.default_rng(4)
    rows, sample = rng.gamma(2, size=40_000), rng.gamma(2.5, size=2_000)
    grid = distribution(rows).quantiles
    assert np.isin(grid, rows).all()
    assert ks(grid, sample) == pytest.approx(ks(rows, sample), abs=2 / QUANTILES)
    assert psi(grid, sample) == pytest.approx(psi(rows, sample), rel=0.05)


def test_a_constant_feature_is_stable_until_it_moves_in_either_direction() -> None:
    still = np.full(1_000, 6.4)
    kept = distribution(still)
    assert (kept.mean, kept.std) == (6.4, 1.0)
    assert shift(kept.quantiles, np.full(50, 6.4)) == (0, 0)
    # Half a row of 501 where the reference had none, half a row of 50 where the sample has none.
    none_before, none_now = 0.5 / QUANTILES, 0.5 / 50
    expected = (1 - none_before) * math.log(1 / none_before) + (none_now - 1) * math.log(none_now)
    for moved in (np.nextafter(6.4, 0), np.nextafter(6.4, 9)):
        assert shift(kept.quantiles, np.full(50, moved)) == (pytest.approx(expected), 1.0)


def test_a_value_that_is_common_is_a_bin_of_its_own() -> None:
    rng = np.random.default_rng(2)
    wicks = np.where(rng.random(5_000) < 0.4, 0.0, rng.exponential(1e-4, 5_000))
    # The same wicks, of which none is zero any longer: only the atom tells them apart.
    moved = np.maximum(wicks, 1e-12)
    assert psi(wicks, rng.permutation(wicks)[:2_000]) < 0.05
    assert psi(wicks, moved) > 1
    below, zeros, above = np.arange(-15.0, 0.0), np.zeros(15), np.arange(1.0, 71.0)
    two_deciles = np.concatenate([below, zeros, above])
    assert psi(two_deciles, np.concatenate([below, zeros - 0.5, above])) > 0.5


@given(COLUMNS, COLUMNS)
def test_statistics_are_finite_and_within_their_bounds(left: np.ndarray, right: np.ndarray) -> None:
    found = shift(left, right)
    assert math.isfinite(found.psi)
    assert found.psi >= 0
    assert 0 <= found.ks <= 1
    below = [(left <= value).mean() - (right <= value).mean() for value in (*left, *right)]
    assert found.ks == pytest.approx(np.abs(below).max())
    assert shift(left, left) == (0, 0)


@given(COLUMNS)
def test_order_does_not_matter(values: np.ndarray) -> None:
    shuffled = np.random.default_rng(1).permutation(values)
    assert shift(values, shuffled) == (0, 0)


@pytest.mark.parametrize("values", [np.empty(0), np.asarray([1.0, np.nan]), np.ones((2, 2))])
def test_what_is_no_column_of_numbers_is_refused(values: np.ndarray) -> None:
    for measure in (psi, ks):
        with pytest.raises(ValueError, match="sample: one column of finite numbers expected"):
            measure(np.arange(9.0), values)
    with pytest.raises(ValueError, match="values: one column of finite numbers"):
        distribution(values)
