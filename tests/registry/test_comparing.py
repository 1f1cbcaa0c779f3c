"""Versions and members are compared on the test rows that all of them were scored on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import steps.compare
from quantgod.archive.own_bars import import_bars
from quantgod.backtest.books import Books
from quantgod.contracts import CLASSES
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.scored_rows import columns_of, probabilities_of
from quantgod.files import file_digest
from quantgod.registry import comparing
from quantgod.registry.comparing import (
    OtherRowsError,
    Scored,
    common_rows,
    compare_versions,
)
from quantgod.served.calibration import decide
from quantgod.settings import load_settings, with_values
from tests.archive.test_own_bars import candles
from tests.evaluation.ensembles import MEMBERS, ensemble_case
from tests.evaluation.evaluations import ImbalanceSubject
from tests.registry.lineages import Lineage
from tests.registry.shelves import NAME, Shelf

SILENT = 40
DECISION = (2.0, 1.0, 2.0)
SETTINGS = with_values(load_settings(Path("conf/full.yaml")), {"audit.decision_weights": DECISION})


@pytest.fixture(scope="module")
def ensemble() -> pd.DataFrame:
    """Scored rows of three members, of which one is absent from the first ones."""
    return ensemble_case(SILENT).evaluated.rows


@pytest.fixture(scope="module")
def network() -> pd.DataFrame:
    given = ensemble_case(SILENT)
    alone = evaluate(ImbalanceSubject(1.0), given.table, given.out_of_fold, given.settings)
    return alone.rows.iloc[100:].reset_index(drop=True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A stage's run whose bars have the same book each minute."""

    def books(_store: Path, _symbol: str, rows: pd.DataFrame, horizon: int) -> Books:
        end = rows["time"].iloc[-1] + pd.Timedelta(minutes=2 * horizon + 1)
        minutes = pd.date_range(rows["time"].iloc[0], end, freq="min")
        levels = np.array([[[100.0, 1e6]], [[100.1, 1e6]]])
        times = minutes.as_unit("ms").asi8 + 60_000
        return Books(times, np.repeat(levels[None], len(times), axis=0))

    monkeypatch.setattr(comparing, "without_books", lambda *_: False)
    monkeypatch.setattr(comparing, "minute_books", books)
    yield SimpleNamespace(settings=SETTINGS, inputs={"bars": Path("bars/BTCUSDT")})


def scored(rows: pd.DataFrame, trials: int) -> Scored:
    return Scored(None, rows, SETTINGS, trials)  # type: ignore[arg-type]


@pytest.mark.long
def test_all_are_scored_and_traded_on_the_rows_of_all(
    run: SimpleNamespace, ensemble: pd.DataFrame, network: pd.DataFrame
) -> None:
    each = {"m/3": scored(network, 4), "m/4": scored(ensemble, 3)}
    found = compare_versions(run, each)
    taken = common_rows({name: one.rows for name, one in each.items()})
    rows = taken["m/4"]
    assert len(rows) == found.rows == len(network)
    assert (rows["time"] == taken["m/3"]["time"]).all()
    names = ["m/3", "m/4", *(f"m/4 {name}" for name in (*MEMBERS, "together"))]
    assert [*found.models] == names == [*found.traded]
    assert (found.trials, [*found.differences]) == (7, names[1:])
    said = {
        "m/3": probabilities_of(taken["m/3"], "auditor"),
        "m/4": probabilities_of(rows, "auditor"),
    }
    said |= {f"m/4 {name}": probabilities_of(rows, name) for name in MEMBERS}
    said |= {"m/4 together": probabilities_of(rows, "base")}
    outputs = {name: ModelOutput(one, decide(one, DECISION)) for name, one in said.items()}
    expected = compare(rows["target"].to_numpy(), outputs, found.effective_rows)
    assert (found.models, found.differences) == (expected.models, expected.differences)
    for name in names[2:]:
        moves = (outputs[name].decided != CLASSES.index("NEUTRAL")).sum()
        assert (found.traded[name].trades > 0) == (moves > 0)
        assert found.traded[name].net_pnl.value <= 0, "a spread and fees, and no move of the price"


def test_rows_on_which_a_member_is_absent_do_not_count(ensemble: pd.DataFrame) -> None:
    alone = common_rows({"m/4": ensemble})["m/4"]
    assert len(alone) == len(ensemble) - SILENT // 2
    assert np.isfinite(probabilities_of(alone, "far")).all()


def test_what_has_no_row_or_other_labels_in_common_is_refused(
    ensemble: pd.DataFrame, network: pd.DataFrame
) -> None:
    later = network.assign(time=network["time"] + pd.Timedelta("9D"))
    with pytest.raises(OtherRowsError, match=r"a test row of all .* m/3 from .* to .*; m/4 from"):
        common_rows({"m/3": ensemble, "m/4": later})
    other = network.assign(target=(network["target"] + 1) % 3)
    with pytest.raises(OtherRowsError, match="m/3 and m/4 have other labels of"):
        common_rows({"m/3": ensemble, "m/4": other})


def test_without_books_nothing_is_traded(
    run: SimpleNamespace, ensemble: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "without_books", lambda *_: True)
    assert compare_versions(run, {"m/4": scored(ensemble, 1)}).traded == {}


@pytest.fixture
def lineage(shelf: Shelf, network: pd.DataFrame) -> Lineage:
    """Two versions that were scored, the second with more trust in itself."""
    labels = shelf.folder / "labels.parquet"
    labels.write_text("labels")
    made = Lineage(shelf, labels, file_digest(labels), rows=network).whole(("train", "audit"))
    probabilities = probabilities_of(network, "auditor")
    sharper = probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)
    made.rows = network.assign(**dict(zip(columns_of("auditor"), sharper.T, strict=True)))
    made.number = made.version()
    made.evaluated()
    return made


def command(lineage: Lineage, *arguments: str, bars: Path) -> Result:
    uri = lineage.shelf.uri
    places = f"data.bars={bars};tracking.uri={uri};tracking.outbox={bars.parent / 'outbox'}"
    given = ["--name", NAME, "--set", places, *arguments]
    return CliRunner(env={"COLUMNS": "250"}).invoke(steps.compare.main, given)


def test_the_command_keeps_a_page_a_table_and_the_record(lineage: Lineage, tmp_path: Path) -> None:
    """Of bars without books, which are not traded on."""
    data = SETTINGS.data.model_copy(update={"bars": tmp_path / "bars"})
    candles(90).to_csv(tmp_path / "own.csv")
    import_bars([tmp_path / "own.csv"], data, SETTINGS.etl)
    first, second = lineage.number - 1, lineage.number
    done = command(lineage, "--versions", f"{second},{first}", bars=tmp_path / "bars")
    assert done.exit_code == 0, done.output
    assert f"{NAME}: versions {second}, {first}; " in done.output.replace("\n", " ")
    (run,) = mlflow.search_runs(
        search_all_experiments=True, filter_string="tags.`quantgod.stage` = 'compare'",
        output_format="list",
    )  # fmt: skip
    place = f"runs:/{run.info.run_id}"
    found = mlflow.artifacts.load_dict(f"{place}/compare.json")
    assert [*found["models"]] == [f"{NAME}/{second}", f"{NAME}/{first}"]
    assert (found["traded"], found["trials"]) == ({}, 2)
    table = mlflow.artifacts.load_dict(f"{place}/compare_table.json")
    assert len(table["data"]) == 2 and len(table["columns"]) == len(table["data"][0]) == 9
    page = mlflow.artifacts.load_text(f"{place}/report/compare.html")
    assert "://" not in page and page.count("data:image/png;base64,") == 2
    assert all(cell.split(" [")[0] in page for row in table["data"] for cell in row)


def test_fewer_than_two_numbers_and_versions_that_were_not_scored_are_refused(
    lineage: Lineage, tmp_path: Path
) -> None:
    (tmp_path / "bars").mkdir()
    for versions in ("3", "3,3", "three,four", ""):
        done = command(lineage, "--versions", versions, bars=tmp_path / "bars")
        assert done.exit_code == 2 and "at least two different versions expected" in done.output
    bare = lineage.client.create_model_version(NAME, source=str(lineage.shelf.files(2)))
    own = f"{lineage.number},{bare.version}"
    (tmp_path / "bars" / "linear" / "BTCUSDT").mkdir(parents=True)
    done = command(lineage, "--versions", own, bars=tmp_path / "bars")
    assert done.exit_code == 1
    assert re.search(rf"{NAME} {bare.version} was not scored: .*steps\.evaluate", done.output)
