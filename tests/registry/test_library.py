"""The names that other programs may rely on, used as the docs tell."""

from __future__ import annotations

import re
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

import quantgod
from quantgod.archive.own_bars import import_bars
from quantgod.archive.store import StoreError
from quantgod.contracts import FEATURES
from quantgod.live.journal import Journal, JournalError
from quantgod.settings import load_settings
from tests.live.journal.writer_process import TABLES, row
from tests.registry.conftest import NAME, WINDOW, Parts, Store

DOCS = Path(__file__).parents[2] / "docs" / "library.md"
SETTINGS = load_settings(Path("conf/demo.yaml"))


def test_a_version_answers_bars_as_they_are_read(registered: Store, parts: Parts) -> None:
    version = quantgod.load_version(NAME, registered.number, store=registered.uri)
    assert (version.contract.symbol, version.contract.window) == ("BTCUSDT", WINDOW)
    bars = parts.bars.assign(more="is left out")
    answers = version.predict(bars)
    assert len(answers) == len(bars) - WINDOW + 1
    assert answers["datetime"].iloc[-1] == bars.index[-1]
    posted = bars.rename_axis("datetime").reset_index()
    pd.testing.assert_frame_equal(version.predict(posted), answers)
    with pytest.raises(MlflowException, match="too_few_rows"):
        version.predict(bars.iloc[: WINDOW - 1])
    with pytest.raises(MlflowException, match="body"):
        version.predict(bars.drop(columns="body"))
    with pytest.raises(ValueError, match=r"a DataFrame of the nine features .* got list"):
        version.predict([[1, 2]])  # type: ignore[arg-type]
    as_text = quantgod.load_version(NAME, str(registered.number), store=registered.uri)
    assert as_text.contract.symbol == "BTCUSDT"
    with pytest.raises(ValueError, match="quantgod 99"):
        quantgod.load_version(NAME, 99, store=registered.uri)


def test_a_store_that_is_not_there_is_refused_and_not_made(
    registered: Store, tmp_path: Path
) -> None:
    before = mlflow.get_tracking_uri()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"there is no file .*none\.db"):
            quantgod.load_version(NAME, registered.number, store=f"sqlite:///{folder}/none.db")
    assert not list(tmp_path.iterdir()) and mlflow.get_tracking_uri() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("close", np.nan), ("open", np.nan), ("close", np.inf), ("low", -1.0), ("low", 0.0),
        ("high", 100.0), ("low", 102.5),
    ],
)  # fmt: skip
def test_prices_that_cannot_be_are_refused_by_their_first_row(name: str, value: float) -> None:
    times = pd.date_range("2025-01-01", periods=5, freq="min", tz="UTC")
    prices = pd.DataFrame({"open": 101.0, "high": 103.0, "low": 99.0, "close": 102.0}, times)
    assert len(quantgod.make_features(prices)) == 4
    prices.loc[times[2:4], name] = value
    with pytest.raises(ValueError, match=rf"row 2 \(2025-01-01 00:02.*{name} {value}"):
        quantgod.make_features(prices)
    with pytest.raises(ValueError, match="at least one minute"):
        quantgod.make_features(prices.iloc[:0])


def test_stored_bars_and_a_journal_are_read_by_their_place(tmp_path: Path) -> None:
    times = pd.date_range("2025-01-01", periods=90, freq="min", tz="UTC")
    close = 100 + np.arange(90) / 10
    source = tmp_path / "own.csv"
    prices = pd.DataFrame({"open": close, "high": close, "low": close, "close": close}, times)
    prices.rename_axis("datetime").to_csv(source)
    data = SETTINGS.data.model_copy(update={"bars": tmp_path / "bars", "market": "spot"})
    import_bars([source], data, SETTINGS.etl)
    bars = quantgod.read_bars(tmp_path / "bars", "BTCUSDT", "spot")
    assert list(bars) == [*FEATURES, "close"] and bars.index.name == "datetime"
    with pytest.raises(StoreError, match="no such folder"):
        quantgod.read_bars(tmp_path / "bars", "BTCUSDT")

    features = quantgod.make_features(prices)
    assert np.array_equal(features, bars[list(features)])
    with pytest.raises(ValueError, match="times in UTC"):
        quantgod.make_features(prices.reset_index(drop=True))
    with pytest.raises(ValueError, match="'high'"):
        quantgod.make_features(prices.drop(columns="high"))
    with pytest.raises(ValueError, match="whole minutes"):
        quantgod.make_features(prices.iloc[::-1])

    with Journal(tmp_path / "live", TABLES, SETTINGS.live.journaling) as journal:
        journal.append("SIGNALS", row("SIGNALS", 29_000_000))
    signals = quantgod.read_journal(tmp_path / "live", "SIGNALS")
    assert str(signals["datetime"].iloc[0]) == "2025-02-19 21:20:00+00:00"
    with pytest.raises(JournalError, match="there is none"):
        quantgod.read_journal(tmp_path / "nowhere", "SIGNALS")


def test_the_docs_tell_of_every_name_and_of_no_other() -> None:
    told = set(re.findall(r"quantgod\.([A-Za-z_]+)\(", DOCS.read_text(encoding="utf-8")))
    assert told == set(quantgod.__all__) - {"Version"}
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        quantgod.predict  # noqa: B018
