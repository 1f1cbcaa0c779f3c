"""A network of the 112 features goes the whole way: archives, features, audit, version, verdict.

So does one that also looks at snapshots of the book.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from mlflow import MlflowClient

import steps.audit
import steps.backtest
import steps.etl
import steps.evaluate
import steps.features
import steps.gates
import steps.label
import steps.leak_audit
import steps.optimize
import steps.register
import steps.simulate
import steps.snapshots
import steps.train
from quantgod.archive.snapshot_store import read_books
from quantgod.archive.zip_stream import lines, open_archive
from quantgod.auditor.auditor import load_auditor
from quantgod.contracts import CLASSES, FEATURES, PRIMARY, BookShape, Series
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.dataset.feature_table import SourceRows
from quantgod.dataset.learning_table import learned_from, learning_table, whole_rows
from quantgod.evaluation.drift import read_reference
from quantgod.evaluation.network_subject import NetworkSubject
from quantgod.evaluation.scored_rows import CONFIDENCE, columns_of, read_scored
from quantgod.evaluation.subject import RawMaterial
from quantgod.forecasters.network import load_network
from quantgod.library import load_version
from quantgod.live.deployment.loaded_model import Fit, LoadedModel, load_model
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.sources import read_sources
from quantgod.live.engine.window import Window
from quantgod.live.journal import BARS, SIGNALS, Journal, read_table
from quantgod.market.book_bars import BookBars, ClosedMinute
from quantgod.market.bybit import decode
from quantgod.market.bybit_sync import BybitBookSync
from quantgod.registry.lineage import lineage_of
from quantgod.registry.registered import fetch
from quantgod.served.features import sets
from quantgod.settings import load_settings
from quantgod.tracking.keys import artifacts_of
from steps.options import values_from
from tests.archive.streams import etl_settings
from tests.conftest import forget_experiments
from tests.leakage.small import few_trees
from tests.live.engine.answering import now, until
from tests.live.engine.markets import closed_of
from tests.stores import fresh_store

NAME = "of-features"
WINDOW = 16
BRIDGE = 5
FIT = Fit(Series("BTCUSDT", "linear"), BRIDGE, 2_000)
LIVED = 40
PARAMS = "{lstm_hidden: 4, lstm_layers: 1, attention_heads: 2, dropout: 0.0, lstm_dropout: 0.0}"
SETTINGS = {
    "simulate.days": 1,
    "model.name": "cnn_lstm",
    "model.params": PARAMS,
    "leak_audit.params": PARAMS,
    "window.length": WINDOW,
    "window.stride": 4,
    "audit.stride": 4,
    "optimize.trials": 1,
    "optimize.stride": 8,
    "optimize.space": f"{{lstm_hidden: [4], window_length: [{WINDOW}], batch_size: [32]}}",
    "registry.name": NAME,
    "registry.golden_rows": 40,
}
BOOKS_NAME = "of-books"
OF_TLOB = "{width: 4, layers: 1, attention_heads: 1, dropout: 0.0}"
OF_BOOKS = {
    "registry.name": BOOKS_NAME,
    "model.name": "tlob",
    "model.params": OF_TLOB,
    "leak_audit.params": OF_TLOB,
    "window.length": 60,
    "snapshots.levels": 3,
    "snapshots.interval_ms": 2000,
    "snapshots.per_minute": 4,
    "snapshots.block": 4,
    "optimize.space": "{width: [4], layers: [1], window_length: [60], batch_size: [32]}",
}
TCN = {"tcn_channels": 4, "lstm_hidden": 4, "lstm_layers": 1, "lstm_dropout": 0.0}
COLUMNS = [*FEATURES, *sets.NAMES]
pytestmark = [
    pytest.mark.long,
    # A day's simulated messages are as many every minute.
    pytest.mark.filterwarnings("ignore::quantgod.dataset.scaling.ConstantFeatureWarning"),
]


@dataclass
class Project:
    """A project's folder, and the runs of its stages."""

    folder: Path
    runs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("archives", "bars", "labels", "features", "snapshots", "work")
        places = {f"data.{name}": str(self.folder / name) for name in names}
        store = {
            "tracking.uri": fresh_store(self.folder),
            "tracking.artifacts": str(self.folder / "mlruns"),
            "tracking.outbox": str(self.folder / "outbox"),
            "live.journal": str(self.folder / "live"),
        }
        self.settings = {**SETTINGS, **places, **store}

    def call(self, step: ModuleType, *options: str) -> Result:
        forget_experiments()
        given = [f"--set={key}={value}" for key, value in self.settings.items()]
        return CliRunner().invoke(
            step.main, ["--config", "tests/end_to_end/tiny.yaml", *given, *options]
        )

    def run(self, step: ModuleType, *upstream: str, **options: str) -> None:
        stage = step.__name__.rpartition(".")[2]
        runs = [f"--{name.replace('_', '-')}-run={self.runs[name]}" for name in upstream]
        more = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        done = self.call(step, *runs, *more)
        assert done.exit_code == 0, done.output
        self.runs[stage] = mlflow.last_active_run().info.run_id


@pytest.fixture(scope="module", autouse=True)
def quick_baseline() -> Iterator[None]:
    with few_trees():
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Everything up to the verdict, each stage in this process."""
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        made = Project(tmp_path_factory.mktemp("project"))
        made.run(steps.simulate)
        made.run(steps.etl, "simulate")
        made.run(steps.label, "etl")
        made.run(steps.features, "etl")
        made.run(steps.optimize, "label", "features")
        made.run(steps.train, "label", "features", "optimize")
        made.run(steps.audit, "label", "features", "optimize", "train")
        made.run(steps.register, "label", "features", "train", "audit")
        made.run(steps.evaluate, "register")
        made.run(steps.backtest, "etl", "optimize", "evaluate")
        made.run(steps.leak_audit, "etl", "optimize", "train", "audit")
        made.run(steps.gates, "register", "evaluate", "backtest", "leak_audit")
        yield made
    mlflow.set_tracking_uri(before)
    forget_experiments()


@pytest.fixture
def table(project: Project) -> pd.DataFrame:
    files = (
        project.folder / name / "linear" / "BTCUSDT.parquet" for name in ("labels", "features")
    )
    return whole_rows(learning_table(*files))


def trained(project: Project, folder: Path) -> NetworkSubject:
    """The network and the auditor as `train` and `audit` have left them."""
    return NetworkSubject(
        "audit",
        load_network(artifacts_of(project.runs["train"], "network", folder)),
        load_auditor(artifacts_of(project.runs["audit"], "auditor", folder)),
        64,
        "cpu",
    )


def test_the_version_answers_as_the_audit_does_on_the_same_rows(
    project: Project, table: pd.DataFrame, tmp_path: Path
) -> None:
    rows = table.iloc[-50:]
    said = load_version(NAME, 1).predict(rows)
    own = trained(project, tmp_path)
    seen = own.ask(RawMaterial(rows[COLUMNS].to_numpy()), np.arange(WINDOW - 1, 50))
    assert len(said) == 50 - WINDOW + 1
    base = seen.forecast.probabilities[:, PRIMARY]
    for kind, expected in (("base", base), ("prob", own.audited(seen.meta))):
        columns = [f"{kind}_{name}" for name in ("sell", "neutral", "buy")]
        np.testing.assert_allclose(said[columns], expected, atol=1e-6)
    spread = rows.assign(**{sets.NAMES[0]: rows[sets.NAMES[0]] + 0.3})
    moved = load_version(NAME, 1).predict(spread)
    assert np.abs(moved["base_sell"] - said["base_sell"]).max() > 0, "it looks at the 112"


def test_what_was_judged_is_what_is_answered_and_what_a_live_session_journals(
    project: Project, table: pd.DataFrame, tmp_path: Path
) -> None:
    """To the bit, though `live` makes the 112 of levels and seconds by itself."""
    judged = read_scored(artifacts_of(project.runs["evaluate"], "test", tmp_path / "test"))
    said = load_version(NAME, 1).predict(table).set_index("datetime").loc[judged["time"]]
    of = {kind: [f"{kind}_{name.lower()}" for name in CLASSES] for kind in ("base", "prob")}
    for ours, kind in (("base", "base"), ("auditor", "prob")):
        assert np.array_equal(judged[columns_of(ours)].to_numpy(), said[of[kind]].to_numpy()), ours
    assert judged[CONFIDENCE].tolist() == said[CONFIDENCE].tolist()
    assert [CLASSES[action] for action in judged["action"]] == said["action"].tolist()

    rows = read_sources("BTCUSDT", tmp_path / "none", project.folder / "bars/linear", 0, 10**9)
    first = int(np.searchsorted(rows.minutes, judged["time"].iloc[0].timestamp() // 60))
    minutes = [closed_of(rows, place) for place in range(first, first + LIVED)]
    kept = lived(tmp_path, load_model(NAME, 1, fetch(NAME, 1), FIT), rows, minutes)
    assert len(kept) == LIVED
    both = said.index.intersection(kept.index)
    assert said.loc[both, "base_buy"].nunique() == len(both) >= LIVED // 8
    names = [*of["base"], *of["prob"], CONFIDENCE]
    assert np.array_equal(kept.loc[both, names].to_numpy(), said.loc[both, names].to_numpy())
    assert kept.loc[both, "action"].tolist() == said.loc[both, "action"].tolist()


def lived(
    folder: Path, model: LoadedModel, rows: SourceRows, minutes: list[ClosedMinute]
) -> pd.DataFrame:
    """What a session journals of these minutes, after what was stored before them."""
    models = SimpleNamespace(champion=lambda: model, challenger=lambda: None)
    first = int(np.searchsorted(rows.minutes, minutes[0].bar.minute))

    async def play(journal: Journal) -> None:
        window = Window(BRIDGE)
        window.fill(MinuteRows(rows.minutes[:first], rows.features[:first]), rows)
        engine = Engine({"X": window}, {"X": models}, journal, lambda notice: None)
        running = asyncio.create_task(engine.run())
        for closed in minutes:
            engine.closed("X", closed, now())
            await until(lambda: not engine._unanswered)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    writing = load_settings(Path("conf/full.yaml")).live.journaling
    with Journal(folder / "live", {"BARS": BARS, "SIGNALS": SIGNALS}, writing) as journal:
        asyncio.run(play(journal))
    return read_table(folder / "live", "SIGNALS").to_pandas().set_index("datetime")


def test_the_version_says_what_it_takes_and_refuses_less(
    project: Project, table: pd.DataFrame
) -> None:
    version = load_version(NAME, 1)
    assert version.contract.features == COLUMNS
    assert version.contract.feature_set == "minute_bars/1+book_candle_indicator/1"
    with pytest.raises(mlflow.MlflowException, match=r"missing_column: imb_1, .* not given"):
        version.predict(table[list(FEATURES)].iloc[-50:])
    body = json.loads((project.folder / "work" / f"{NAME}.example.json").read_text())
    assert body["dataframe_split"]["columns"] == ["datetime", *COLUMNS]
    package = mlflow.artifacts.download_artifacts(f"models:/{NAME}/1")
    reference = read_reference(next(Path(package).rglob("reference.json")).parent)
    assert reference is not None and list(reference.features) == COLUMNS


def test_its_lineage_names_the_features_and_the_gates_have_looked_at_it(project: Project) -> None:
    client = MlflowClient()
    made = lineage_of(client.get_model_version(NAME, "1"))
    assert made.runs["features"] == project.runs["features"]
    assert made.data.keys() >= {"labels", "features", "bars"}
    for stage in ("optimize", "train", "audit", "register", "evaluate", "gates"):
        tags = client.get_run(project.runs[stage]).data.tags
        assert tags["quantgod.input.features"] == made.data["features"], stage
    assert "quantgod.input.features" not in client.get_run(project.runs["backtest"]).data.tags
    tables = mlflow.artifacts.load_dict(f"runs:/{project.runs['evaluate']}/tables.json")
    assert "indicator features" in json.dumps(tables)
    leaks = mlflow.artifacts.load_dict(f"runs:/{project.runs['leak_audit']}/leak_audit.json")
    assert leaks["leaks"] == [] and leaks["messages"]
    assert leaks["compared"]["network features"] > 0 and leaks["nearest"]["network features"] == 1


def test_features_that_changed_since_are_told_of(project: Project) -> None:
    path = project.folder / "features" / "linear" / "BTCUSDT.parquet"
    kept = path.read_bytes()
    try:
        changed = pd.read_parquet(path)
        changed.iloc[-1, 0] += 1.0
        changed.to_parquet(path)
        told = project.call(steps.gates, "--version", "1")
    finally:
        path.write_bytes(kept)
    assert told.exit_code == 1
    said = " ".join(told.output.split())
    assert "OtherEvidenceError" in said and "was made of features" in said


@pytest.fixture(scope="module")
def of_books(project: Project) -> Project:
    """A network of the book and the 112, on the same archives up to its verdict."""
    made = copy(project)
    made.settings, made.runs = {**project.settings, **OF_BOOKS}, {**project.runs}
    made.run(steps.snapshots, "etl")
    data = ("label", "features", "snapshots")
    made.run(steps.optimize, *data)
    made.run(steps.train, *data, "optimize")
    made.run(steps.audit, *data, "optimize", "train")
    made.run(steps.register, *data, "train", "audit")
    made.run(steps.evaluate, "register")
    made.run(steps.backtest, "etl", "optimize", "evaluate")
    # One cut alone, so gates take no leak audit; tests of the leak audit are at all of them.
    behind = ("etl", "snapshots", "optimize", "train", "audit")
    made.run(steps.leak_audit, *behind, cut="2024-01-01T20:00Z")
    made.run(steps.gates, "register", "evaluate", "backtest")
    return made


def test_a_network_of_the_book_is_trained_and_audited_on_blocks_that_its_runs_name(
    of_books: Project, tmp_path: Path
) -> None:
    network = load_network(artifacts_of(of_books.runs["train"], "network", tmp_path))
    assert network.inputs.shapes == {"book": (4, 3, 4), "aux": (112,)}
    for stage in ("optimize", "train", "audit"):
        tags = MlflowClient().get_run(of_books.runs[stage]).data.tags
        assert tags["quantgod.upstream.snapshots"] == of_books.runs["snapshots"]
        assert {"quantgod.input.features", "quantgod.input.snapshots"} <= tags.keys(), stage
    held = ("labels", "features", "snapshots")
    places = [of_books.folder / name / "linear" / "BTCUSDT" for name in held]
    files = [*(path.with_suffix(".parquet") for path in places[:2]), places[2]]
    table, blocks = learned_from(dict(zip(held, files, strict=True)))
    assert blocks is not None and blocks.book == (4, 3)
    assert (blocks.places_of(pd.DatetimeIndex(whole_rows(table).index)) >= 0).all()


def test_a_member_of_the_book_is_trained_beside_one_of_bars_and_its_folds_are_audited(
    of_books: Project, tmp_path: Path
) -> None:
    said = tuple(f"{key}={value}" for key, value in of_books.settings.items())
    values = load_settings(Path("tests/end_to_end/tiny.yaml"), values_from(said, {}))
    members = {"book": {}, "bars": {"model": {"name": "tcn_lstm", "params": TCN}}}
    config, whole = tmp_path / "members.yaml", values.model_dump(mode="json")
    config.write_text(yaml.safe_dump({**whole, "members": members}))
    forget_experiments()
    told = CliRunner().invoke(steps.train.main, ["--config", str(config)])
    assert told.exit_code == 0, told.output
    made = mlflow.artifacts.load_dict(f"runs:/{mlflow.last_active_run().info.run_id}/members.json")
    looked = {}
    for name, run in made.items():
        tags = MlflowClient().get_run(run).data.tags
        looked[name] = [of for of in ("features", "snapshots") if f"quantgod.input.{of}" in tags]
        rows = pd.read_parquet(artifacts_of(run, "out_of_fold", tmp_path / name) / "rows.parquet")
        assert len(rows) and np.isfinite(rows[["base_buy", "majority_buy"]]).all(axis=None)
    assert looked == {"book": ["features", "snapshots"], "bars": []}

    forget_experiments()
    given = ["--config", str(config), "--member", "book"]
    audited = CliRunner().invoke(steps.audit.main, given)
    assert audited.exit_code == 0, audited.output
    run = mlflow.last_active_run().info.run_id
    assert MlflowClient().get_run(run).data.tags["quantgod.upstream.train"] == made["book"]
    folds = mlflow.artifacts.load_dict(f"runs:/{run}/folds.json")
    assert [fold["reused"] for fold in folds] == [True, True]


def test_what_is_judged_of_stored_blocks_is_what_the_venues_books_are_answered_with(
    of_books: Project, tmp_path: Path
) -> None:
    """To the bit, for the minutes of the test part; so is what a session makes of the messages."""
    judged = read_scored(artifacts_of(of_books.runs["evaluate"], "test", tmp_path))
    places = (of_books.folder / name / "linear/BTCUSDT.parquet" for name in ("labels", "features"))
    table = whole_rows(learning_table(*places))
    first = table.index.get_loc(judged["time"].iloc[0])
    rows = table.iloc[first - 59 : first + 30]
    day = of_books.folder / "snapshots" / "linear" / "BTCUSDT" / f"{rows.index[0]:%Y-%m-%d}.parquet"
    books = [None] * 59 + [*read_books(day, rows.index[59:].as_unit("s").asi8 // 60)]
    posted = rows.assign(book=pd.Series(books, index=rows.index, dtype=object))
    said = load_version(BOOKS_NAME, 1).predict(posted).set_index("datetime")
    both = judged.set_index("time").loc[judged["time"].isin(said.index).to_numpy()]
    assert len(both) > 1
    for ours, kind in (("base", "base"), ("auditor", "prob")):
        answered = said.loc[both.index, [f"{kind}_{name.lower()}" for name in CLASSES]]
        assert np.array_equal(both[columns_of(ours)].to_numpy(), answered.to_numpy()), ours
    assert both[CONFIDENCE].tolist() == said.loc[both.index, CONFIDENCE].tolist()
    assert both[[*columns_of("base"), CONFIDENCE]].nunique().min() == len(both)

    minutes = streamed(of_books.folder, BookShape(4, 3, 2_000))
    sources = read_sources("BTCUSDT", tmp_path / "none", of_books.folder / "bars/linear", 0, 10**9)
    assert [one.bar.minute for one in minutes] == sources.minutes.tolist()
    at = int(np.searchsorted(sources.minutes, judged["time"].iloc[0].timestamp() // 60))
    model = load_model(
        BOOKS_NAME, 1, fetch(BOOKS_NAME, 1), FIT._replace(book=BookShape(4, 3, 2_000))
    )
    kept = lived(tmp_path, model, sources, minutes[at : at + 30])
    assert len(kept) == 30
    said_of = [f"{kind}_{name.lower()}" for kind in ("base", "prob") for name in CLASSES]
    names = [*said_of, CONFIDENCE]
    assert np.array_equal(kept.loc[said.index, names].to_numpy(), said[names].to_numpy())
    assert kept.loc[said.index, "action"].tolist() == said["action"].tolist()


def streamed(folder: Path, shape: BookShape) -> list[ClosedMinute]:
    """The rows of the archived messages, as a session that samples the book closes them."""
    (archive,) = (folder / "archives").rglob("*.zip")
    bars = BookBars(BybitBookSync("BTCUSDT"), 5, BRIDGE, shape=shape)
    with open_archive(archive, etl_settings().limits) as opened:
        taken = [bars.receive(decode(line)) for line in lines(opened.chunks(), 10**6)]
    taken.append(bars.finish())
    closed = [minute for one in taken for minute in one.closed]
    return [minute for minute in closed if minute.bar.features is not None]


def test_the_gates_have_looked_at_a_network_of_the_book(of_books: Project) -> None:
    leaks = mlflow.artifacts.load_dict(f"runs:/{of_books.runs['leak_audit']}/leak_audit.json")
    assert leaks["leaks"] == [] and leaks["messages"]
    for stage in ("network books", "snapshots of the book"):
        assert leaks["compared"][stage] > 0 and leaks["nearest"][stage] == 1, stage
    made = lineage_of(MlflowClient().get_model_version(BOOKS_NAME, "1"))
    assert made.runs["snapshots"] == of_books.runs["snapshots"]
    for stage in ("register", "evaluate", "leak_audit", "gates"):
        tags = MlflowClient().get_run(of_books.runs[stage]).data.tags
        assert tags["quantgod.input.snapshots"] == made.data["snapshots"], stage
    tables = mlflow.artifacts.load_dict(f"runs:/{of_books.runs['evaluate']}/tables.json")
    assert "snapshots of the book" in json.dumps(tables)
