from __future__ import annotations

import re
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from quantgod.contracts import FEATURES
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.evaluation.drift import OUTPUTS, Reference, Shift, distribution
from quantgod.live.drift.check import COLUMNS, DriftRow, in_words, metrics, verdict
from quantgod.live.drift.monitor import DriftFindings, DriftMonitor
from quantgod.live.journal.tables import DRIFT
from quantgod.settings import load_settings

SETTINGS = load_settings(Path("conf/full.yaml")).live.drift
PAST, WINDOW = SETTINGS.past_minutes, SETTINGS.window_minutes
HOUR = 466_667 * 60  # an epoch minute that begins an hour
FIRST = HOUR + 20
TRAINED = 10_000
BTC, ETH = "BTCUSDT", "ETHUSDT"


def market(seed: int, minutes: int, half_life: float = 90.0) -> np.ndarray:
    """Features and probabilities (minutes, 12), mean 0 and deviation 1, that change slowly.

    Of real minutes' volume and range 0.3 of the variance is still the same after two hours.
    """
    rng = np.random.default_rng(seed)
    keep = 0.5 ** (1 / half_life)
    shocks = rng.normal(size=(minutes, len(COLUMNS)))
    shocks[1:] *= np.sqrt(1 - keep**2)
    slow = lfilter([1], [1, -keep], shocks, axis=0)
    return 0.8 * slow + 0.6 * rng.normal(size=slow.shape)


def reference(rows: np.ndarray) -> Reference:
    kept = {name: distribution(rows[:, place]) for place, name in enumerate(COLUMNS)}
    return Reference(
        {name: kept[name] for name in FEATURES}, {name: kept[name] for name in OUTPUTS}, "2023"
    )


def monitor(rows: np.ndarray, **changed: float) -> DriftMonitor:
    watching = DriftMonitor(SETTINGS.model_copy(update=changed))
    kept = reference(rows)
    for symbol in (BTC, ETH):
        watching.adopt(symbol, kept)
    return watching


def give(watching: DriftMonitor, rows: np.ndarray, first: int = FIRST) -> DriftFindings:
    """MinuteRows of `COLUMNS`, the last one as it comes live, at a minute when a check is due."""
    minutes = first + np.arange(len(rows))
    minutes += -int(minutes[-1]) % SETTINGS.every_minutes
    features, output = rows[:, : len(FEATURES)], rows[:, len(FEATURES) :]
    watching.remember(BTC, MinuteRows(minutes[:-1], features[:-1]), output[:-1])
    return watching.on_row(BTC, int(minutes[-1]), features[-1], output[-1].tolist())


def judged(watching: DriftMonitor, rows: np.ndarray) -> dict[str, DriftRow]:
    check = give(watching, rows).check
    assert check is not None
    return {row.name: row for row in check.judge()}


def verdicts(found: dict[str, DriftRow]) -> dict[str, list[str]]:
    by: dict[str, list[str]] = {}
    for name, row in found.items():
        by.setdefault(row.verdict, []).append(name)
    return by


def test_a_feature_five_deviations_off_is_named() -> None:
    watching = monitor(market(0, 5_000))
    kept = reference(market(0, 5_000)).features["max_spread"]
    calm, off = np.zeros(9), np.zeros(9)
    off[5] = kept.mean + 5 * kept.std
    assert watching.on_row(BTC, FIRST, calm, None) == ([], [], None)
    said = watching.on_row(BTC, FIRST + 1, off, None)
    [warning] = said.warnings
    assert warning.text == (
        f"BTCUSDT: max_spread is {off[5]:.6g}, 5.0 standard deviations from its mean (limit 4)"
    )
    assert said.outliers == [warning.outlier]
    assert said.outliers[0]._replace(z=5.0) == DriftRow(
        FIRST + 1, BTC, "max_spread", "outlier", off[5], 5.0
    )


def test_one_feature_is_warned_of_once_in_ten_minutes_and_no_outlier_is_passed_over() -> None:
    watching = monitor(market(0, 5_000))
    rows = np.zeros((31, 9))
    rows[:10, 4] = 6.0
    rows[3, 4] = 9.0
    rows[5, 0] = -7.0
    told = {}
    journaled = 0
    for minute, row in enumerate(rows):
        said = watching.on_row(BTC, FIRST + minute, row, None)
        journaled += len(said.outliers)
        for warning in said.warnings:
            told[minute, warning.outlier.name] = (warning.outlier.value, warning.kept_back)
    assert journaled == 11
    # The second one of volatility tells of the nine that were held back, by the farthest of them.
    assert told == {(0, "volatility"): (6, 0), (5, "body"): (-7, 0), (10, "volatility"): (9, 8)}


def test_symbols_are_warned_of_apart() -> None:
    watching = monitor(market(0, 5_000))
    for symbol in (BTC, ETH):
        [warning] = watching.on_row(symbol, FIRST, np.eye(9)[3] * 8, None).warnings
        assert warning.text.startswith(f"{symbol}: log_ret_close is 8")


@pytest.mark.long
def test_without_a_shift_everything_is_stable_in_95_of_100_markets() -> None:
    calm = 0
    for seed in range(100):
        rows = market(seed, TRAINED + PAST + WINDOW)
        found = judged(monitor(rows[:TRAINED]), rows[TRAINED:])
        calm += verdicts(found) == {"stable": [*COLUMNS]}
    assert calm >= 95


def test_a_venue_of_another_level_than_the_reference_has_not_drifted() -> None:
    rows = market(1, TRAINED + PAST + WINDOW)
    rows[:, 5] *= 2.0
    rows[TRAINED:, 5] += 6.0
    rows[TRAINED:, 6] -= 3.0
    found = judged(monitor(rows[:TRAINED]), rows[TRAINED:])
    away = ["max_spread", "mean_obi"]
    stable = [name for name in COLUMNS if name not in away]
    assert verdicts(found) == {"stable": stable, "level": away}
    row = found["max_spread"]
    for name in away:
        assert found[name].z == pytest.approx(3, abs=0.5), "on whichever side"
    assert None not in row
    assert (row.ks_reference or 0) > 0.8
    assert (row.ks_past or 1) < SETTINGS.ks_limit


@pytest.mark.parametrize("spread", [1.0, 0.0], ids=["moving", "constant"])
@pytest.mark.parametrize("past", [PAST, 0], ids=["with a past", "without one"])
def test_a_venue_with_fewer_messages_is_told_by_both_levels(spread: float, past: int) -> None:
    rows = market(9, TRAINED + past + WINDOW)
    rows[:, 8] = 6.4 + 0.1 * spread * rows[:, 8]
    rows[TRAINED:, 8] -= 1.3
    check = give(monitor(rows[:TRAINED]), rows[TRAINED:]).check
    assert check is not None
    found = check.judge()
    assert verdicts({row.name: row for row in found})["level"] == ["log_volume"]
    told = r"level differs: log_volume trained 6\.4\d?, here 5\.1\d?"
    assert re.fullmatch(told, in_words(found))
    rows[-WINDOW:, 8] *= 1.5
    wider = judged(monitor(rows[:TRAINED]), rows[TRAINED:])["log_volume"].verdict
    assert wider == ("drift" if past else "level")


def test_a_venue_of_another_spread_than_the_reference_is_offset() -> None:
    rows = market(1, TRAINED + PAST + WINDOW)
    rows[TRAINED:, 5] = 6.0 + 500.0 * rows[TRAINED:, 5]
    found = judged(monitor(rows[:TRAINED]), rows[TRAINED:])
    assert found["max_spread"].verdict == "offset"
    assert in_words(found.values()) == "offset: max_spread"


def test_a_feature_that_creeps_away_has_drifted() -> None:
    rows = market(2, TRAINED + PAST + WINDOW)
    rows[TRAINED:, 8] += np.linspace(0, 4, PAST + WINDOW)
    found = judged(monitor(rows[:TRAINED]), rows[TRAINED:])
    assert verdicts(found)["drift"] == ["log_volume"]


def test_a_venue_that_comes_back_to_the_reference_has_drifted_from_its_past() -> None:
    rows = market(3, TRAINED + PAST + WINDOW)
    rows[TRAINED:-WINDOW, 6] += 3.0
    found = judged(monitor(rows[:TRAINED]), rows[TRAINED:])
    assert found["mean_obi"].verdict == "drift"
    assert (found["mean_obi"].ks_reference or 1) < SETTINGS.ks_limit


def test_probabilities_that_change_places_are_seen() -> None:
    rows = market(4, TRAINED + PAST + WINDOW)
    # SELL and BUY at a fifth, NEUTRAL at three fifths; then NEUTRAL and BUY are swapped.
    rows[:, 9:] = np.asarray([0.2, 0.6, 0.2]) + 0.05 * rows[:, 9:]
    rows[-WINDOW:, 9:] = rows[-WINDOW:, [9, 11, 10]]
    found = judged(monitor(rows[:TRAINED]), rows[TRAINED:])
    assert verdicts(found)["drift"] == ["prob_neutral", "prob_buy"]
    always = market(4, TRAINED + PAST + WINDOW)
    always[:, 9:] = np.asarray([0.2, 0.6, 0.2]) + 0.05 * always[:, 9:]
    always[TRAINED:, 9:] = always[TRAINED:, [9, 11, 10]]
    found = judged(monitor(always[:TRAINED]), always[TRAINED:])
    assert verdicts(found)["offset"] == ["prob_neutral", "prob_buy"]


def test_too_few_rows_are_said_to_be_too_few() -> None:
    rows = market(5, TRAINED + PAST)
    rows[TRAINED:, 5] += 3.0
    short = judged(monitor(rows[:TRAINED]), rows[TRAINED : TRAINED + WINDOW // 2 - 1])
    assert verdicts(short) == {"unknown": [*COLUMNS]}
    assert short["body"][4:] == (None,) * 7
    half = judged(monitor(rows[:TRAINED]), rows[TRAINED : TRAINED + WINDOW // 2])
    assert verdicts(half)["level"] == ["max_spread"], "half a window is judged"
    # A window but no past: what equals the reference is stable, and a level shows without one.
    no_past = judged(monitor(rows[:TRAINED]), rows[TRAINED : TRAINED + 2 * WINDOW - 1])
    assert verdicts(no_past)["level"] == ["max_spread"]
    assert no_past["max_spread"].psi_past is None
    enough = judged(monitor(rows[:TRAINED]), rows[TRAINED : TRAINED + 2 * WINDOW])
    assert verdicts(enough)["level"] == ["max_spread"]
    assert enough["max_spread"].psi_past is not None, "a past as long as the window is one"


def test_only_exchange_minutes_make_a_check_due() -> None:
    watching = monitor(market(0, 5_000))
    minutes = [*range(HOUR + 20, HOUR + 130), HOUR + 700, HOUR + 701]
    said = {minute: watching.on_row(BTC, minute, np.zeros(9), None) for minute in minutes}
    due = [minute - HOUR for minute in minutes if said[minute].check is not None]
    assert due == [60, 120, 700]


def test_old_rows_leave_the_window_however_few_have_come_since() -> None:
    rows = market(6, TRAINED + 2 * WINDOW)
    watching = monitor(rows[:TRAINED])
    last = rows[TRAINED:]
    watching.remember(BTC, MinuteRows(FIRST + np.arange(2 * WINDOW), last[:, :9]), last[:, 9:])
    later = FIRST + 2 * WINDOW + WINDOW - 100
    check = watching.on_row(BTC, later, last[0, :9], None).check
    assert check is not None
    assert (len(check.window), len(check.past)) == (100, 2 * WINDOW - 99)
    much_later = later + PAST + 2 * WINDOW
    check = watching.on_row(BTC, much_later, last[0, :9], None).check
    assert check is not None
    assert (len(check.window), len(check.past)) == (1, 0)


def test_a_minute_comes_once() -> None:
    watching = monitor(market(0, 5_000))
    watching.on_row(BTC, FIRST, np.zeros(9), None)
    with pytest.raises(ValueError, match=f"a minute after {FIRST} expected, got {FIRST}"):
        watching.on_row(BTC, FIRST, np.zeros(9), None)
    with pytest.raises(ValueError, match=f"a minute after {FIRST} expected, got {FIRST - 5}"):
        watching.remember(BTC, MinuteRows(np.asarray([FIRST - 5]), np.zeros((1, 9))))


def test_a_recording_that_is_played_again_does_not_see_its_own_future() -> None:
    rows = market(11, 3 * WINDOW)
    watching = monitor(rows[:WINDOW])
    watching.remember(BTC, MinuteRows(HOUR + np.arange(len(rows)), rows[:, :9]), rows[:, 9:])
    for minute in range(2 * WINDOW, 2 * WINDOW + 61):
        check = watching.on_row(BTC, HOUR + minute, rows[minute, :9], None).check
    assert check is not None
    # The hour that was played again was said nothing of; before it all was remembered.
    assert (len(check.window), len(check.past)) == (WINDOW, WINDOW + 61)
    np.testing.assert_array_equal(
        np.sort(check.window[:, 0]), np.sort(rows[minute - WINDOW + 1 : minute + 1, 0])
    )
    assert np.isnan(check.window[:, 9]).sum() == 61
    with pytest.raises(ValueError, match="a minute after"):
        watching.on_row(BTC, HOUR + minute, np.zeros(9), None)


def test_another_version_brings_its_reference_and_its_own_words() -> None:
    rows = market(7, TRAINED + PAST + WINDOW)
    watching = monitor(rows[:TRAINED])
    give(watching, rows[TRAINED:])
    changed = rows[:TRAINED].copy()
    changed[:, 5] += 3.0
    watching.adopt(BTC, reference(changed))
    newest = FIRST + PAST + WINDOW + 120
    check = watching.on_row(BTC, newest, rows[-1, :9], [0.2, 0.6, 0.2]).check
    assert check is not None
    found = {row.name: row for row in check.judge()}
    # The spread is what it was, and is now another venue's to the new version.
    assert found["max_spread"].verdict == "level"
    assert found["body"].verdict == "stable"
    assert [found[name].verdict for name in OUTPUTS] == ["unknown"] * 3


def test_without_a_reference_the_venues_own_past_still_counts() -> None:
    rows = market(8, PAST + WINDOW)
    rows[-WINDOW:, 0] += 3.0
    found = judged(DriftMonitor(SETTINGS), rows)
    assert found["body"].verdict == "drift"
    assert found["body"].psi_reference is found["body"].z is None
    assert found["upper_wick"].verdict == "stable"


def test_a_verdict_needs_both_statistics() -> None:
    far, near = Shift(9.0, 0.9), Shift(0.0, 0.0)
    for half in (Shift(9.0, 0.1), Shift(0.1, 0.9)):
        assert verdict(half, half, SETTINGS) == "stable"
    psi, ks = SETTINGS.psi_limit, SETTINGS.ks_limit
    above = Shift(np.nextafter(psi, 9), np.nextafter(ks, 9))
    for half in (above._replace(psi=psi), above._replace(ks=ks)):
        assert verdict(half, half, SETTINGS) == "stable", "a limit itself is kept to"
    assert verdict(above, near, SETTINGS) == "offset"
    assert verdict(above, above, SETTINGS) == "drift"
    assert verdict(far, near, SETTINGS) == "offset"
    assert verdict(far, far, SETTINGS) == verdict(near, far, SETTINGS) == "drift"
    assert verdict(None, far, SETTINGS) == "drift"
    assert verdict(None, near, SETTINGS) == verdict(near, None, SETTINGS) == "stable"
    assert verdict(far, None, SETTINGS) == verdict(None, None, SETTINGS) == "unknown"


def test_rows_fit_the_journal_and_metrics_are_finite() -> None:
    rows = market(9, TRAINED + PAST + WINDOW)
    rows[TRAINED:, 5] += 3.0
    rows[-WINDOW:, 0] += 3.0
    rows[:, 3] = 6.4
    found = judged(monitor(rows[:TRAINED]), rows[TRAINED:])
    for row in (*found.values(), DriftRow(1, BTC, "body", "outlier", 2.0, 5.0)):
        assert row._asdict().keys() == set(DRIFT.names)
    said = metrics(found.values())
    assert len(said) == 1 + 6 * len(COLUMNS)
    assert np.isfinite([*said.values()]).all()
    assert said["BTCUSDT/drift/features"] == 1
    assert said["BTCUSDT/drift/log_ret_close/ks_past"] == 0
    level = "level differs: max_spread trained 0.0293, here 3.08"
    assert in_words(found.values()) == f"drift: body; {level}"
    assert in_words([found["mean_obi"]]) == "stable"
    unknown = [DriftRow(1, BTC, name, "unknown") for name in COLUMNS]
    assert in_words(unknown) == "unknown: all"


def test_a_past_shorter_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match=rf"at least window_minutes \({WINDOW}\) expected, got 60"):
        monitor(market(0, 100), past_minutes=60)


def test_a_candle_costs_little_and_memory_does_not_grow() -> None:
    rows = market(10, TRAINED + PAST + WINDOW)
    watching = monitor(rows[:TRAINED])
    give(watching, rows[TRAINED:])
    first = FIRST + PAST + WINDOW + 60
    taken = np.zeros(2_000)
    tracemalloc.start()
    for minute in range(len(taken)):
        begun = time.perf_counter()
        said = watching.on_row(BTC, first + minute, rows[minute, :9], (0.2, 0.6, 0.2))
        taken[minute] = time.perf_counter() - begun
        del said
        if minute == 200:
            before = tracemalloc.get_traced_memory()[0]
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 50_000
    assert np.median(taken) < 0.005


@pytest.mark.parametrize("shift", [0.0, 6.0])
def test_each_member_is_held_against_its_own_past_and_named(shift: float) -> None:
    rows = market(3, PAST + WINDOW)
    watching = monitor(rows)
    names = ["near/sell", "near/neutral", "near/buy", "far/sell", "far/neutral", "far/buy"]
    watching.adopt(BTC, reference(rows), ["near", "far"])
    said = market(4, PAST + WINDOW)
    said[PAST:, 4] += shift
    first = HOUR + 60 - PAST - WINDOW + 1
    for place, features in enumerate(rows[:, : len(FEATURES)]):
        votes = dict(zip(names, said[place].tolist(), strict=False)) if place % 9 else None
        found = watching.on_row(BTC, first + place, features, None, votes)
    assert found.check is not None
    judged = {row.name: row for row in found.check.judge()}
    assert [*judged] == [*COLUMNS, *names]
    assert [name for name in names if judged[name].verdict == "drift"] == ["far/neutral"] * (
        shift > 0
    )
    assert judged["near/sell"].psi_reference is None
    watching.adopt(BTC, None)
    watching.remember(BTC, MinuteRows(np.array([first + len(rows)]), rows[:1, : len(FEATURES)]))
    again = give(watching, rows[:2], first + len(rows) + 60).check
    assert again is not None and again.columns == COLUMNS
