"""What is judged is what is served: the package of a walk, loaded and asked without torch."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quantgod.dataset.candles.table import table_of
from quantgod.ensemble.candles.walk import walk
from quantgod.evaluation.forecasts.run import moments_of
from quantgod.registry.daily import chain
from quantgod.registry.daily.chain import Chain, ChainModel, InputError, PackageError
from quantgod.registry.daily.package import DailyPackage, build_package, golden_rows
from quantgod.registry.daily.posting import rows_to_post
from quantgod.served.candles.quantiles import LEVELS, up_probability
from tests.registry.daily.made import coins_of, made, packed, small

SETTINGS = small()
COINS = coins_of(SETTINGS)
STEP = COINS[0].step_ms


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> DailyPackage:
    return packed(tmp_path_factory.mktemp("daily") / "package")


@pytest.fixture(scope="module")
def served(package: DailyPackage) -> Chain:
    return Chain(package.folder)


@pytest.fixture(scope="module")
def newest(served: Chain) -> pd.DataFrame:
    return golden_rows(COINS, served.contract)


def same(one, other, members=("ridge", "trees")) -> None:
    """One network's float32 apart all is equal; members without one to the bit."""
    for name, value in vars(other).items():
        np.testing.assert_allclose(vars(one)[name], value, rtol=0, atol=1e-6, err_msg=name)
    names = made().forward.members
    exact = [names.index(name) for name in ("random_walk", "drift", *members)]
    assert np.array_equal(one.raw[:, exact], other.raw[:, exact])


def test_the_walks_last_forecasts_are_what_the_served_chain_answers(served, newest) -> None:
    run, said = made(), served.forecast(newest)
    rows = run.forward.rows
    last = np.flatnonzero(run.table.date[rows] == run.table.date[rows].max())
    (dated,) = served.live.newest(served.registered, served._read(newest))
    for place, one in enumerate(dated.issued):
        same(one, run.walked.issued[place].take(last))
    close, sigma = run.table.close[rows[last]], run.table.sigma[rows[last]]
    assert np.array_equal(dated.sigma, sigma)
    for place, steps in enumerate(SETTINGS.forecast.horizons):
        own, issued = said[said.horizon == steps], run.walked.issued[place].take(last)
        wide = sigma * np.sqrt(steps)
        assert own.symbol.tolist() == list(run.table.coins)
        for name, value in {
            "expected_return": issued.mean * wide,
            "up_probability": up_probability(issued.quantiles),
            "ridge_weight": issued.weights[:, 2],
            "network_return": issued.means[:, 4] * wide,
            **{
                f"{kind}_q{100 * level:g}": of(issued.quantiles[:, at] * wide)
                for at, level in enumerate(LEVELS)
                for kind, of in (("return", lambda x: x), ("price", lambda x: close * np.exp(x)))
            },
        }.items():
            np.testing.assert_allclose(own[name], value, rtol=1e-6, atol=1e-6, err_msg=name)
        issue = pd.to_datetime(own.datetime).astype("datetime64[ms, UTC]").astype(np.int64)
        assert set(issue) == {COINS[0].time_ms[-1] + STEP}
        assert (pd.to_datetime(own.due) - pd.to_datetime(own.datetime)).dt.days.tolist() == [
            steps
        ] * 2
    assert (said.filter(regex="_weight$").sum(axis=1) - 1).abs().max() < 1e-12
    shuffled = newest.iloc[:, ::-1].assign(more="ignored")
    times = pd.to_datetime(newest["time"]).astype("datetime64[ms, UTC]").astype(np.int64)
    pd.testing.assert_frame_equal(served.forecast(shuffled.assign(time=times)), said)
    alone = served.forecast(newest[newest.symbol == "BBBUSDT"])
    assert alone.symbol.unique().tolist() == ["BBBUSDT"]
    np.testing.assert_allclose(alone.iloc[:, 4], said[said.symbol == "BBBUSDT"].iloc[:, 4])


def test_catching_up_from_an_earlier_date_is_the_walk_also_over_a_hole(served) -> None:
    run, days = made(), 12
    coins = [COINS[0], COINS[1].take(np.delete(np.arange(len(COINS[1])), -4))]
    table = table_of(coins, run.regimes)
    learned, begin = run.forward.newest[0].learned, run.forward.folds[-1].border
    rows = np.flatnonzero(table.can_see(SETTINGS.forecast.window) & (table.date >= begin))
    rows = rows[np.lexsort((table.coin[rows], table.date[rows]))]
    said = learned.forecast(table, rows)
    forward = replace(run.forward, rows=rows, mean=said.mean, quantiles=said.quantiles)
    moments, rules = moments_of(table, forward, SETTINGS.forecast), run.walked.timeline.rules
    whole, end = walk(rules, moments, [begin]), int(moments.date[-1])
    before = int((moments.date <= end - days).sum())
    timeline = walk(rules, moments.take(slice(before)), [begin]).timeline
    told = json.loads(json.dumps(timeline.to_json()))
    earlier = served.timeline_of(told)
    back = served.contract.back + days - 1
    posted = rows_to_post([one.take(one.time_ms > one.time_ms[-1] - back * STEP) for one in coins])
    issued, ahead = served.issue_from(earlier, posted)
    assert [one.date for one in issued] == list(range(end - days + 1, end + 1))
    assert [len(one.coins) for one in issued[-5:]] == [2, 1, 1, 1, 1], "a hole, and no window"
    place = before
    for one in issued:
        own = slice(place, place := place + len(one.coins))
        assert np.array_equal(one.coins, moments.coin[own])
        for horizon, each in enumerate(one.issued):
            same(each, whole.issued[horizon].take(own))
    for state, other in zip(ahead.states, whole.timeline.states, strict=True):
        for name, value in vars(other).items():
            np.testing.assert_allclose(vars(state)[name], value, rtol=0, atol=1e-6, err_msg=name)
    assert earlier.to_json() == told, "it is left as it was"
    assert len(served.table(issued)) == 2 * sum(len(one.coins) for one in issued)
    again, still = served.issue_from(ahead, posted)
    assert again == [] and still.to_json() == ahead.to_json()
    until = pd.to_datetime(posted["time"], unit="ms") < pd.Timestamp(end - 5, unit="D")
    first, middle = served.issue_from(earlier, posted[until])
    second, last = served.issue_from(served.timeline_of(middle.to_json()), posted)
    assert [len(first), len(second)] == [days - 6, 6]
    assert last.to_json() == ahead.to_json(), "in two steps as in one, to the bit"
    short = posted[
        pd.to_datetime(posted["time"], unit="ms") > pd.Timestamp(end - back + 1, unit="D")
    ]
    with pytest.raises(InputError, match=r"too_few_rows: AAAUSDT: candles from .* on expected"):
        served.issue_from(earlier, short)


@pytest.mark.long
def test_each_coins_own_members_and_a_network_that_says_which_way(tmp_path) -> None:
    run, built = made(apart=True), packed(tmp_path / "package", apart=True)
    served = Chain(built.folder)
    assert len(list((built.folder / "parts").iterdir())) == 2
    assert not list(built.folder.rglob("*.safetensors")), "no draws, no masks"
    (dated,) = served.live.newest(
        served.registered, served._read(golden_rows(COINS, built.contract))
    )
    rows = run.forward.rows
    last = np.flatnonzero(run.table.date[rows] == run.table.date[rows].max())
    for name, value in vars(run.walked.issued[0].take(last)).items():
        np.testing.assert_allclose(vars(dated.issued[0])[name], value, rtol=0, atol=1e-6)
    assert np.abs(dated.issued[0].means[:, 3]).min() > 0


def changed(rows: pd.DataFrame, how: str) -> pd.DataFrame:
    at, found = len(rows) - 5, rows.copy()
    return {
        "missing_column": lambda: found.drop(columns="volume"),
        "duplicate_column": lambda: pd.concat([found, found[["open"]]], axis=1),
        "no_rows": lambda: found.iloc[:0],
        "unknown_coin": lambda: found.replace({"symbol": {"BBBUSDT": "DOGEUSDT"}}),
        "bad_datetime": lambda: found.replace({"time": {found.time[at]: "yesterday"}}),
        "bad_dtype": lambda: found.astype({"high": object}).replace(
            {"high": {found.high[at]: "1"}}
        ),
        "not_finite": lambda: found.replace({"close": {found.close[at]: np.nan}}),
        "not_positive": lambda: found.replace({"low": {found.low[at]: 0.0}}),
        "not_a_candle": lambda: found.replace({"high": {found.high[at]: found.low[at] / 2}}),
        "duplicate_candle": lambda: pd.concat([found, found.iloc[-1:]]),
        "unsorted": lambda: found.iloc[::-1],
        "too_few_rows": lambda: found.iloc[1:],
        "hole": lambda: pd.concat([older(found), found.drop(index=at)]),
        "other_interval": lambda: found.assign(time=hours(len(found))),
        "off_grid": lambda: found.assign(time=found.time.str.replace("T00:", "T07:")),
        "out_of_range": lambda: found.replace({"volume": {found.volume[at]: 1e308}}),
        "bad_form": found.to_numpy,
    }[how]()


def older(rows: pd.DataFrame) -> pd.DataFrame:
    """One candle more at the front of the second coin."""
    first = rows[rows.symbol == "BBBUSDT"].iloc[:1]
    time = pd.to_datetime(first.time) - pd.Timedelta(days=1)
    return first.assign(time=time.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))


def hours(count: int) -> pd.Index:
    each = pd.date_range("2026-01-01", periods=count // 2, freq="h", tz="UTC")
    return each.append(each).strftime("%Y-%m-%dT%H:%M:%SZ")


REFUSED = {
    "missing_column": "volume not given: symbol, time, open",
    "duplicate_column": "open given twice",
    "no_rows": "candles of one coin or more expected, got none",
    "unknown_coin": "'DOGEUSDT'; this knows AAAUSDT, BBBUSDT",
    "bad_datetime": "no ISO 8601 time: 'yesterday'",
    "bad_dtype": "high is '1', a number of 64 bits is expected",
    "not_finite": "close is null or NaN, a number is expected",
    "not_positive": "low is 0, more than 0 expected",
    "not_a_candle": "open and close between low and high expected, got open",
    "duplicate_candle": "BBBUSDT: 2017-09-11T00:00:00Z follows 2017-09-11T00:00:00Z",
    "unsorted": "2017-09-10T00:00:00Z follows 2017-09-11T00:00:00Z; each candle once, oldest",
    "too_few_rows": "AAAUSDT: 261 candles given, at least 262 are needed: post older ones too",
    "hole": "BBBUSDT: no candle between 2017-09-06T00:00:00Z and 2017-09-08T00:00:00Z",
    "other_interval": r"candles 60 minutes apart; 1d \(1440 minutes\) expected",
    "off_grid": "T07:00:00Z is no open time of 1d candles, whose days begin at midnight UTC",
    "out_of_range": "BBBUSDT: prices or volumes of its newest .* candles are too large",
    "bad_form": "dataframe_split or dataframe_records over HTTP, a DataFrame in process expected",
}


@pytest.mark.parametrize("code", REFUSED)
def test_candles_that_cannot_be_used_are_refused_with_a_code_and_what_came(
    code: str, served: Chain, newest: pd.DataFrame
) -> None:
    with pytest.raises(InputError, match=f"^{code}: .*{REFUSED[code]}") as refused:
        served.forecast(changed(newest, code))
    assert refused.value.code == code
    assert refused.value.get_http_status_code() == 400


def loaded(folder: Path, manifest: str) -> Chain:
    model = ChainModel()
    artifacts = {"package": str(folder)}
    model.load_context(
        SimpleNamespace(artifacts=artifacts, model_config={"manifest_sha256": manifest})
    )
    return model.chain


def test_a_changed_file_another_manifest_and_another_answer_are_refused(
    package: DailyPackage, tmp_path: Path
) -> None:
    assert loaded(package.folder, package.manifest_sha256).experts[-1] == "equal_weights"
    copy = tmp_path / "copy"
    shutil.copytree(package.folder, copy)
    with pytest.raises(PackageError, match=r"manifest\.json is not the one that was registered"):
        loaded(copy, "0" * 64)
    plain = copy / "parts" / "000" / "ridge" / "plain.json"
    plain.write_text(plain.read_text() + " ")
    with pytest.raises(PackageError, match=r"changed_file: parts/000/ridge/plain\.json"):
        loaded(copy, package.manifest_sha256)
    told = json.loads(plain.read_text())
    told["intercept"][0] += 1e-3
    plain.write_text(json.dumps(told))
    with pytest.raises(PackageError, match=r"golden_output: .* is off by"):
        Chain(copy).check_golden()
    (copy / "parts" / "000" / "trees" / "trees.json").unlink()
    with pytest.raises(PackageError, match=r"plain\.json, trees\.json, network\.json expected"):
        Chain(copy)
    assert (
        chain.sha256(package.code)
        == json.loads((package.folder / "manifest.json").read_text())["chain.py"]
    )


def test_a_package_wants_an_empty_folder_and_a_coin_without_a_hole(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="an empty folder was expected"):
        build_package(tmp_path, made(), COINS, SETTINGS.forecast)
    holed = [one.take(np.delete(np.arange(len(one)), -3)) for one in COINS]
    with pytest.raises(ValueError, match="262 newest candles without a hole expected"):
        golden_rows(holed, packed(tmp_path / "package").contract)
