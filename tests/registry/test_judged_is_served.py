"""What is judged is what runs: the backtest trades what the version answers, to the bit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import invocations

from quantgod.backtest.signals import signals_of
from quantgod.contracts import CLASSES, FEATURES, META_FEATURES
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.dataset.labels import label
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.evaluation import Evaluation
from quantgod.evaluation.scored_rows import columns_of, read_scored, write_scored
from quantgod.live.deployment.loaded_model import Fit, load_model
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.window import Window
from quantgod.live.journal import BARS, SIGNALS, Journal, read_table
from quantgod.registry.package import CHAIN_FILE, GoldenRows, build_package
from quantgod.registry.registered import fetch
from quantgod.registry.subjects import EvaluationRequest, OldVersionError, subject_of
from quantgod.registry.versions import load_chain
from quantgod.settings import Settings, load_settings
from tests.backtest.markets import books
from tests.live.engine.answering import minute_of, now, until
from tests.registry.conftest import BRIDGE, GOLDEN, NAME, WINDOW, Parts, Store, out_of_fold_rows
from tests.registry.shelves import SERIES
from tests.synthetic import synthetic_bars

MINUTES = 1_700
SIDES = np.array(CLASSES)


def settings() -> Settings:
    given = load_settings(Path("conf/full.yaml"))
    small = {"inference_windows": 2}
    return given.model_copy(update={"evaluate": given.evaluate.model_copy(update=small)})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    given = settings()
    return label(synthetic_bars(MINUTES, seed=9, signal=0.6), given.label, BRIDGE)


@pytest.fixture
def evaluated(store: Store, table: pd.DataFrame, tmp_path: Path) -> Evaluation:
    """As `evaluate` scores a version: what is asked comes from the registry."""
    asked = EvaluationRequest(NAME, store.number, {})
    subject = subject_of(asked, MlflowClient(), settings().train, tmp_path / "unused")
    return evaluate(subject, table, out_of_fold_rows(table.index[WINDOW:1_200]), settings())


def rows_of(table: pd.DataFrame, end: int, minutes: int) -> pd.DataFrame:
    """The rows that are posted to be told of `minutes` minutes, the last at `end`."""
    first = end - WINDOW - minutes + 2
    return table[list(FEATURES)].iloc[first : end + 1].rename_axis("datetime").reset_index()


def posted(model: PyFuncModel, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What comes back where rows are posted as JSON text, through the server's own code."""
    texts = rows.assign(datetime=rows["datetime"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    body = json.dumps({"dataframe_split": texts.to_dict(orient="split", index=False)})
    schema = model.metadata.get_input_schema()
    answer = invocations(body, "application/json", model, schema)
    assert answer.status == 200
    said: list[dict[str, Any]] = json.loads(answer.response)["predictions"]
    return said


def test_what_the_backtest_trades_is_what_the_version_answers_bit_for_bit(
    store: Store, table: pd.DataFrame, evaluated: Evaluation, tmp_path: Path
) -> None:
    """Whether rows are posted all at once, in pieces or a window at a time."""
    write_scored(tmp_path, evaluated.rows)
    judged, model = read_scored(tmp_path), load_chain(NAME, store.number)
    ends, pieces = evaluated.samples_row, np.random.default_rng(4).integers(1, 70, 50)
    at_once = posted(model, rows_of(table, ends[-1], len(ends)))
    in_pieces: list[dict[str, Any]] = []
    for size in pieces.tolist():
        taken = ends[len(in_pieces) : len(in_pieces) + size]
        in_pieces += posted(model, rows_of(table, taken[-1], len(taken))) if len(taken) else []
    assert in_pieces == at_once
    for place in range(0, len(ends), 7):
        assert posted(model, rows_of(table, ends[place], 1)) == [at_once[place]]

    said = pd.DataFrame(at_once)
    assert (pd.to_datetime(said["datetime"]) == judged["time"]).all()
    for ours, theirs in (("auditor", "prob"), ("base", "base"), ("in_set", "in_set")):
        names = [f"{theirs}_{name.lower()}" for name in CLASSES]
        assert np.array_equal(judged[columns_of(ours)].to_numpy(), said[names].to_numpy()), ours
    assert judged["auditor_class"].tolist() == said["class"].tolist()
    assert judged["base_confidence"].tolist() == said["base_confidence"].tolist()
    assert SIDES[judged["action"]].tolist() == said["action"].tolist()
    assert set(said["action"]) == set(CLASSES) and (said["action"] != said["signal"]).any()
    assert set(said["abstention"]) >= {"", "several_classes"}

    minutes = books(np.full(MINUTES + 120, 100.0))  # of the same minutes as the table
    traded, side = signals_of(judged, minutes, settings().backtest, 60)
    told = pd.Series(said["action"].to_numpy(), pd.to_datetime(said["datetime"]))
    closes = pd.to_datetime(traded.time_ms - 60_000, unit="ms", utc=True)
    assert np.array_equal(side, [CLASSES.index(told.get(close, "NEUTRAL")) - 1 for close in closes])
    assert set(side) == {-1, 0, 1}


@pytest.mark.long
def test_what_a_live_session_journals_is_what_was_judged(
    store: Store, table: pd.DataFrame, evaluated: Evaluation, tmp_path: Path
) -> None:
    model = load_model(NAME, store.number, fetch(NAME, store.number), Fit(SERIES, BRIDGE, 2_000))
    places = evaluated.samples_row[:40]
    kept, judged = lived(tmp_path, model, table, places), evaluated.rows[:40]
    assert kept["minute"].tolist() == (table.index.as_unit("s").asi8 // 60)[places].tolist()
    assert kept["action"].tolist() == SIDES[judged["action"]].tolist()
    assert kept["class"].tolist() == judged["auditor_class"].tolist()
    for ours, theirs in (("auditor", "prob"), ("in_set", "in_set")):
        names = [f"{theirs}_{name.lower()}" for name in CLASSES]
        assert np.array_equal(judged[columns_of(ours)].to_numpy(), kept[names].to_numpy()), ours
    assert kept["base_confidence"].tolist() == judged["base_confidence"].tolist()
    assert kept["base_confidence"].nunique() == len(kept)
    assert ((kept["abstention"] != "") == (kept["action"] != kept["signal"])).all()
    assert len(set(kept["action"])) > 1 and (kept["abstention"] != "").any()


def lived(folder: Path, model: Any, table: pd.DataFrame, places: np.ndarray) -> pd.DataFrame:
    """What a session journals of these minutes in a row, after those before them."""
    epoch, features = table.index.as_unit("s").asi8 // 60, table[list(FEATURES)].to_numpy()
    models = SimpleNamespace(champion=lambda: model, challenger=lambda: None)

    async def play(journal: Journal) -> None:
        window = Window(BRIDGE)
        window.fill(MinuteRows(epoch[: places[0]], features[: places[0]]))
        engine = Engine({"X": window}, {"X": models}, journal, lambda notice: None)
        running = asyncio.create_task(engine.run())
        for place in places:
            engine.closed("X", minute_of(int(epoch[place]), features[place]), now())
            await until(lambda: not engine._unanswered)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    tables = {"BARS": BARS, "SIGNALS": SIGNALS}
    with Journal(folder / "live", tables, settings().live.journaling) as journal:
        asyncio.run(play(journal))
    return read_table(folder / "live", "SIGNALS").to_pandas()


@pytest.fixture
def old(store: Store, parts: Parts, tmp_path: Path) -> Iterator[int]:
    """A version whose code knows no conformal threshold by that name."""
    code = tmp_path / "chain.py"
    code.write_text(CHAIN_FILE.read_text(encoding="utf-8").replace("self.conformal", "self.past"))
    made_of = parts.network, parts.auditor_folder, GoldenRows(parts.bars, GOLDEN, BRIDGE)
    number = store.add(build_package(tmp_path / "old", *made_of, parts.reference, SERIES, code))
    yield number
    mlflow.MlflowClient().delete_model_version(NAME, str(number))


def test_a_version_that_does_not_abstain_itself_is_not_judged(old: int, tmp_path: Path) -> None:
    with pytest.raises(OldVersionError, match=rf"{NAME} {old} is from before .* register a new"):
        subject_of(EvaluationRequest(NAME, old, {}), MlflowClient(), settings().train, tmp_path)


def test_the_booster_reads_no_more_than_it_is_given(parts: Parts, store: Store) -> None:
    """Meta-features are rounded to what the booster reads; nothing that it says changes by it."""
    chain = load_chain(NAME, store.number).unwrap_python_model().chain  # type: ignore[no-untyped-call]
    meta = np.random.default_rng(2).normal(size=(50, len(META_FEATURES)))
    assert np.array_equal(chain.audit(meta), chain.audit(meta.astype(np.float32).astype(float)))
