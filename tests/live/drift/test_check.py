"""Verdicts and figures of a check, and the past that it is made of, in exact numbers."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.contracts import FEATURES
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.evaluation.drift import OUTPUTS, Reference, distribution, shift
from quantgod.live.drift.check import COLUMNS, DriftCheck, DriftRow, in_words, metrics, verdict
from quantgod.live.drift.monitor import DriftMonitor
from tests.live.drift.test_monitor import BTC, FIRST, SETTINGS, WINDOW, give, reference


def test_an_outlier_is_farther_than_the_limit() -> None:
    """In exact numbers: a mean of 0 and a deviation of 1."""
    one = distribution(np.linspace(-1, 1, 101), mean=0.0, std=1.0)
    watching = DriftMonitor(SETTINGS)
    watching.adopt(BTC, Reference(dict.fromkeys(FEATURES, one), dict.fromkeys(OUTPUTS, one), ""))
    at, above = np.full(9, SETTINGS.z_limit), np.full(9, np.nextafter(SETTINGS.z_limit, 99))
    assert watching.on_row(BTC, FIRST, at, None).outliers == []
    found = watching.on_row(BTC, FIRST + 1, -above, None)
    assert [row.name for row in found.outliers] == [*FEATURES]
    assert {(row.z, row.value) for row in found.outliers} == {(above[0], -above[0])}
    assert [warning.kept_back for warning in found.warnings] == [0] * 9


def test_a_past_as_long_as_the_window_is_enough() -> None:
    watching = DriftMonitor(SETTINGS.model_copy(update={"past_minutes": WINDOW}))
    rows = np.arange(2.0 * WINDOW)[:, None] * np.ones(12)
    check = give(watching, rows).check
    assert check is not None
    assert sorted(check.window[:, 0]) == rows[WINDOW:, 0].tolist()
    assert sorted(check.past[:, 0]) == rows[:WINDOW, 0].tolist()


def test_the_first_minutes_that_do_not_rise_are_named() -> None:
    watching = DriftMonitor(SETTINGS)

    def remember(*minutes: int) -> None:
        watching.remember(BTC, MinuteRows(np.asarray(minutes), np.zeros((len(minutes), 9))))

    for minutes, before, after in (((5, 3, 8, 2), 5, 3), ((4, 4), 4, 4), ((1, 2, 2, 1), 2, 2)):
        with pytest.raises(ValueError, match=rf"a minute after {before} expected, got {after}$"):
            remember(*minutes)
    remember(5, 6, 9)
    for minute in (9, 6, 0):
        with pytest.raises(ValueError, match=rf"a minute after 9 expected, got {minute}$"):
            remember(minute, 10)
    remember(10)
    with pytest.raises(ValueError, match=r"rows \(n, 12\) expected, got \(1, 11\)"):
        watching.remember(BTC, MinuteRows(np.asarray([11]), np.zeros((1, 8))))


SMALL = SETTINGS.model_copy(update={"window_minutes": 60, "past_minutes": 120})


@pytest.mark.parametrize("seed", range(4))
def test_a_row_of_a_check_is_made_of_its_formulas(seed: int) -> None:
    """Whatever the columns look like: skewed, wide, shifted; some without a value."""
    rng = np.random.default_rng(seed)
    trained = rng.exponential(1.0 + rng.random(12), size=(800, 12)) + 10.0 * rng.normal(size=12)
    shifts = rng.choice([0.0, 0.4, 5.0, -5.0], size=12)
    scale = rng.choice([1.0, -1.0, 3.0], size=12)
    rows = np.median(trained, axis=0) + scale * (trained[:180] - np.median(trained, axis=0))
    rows[120:] += shifts * trained.std(axis=0)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    kept = reference(trained)
    made = DriftCheck(BTC, 7, rows[120:], rows[:120], kept, SMALL)
    for place, row in enumerate(made.judge()):
        name = COLUMNS[place]
        own = {**kept.features, **kept.output}[name]
        window, past = (
            part[:, place][~np.isnan(part[:, place])] for part in (rows[120:], rows[:120])
        )
        to_reference, to_past = shift(own.quantiles, window), shift(past, window)
        around = np.median(own.quantiles) + window - np.median(window)
        expected = verdict(to_reference, to_past, SMALL)
        same = verdict(shift(own.quantiles, around), None, SMALL) == "stable"
        if name in FEATURES and expected == "offset" and same:
            expected = "level"
        distance = abs(window.mean() - own.mean) / own.std
        assert row == DriftRow(
            7, BTC, name, expected, window.mean(), pytest.approx(distance, rel=1e-12),
            *to_reference, *to_past, own.mean,
        )  # fmt: skip


def test_a_skewed_feature_that_only_moved_is_at_another_level_and_a_mirrored_one_is_not() -> None:
    rng = np.random.default_rng(5)
    trained = np.where(rng.random((2_000, 12)) < 0.55, 0.0, 10.0) + rng.random((2_000, 12))
    median = np.median(trained)
    strict = SMALL.model_copy(update={"psi_limit": 0.25, "ks_limit": 0.25})
    for moved, expected in ((trained + 20.0, "level"), (2 * median - trained + 20.0, "unknown")):
        check = DriftCheck(BTC, 7, moved[:60], moved[:0], reference(trained), strict)
        assert {row.verdict for row in check.judge()[:9]} == {expected}
        assert {row.verdict for row in check.judge()[9:]} == {"unknown"}


@pytest.mark.parametrize("count", [29, 30])
def test_a_window_of_half_its_length_is_judged_and_a_past_of_a_whole_one_counts(count: int) -> None:
    rows = np.random.default_rng(1).normal(size=(200, 12))
    check = DriftCheck(BTC, 7, rows[:count], rows[100:160], None, SMALL)
    found = check.judge()[0]
    assert (found.verdict == "unknown") == (count == 29)
    assert (found.psi_past is None) == (count == 29)
    short = DriftCheck(BTC, 7, rows[:30], rows[100:159], None, SMALL).judge()[0]
    assert (short.verdict, short.psi_past) == ("unknown", None)


def test_words_name_all_only_where_nothing_else_was_found() -> None:
    rows = [DriftRow(1, BTC, name, "drift") for name in ("body", "upper_wick")]
    assert in_words(rows) == "drift: all"
    rows.append(DriftRow(1, BTC, "volatility", "stable"))
    assert in_words(rows) == "drift: body, upper_wick"
    assert metrics(rows) == {"BTCUSDT/drift/features": 2.0}
    assert in_words([]) == "stable"
