"""A registered model is of one series: nothing puts another's version in its place."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

import steps.main
from quantgod.contracts import FEATURE_SET, FEATURES, Series
from quantgod.files import file_digest, write_json
from quantgod.registry import versions
from quantgod.registry.ownership import OtherSeriesError, check_name, check_rows, series_of
from quantgod.registry.package import CHAIN_FILE, Package
from quantgod.registry.promotion import Grounds, promote
from quantgod.registry.registered import BrokenVersionError, holder, known_version
from quantgod.registry.rollback import roll_back
from quantgod.registry.versions import load_chain
from tests.registry.conftest import NAME, Parts, Store
from tests.registry.shelves import ALIAS, SERIES, Shelf

ETH = Series("ETHUSDT", "linear")
OTHERS = [ETH, Series("BTCUSDT", "spot"), Series("BTCUSDT", "linear", "candles")]
FORCED = Grounds("a test", force=True)


def of_another(parts: Parts, series: Series, folder: Path) -> Package:
    """The same files, but for the series that its contract names."""
    package = Path(shutil.copytree(parts.package.folder, folder / "package"))
    contract = json.loads((package / "labels.json").read_text())
    own = {"symbol": series.symbol, "market": series.market, "source": series.source}
    write_json(package / "labels.json", contract | own)
    manifest = json.loads((package / "manifest.json").read_text())
    own = {"labels.json": file_digest(package / "labels.json")}
    write_json(package / "manifest.json", manifest | own)
    return Package(package, CHAIN_FILE, file_digest(package / "manifest.json"), 0.0, series)


def test_a_version_says_whose_it_is_in_its_contract_and_its_tags(store: Store) -> None:
    found = known_version(MlflowClient(), NAME, store.number)
    contract = load_chain(NAME, store.number).unwrap_python_model().chain.contract
    assert series_of(found) == SERIES
    assert Series(contract.symbol, contract.market, contract.source) == SERIES
    assert found.tags["feature_set"] == contract.feature_set == FEATURE_SET
    assert contract.features == list(FEATURES)


@pytest.mark.parametrize("series", OTHERS, ids=str)
def test_a_name_that_holds_a_version_takes_none_of_another_series(
    store: Store, parts: Parts, series: Series
) -> None:
    refused = pytest.raises(OtherSeriesError, match=r"quantgod \d+ is of BTCUSDT .*registry\.name")
    with refused:
        store.add(replace(parts.package, series=series))
    with refused:
        check_name(MlflowClient(), NAME, series)
    check_name(MlflowClient(), NAME, SERIES)
    check_name(MlflowClient(), "another", series)


def test_main_refuses_another_symbol_before_it_does_anything(store: Store, tmp_path: Path) -> None:
    work = (
        f"data.work={tmp_path / 'work'};tracking.outbox={tmp_path / 'outbox'};registry.name={NAME}"
    )
    given = ["--config", "conf/demo.yaml", "--symbol", "ETHUSDT", "--set", work]
    done = CliRunner().invoke(steps.main.main, given)
    assert done.exit_code == 1
    assert "OtherSeriesError" in done.output and "--set registry.name=" in done.output
    assert not list(tmp_path.rglob("*.zip"))


def test_where_it_happened_all_the_same_no_reason_lets_it_into_place(
    store: Store, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient()
    promote(NAME, store.number, "Own", FORCED, tryout=lambda *_: None)
    monkeypatch.setattr(versions, "check_name", lambda *_: None)
    number = store.add(of_another(parts, ETH, tmp_path))
    with pytest.raises(OtherSeriesError, match=f"{NAME} {number} is of ETHUSDT .* is of BTCUSDT"):
        promote(NAME, number, "Own", FORCED)
    assert holder(client, NAME, "Own") == store.number
    client.delete_model_version(NAME, str(number))


def test_no_rollback_goes_to_a_version_of_another_series(shelf: Shelf) -> None:
    client = MlflowClient()
    for number in (1, 2):
        shelf.put(number)
    for tag, value in {"symbol": "BTCUSDT", "market": "linear", "source": "book"}.items():
        client.set_model_version_tag(NAME, "2", tag, value)
    with pytest.raises(OtherSeriesError, match="1 is of no series that it names"):
        roll_back(NAME, ALIAS)
    for tag, value in {"symbol": "ETHUSDT", "market": "linear", "source": "book"}.items():
        client.set_model_version_tag(NAME, "1", tag, value)
    with pytest.raises(OtherSeriesError, match="1 is of ETHUSDT"):
        roll_back(NAME, ALIAS)
    client.set_model_version_tag(NAME, "1", "symbol", "BTCUSDT")
    roll_back(NAME, ALIAS)
    assert holder(client, NAME, ALIAS) == 1


def test_a_version_is_asked_of_no_rows_of_another_series(store: Store) -> None:
    found = known_version(MlflowClient(), NAME, store.number)
    check_rows(found, SERIES)
    with pytest.raises(OtherSeriesError, match=r"is of BTCUSDT .* rows are of ETHUSDT"):
        check_rows(found, ETH)


@pytest.mark.parametrize("tag", ["symbol", "market", "source", "feature_set"])
def test_tags_that_say_something_else_than_the_contract_are_refused(
    store: Store, parts: Parts, tag: str
) -> None:
    client, number = MlflowClient(), store.add(parts.package)
    client.set_model_version_tag(NAME, str(number), tag, "spot")
    with pytest.raises(BrokenVersionError, match=f"its tags name {tag} spot, its contract"):
        load_chain(NAME, number)
    client.delete_model_version(NAME, str(number))
