"""The ledger of forecasts: issued once, scored once, by what candles say; late is told as late."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import Candles
from quantgod.live.forecasts import ledger as ledgers
from quantgod.live.forecasts.catching_up import catch_up
from quantgod.live.forecasts.ledger import (
    INSIDE,
    KEY,
    RETURNS,
    WALK,
    ForecastLedgerError,
    read_ledger,
    write_ledger,
)
from quantgod.live.forecasts.predicting import Asked, Predicted, predict
from quantgod.live.forecasts.records import Whose
from quantgod.live.forecasts.shown import tables_of
from quantgod.live.forecasts.watch import band, watch
from quantgod.registry.daily.posting import rows_to_post
from quantgod.settings.forecasting import WatchSettings
from tests.live.forecasts.small import COINS, DAY_MS, HORIZONS, REGISTERED, coins_until, small_chain

HOUR = dt.timedelta(hours=1)


def close_of(candles: int) -> dt.datetime:
    """When the last of so many candles closed."""
    ms = int(coins_until(candles)[0].time_ms[-1]) + DAY_MS
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)


def asked(path: Path, coins=COINS, version: int = 1, files: str = "a", **how: object) -> Asked:
    return Asked(
        Whose("daily", version, files, "spot 1d trades"), coins, path, WatchSettings(**how)
    )


def day(path: Path, candles: int, given: list[Candles] | None = None, **more) -> Predicted:
    """A call an hour after the last of so many candles has closed."""
    coins = coins_until(candles) if given is None else given
    return predict(small_chain(), coins, asked(path, **more), lambda: close_of(candles) + HOUR)


def is_shown_in_80_columns(done: Predicted) -> None:
    tables = {one.title: one for one in tables_of(done, DAY_MS)}
    for one in tables.values():
        longest = [
            max(map(len, " ".join(column).split()))
            for column in zip(one.head, *one.body, strict=True)
        ]
        assert sum(longest) + 3 * len(longest) + 1 <= 80, one.head
    scored = tables["Matured since the last time"].body
    held = done.scored[[*INSIDE.values()]].sum(axis=1).tolist()
    told = ["none", "95 %", "80 %", "50 %"]
    assert [row[4] for row in scored] == [told[int(count)] for count in held]


def test_each_day_issues_once_scores_once_and_a_second_call_changes_no_byte(tmp_path) -> None:
    path, first = tmp_path / "deep" / "ledger.parquet", REGISTERED
    done = day(path, first)
    assert (len(done.issued), len(done.scored), done.warnings) == (4, 0, [])
    assert done.newest["horizon"].tolist() == [1, 3, 1, 3]
    assert not done.issued["late"].any() and done.is_changed
    before = path.read_bytes()
    again = day(path, first)
    assert not again.is_changed and path.read_bytes() == before
    pd.testing.assert_frame_equal(again.newest, done.newest)
    done = day(path, first + 1)
    assert (len(done.issued), len(done.scored), done.warnings) == (4, 2, [])
    # A day is left out: its forecasts are late, and all that has matured is scored.
    done = day(path, first + 3)
    assert (len(done.issued), len(done.scored)) == (8, 6)
    assert done.issued.groupby("issue")["late"].all().tolist() == [True, False]
    assert "4 forecasts" in done.warnings[0] and "issued late" in done.warnings[0]
    is_shown_in_80_columns(done)
    kept = read_ledger(path)
    assert not kept.duplicated(KEY).any() and len(kept) == 16
    assert (kept["issued_at"] >= kept["issue"]).all()
    closes = coins_until(first + 3)
    for _, row in kept[kept["scored_at"].notna()].iterrows():
        own = closes[COINS.index(row["symbol"])]
        at = int(np.searchsorted(own.time_ms, row["issue"].value // 10**6 - DAY_MS))
        moved = np.log(own.column("close")[at + row["horizon"]] / own.column("close")[at])
        assert row["outcome"] == pytest.approx(moved, rel=1e-12)
        assert row["inside_80"] == (row["return_q10"] <= moved <= row["return_q90"])
        told = np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
        for names, score in ((RETURNS, "pinball"), (WALK, "random_walk_pinball")):
            over = moved - row[names].to_numpy(float)
            paid = np.maximum(told * over, (told - 1) * over).mean()
            wide = row["sigma"] * np.sqrt(row["horizon"])
            assert row[score] == pytest.approx(paid / wide, rel=1e-9)
    before = kept[kept["scored_at"].notna()].reset_index(drop=True)
    day(path, first + 4)
    after = read_ledger(path).merge(before[KEY], on=KEY)
    pd.testing.assert_frame_equal(after, before)


def test_what_is_issued_is_what_a_walk_over_all_candles_issues(tmp_path) -> None:
    path, days = tmp_path / "ledger.parquet", (0, 0, 1, 3, 9)
    for after in days:
        day(path, REGISTERED + after)
    chain, all_of_them = small_chain(), coins_until(REGISTERED + 20)
    walked, _ = chain.issue_from(chain.registered, rows_to_post(all_of_them))
    whole = chain.table(walked).set_index(["symbol", "datetime", "horizon"])
    kept = read_ledger(path)
    assert kept["issue"].nunique() == 10
    for _, row in kept[kept["issue"] > close_of(REGISTERED)].iterrows():
        other = whole.loc[(row["symbol"], f"{row['issue']:%Y-%m-%dT%H:%M:%S}Z", row["horizon"])]
        names = [*RETURNS, *ledgers.PRICES, "close", "expected_return", "up_probability"]
        assert (row[names] == other[names]).all()
    (dated,) = chain.live.newest(
        chain.registered, chain._read(rows_to_post(coins_until(REGISTERED)))
    )
    first = chain.table([dated])
    assert (kept[RETURNS].to_numpy()[:4] == first[RETURNS].to_numpy()).all()


def test_a_coin_that_lags_holds_up_no_other_and_a_hole_is_told(tmp_path) -> None:
    path, last = tmp_path / "ledger.parquet", REGISTERED + 3
    one, other = coins_until(last)
    done = day(path, last, [one, other.take(slice(last - 2))])
    (line,) = [each for each in done.warnings if "BBBUSDT" in each]
    assert "no newer forecast until it goes on" in line
    assert done.newest["issue"].nunique() == 2
    assert done.newest[done.newest["symbol"] == "AAAUSDT"]["issue"].max() == close_of(last)
    holed = other.take(np.delete(np.arange(last), last - 2))
    done = day(tmp_path / "second.parquet", last, [one, holed])
    assert any("BBBUSDT has a hole" in each for each in done.warnings)
    only = day(tmp_path / "third.parquet", last, coins=("BBBUSDT",))
    assert set(only.issued["symbol"]) == {"BBBUSDT"}
    both = day(tmp_path / "fourth.parquet", last).issued
    same = both[both["symbol"] == "BBBUSDT"].reset_index(drop=True)
    pd.testing.assert_frame_equal(only.issued, same)


def test_a_stale_store_is_told_and_an_open_candle_is_not_used(tmp_path) -> None:
    path, chain = tmp_path / "ledger.parquet", small_chain()
    coins = coins_until(REGISTERED + 1)
    early = predict(chain, coins, asked(path), lambda: close_of(REGISTERED + 1) - HOUR)
    assert early.newest["issue"].max() == close_of(REGISTERED) and early.warnings == []
    done = predict(chain, coins, asked(path), lambda: close_of(REGISTERED + 3) + HOUR)
    assert done.issued["late"].all() and done.newest["issue"].max() == close_of(REGISTERED + 1)
    assert "2 have closed since then" in done.warnings[0]
    nothing = predict(chain, coins, asked(path), lambda: close_of(1) - 2 * HOUR)
    assert nothing.warnings == ["no candle has closed: nothing is forecast"]


def test_a_revised_candle_is_told_by_coin_and_date_and_what_was_issued_stands(tmp_path) -> None:
    path, last = tmp_path / "ledger.parquet", REGISTERED + 2
    day(path, last - 1)
    before = read_ledger(path)
    one, other = coins_until(last)
    values = one.values.copy()
    values[last - 2, 1:4] *= 1.001  # the newest candle of the day before
    done = day(path, last, [Candles("AAAUSDT", "spot", "1d", "trades", one.time_ms, values), other])
    (line,) = done.warnings
    day_before = f"AAAUSDT at {close_of(last - 1):%Y-%m-%d %H:%M}"
    assert day_before in line and "the ledger stands" in line
    columns = [
        name
        for name in ledgers.SCHEMA.names
        if "inside" not in name
        and name not in ("outcome", "pinball", "random_walk_pinball", "scored_at")
    ]
    after = read_ledger(path)
    pd.testing.assert_frame_equal(after.iloc[: len(before)][columns], before[columns])


def test_another_version_is_recorded_beside_and_what_waits_of_the_first_is_scored(tmp_path) -> None:
    path = tmp_path / "ledger.parquet"
    day(path, REGISTERED)
    done = day(path, REGISTERED + 1, version=2)
    assert set(done.newest["version"]) == {2} and done.scored["version"].tolist() == [1, 1, 2, 2]
    assert done.scored["late"].tolist() == [False, False, True, True]
    other = day(path, REGISTERED + 1, version=2, files="of another store")
    assert len(other.issued) == 8 and set(other.newest["files"]) == {"of another store"}


def test_two_at_once_lose_no_row(tmp_path, monkeypatch) -> None:
    path, last = tmp_path / "ledger.parquet", REGISTERED + 4
    meet = threading.Barrier(3)
    read = ledgers.read_ledger
    catch = catch_up

    def together(chain, coins):
        found = catch(chain, coins)
        meet.wait(20)
        return found

    monkeypatch.setattr("quantgod.live.forecasts.predicting.catch_up", together)
    each = [("AAAUSDT",), ("BBBUSDT",), COINS]
    threads = [threading.Thread(target=day, args=(path, last), kwargs={"coins": c}) for c in each]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    kept = read(path)
    assert len(kept) == 20 and not kept.duplicated(KEY).any()


KILLED = """
import os, signal, sys
from pathlib import Path
from quantgod.live.forecasts.ledger import locked, read_ledger, write_ledger
path = Path(sys.argv[1])
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with locked(path):
    write_ledger(path, read_ledger(path).iloc[:1])
"""


def test_one_that_is_killed_before_the_rename_leaves_a_whole_ledger_and_no_lock(tmp_path) -> None:
    path = tmp_path / "ledger.parquet"
    day(path, REGISTERED)
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL and path.read_bytes() == before
    assert len(day(path, REGISTERED + 1).issued) == 4
    other = tmp_path / "other.parquet"
    pd.DataFrame({"a": [1.0]}).to_parquet(other)
    with pytest.raises(ForecastLedgerError, match="no ledger of forecasts of this version"):
        day(other, REGISTERED)
    other.write_bytes(b"PAR1" + os.urandom(20))
    with pytest.raises(ForecastLedgerError, match="a ledger of forecasts expected"):
        day(other, REGISTERED)


@pytest.mark.parametrize(("inside", "is_told"), [(0.8, False), (0.5, True), (1.0, True)])
def test_coverage_out_of_its_band_is_told_and_late_ones_do_not_count(
    tmp_path, inside, is_told
) -> None:
    path, last = tmp_path / "ledger.parquet", REGISTERED + 3
    rows = day(path, last).issued.iloc[:1]
    dates = pd.date_range(close_of(1), periods=150, freq="D").astype("datetime64[ms, UTC]")
    past = pd.concat([rows] * 150, ignore_index=True).assign(
        issue=dates, due=dates + pd.Timedelta(days=1), horizon=1, late=False,
        pinball=0.2, random_walk_pinball=0.25, scored_at=dates, inside_95=True,
        inside_80=[place % 10 < 10 * inside for place in range(150)],
    )  # fmt: skip
    late = past.assign(version=7, late=True, inside_80=False)
    write_ledger(path, pd.concat([past, late]).astype(rows.dtypes))
    done = day(path, last)
    (one,) = done.watched
    assert (one.rows, one.dates, one.independent) == (100, 100, 100)
    assert one.skill == pytest.approx(0.2) and one.coverage[0].share == pytest.approx(inside)
    told = [line for line in done.warnings if "out of its band" in line and "80%" in line]
    assert bool(told) == is_told
    if is_told:
        assert f"held {inside:.1%} of the last 100 matured forecasts" in told[0]
    seven = past.assign(horizon=7)
    assert watch(seven, WatchSettings())[0].independent == 100 // 7


def test_a_band_holds_what_chance_allows_for_and_of_few_outcomes_all() -> None:
    draws = np.random.default_rng(3).binomial(40, 0.8, 20_000) / 40
    low, high = band(0.8, 40, 0.95)
    assert 0.95 <= ((low <= draws) & (draws <= high)).mean() < 0.985
    assert ((low < draws) & (draws < high)).mean() < 0.95
    assert band(0.8, 3, 0.99)[0] == 0 and band(0.95, 3, 0.99)[1] == 1
    assert HORIZONS == (1, 3)
