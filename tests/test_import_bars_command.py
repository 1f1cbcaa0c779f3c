"""Candles of one's own, from a CSV to a trained network, by the commands."""

from __future__ import annotations

from pathlib import Path

import click
import mlflow
import pytest
from click.testing import CliRunner

import steps.check
import steps.import_bars
import steps.label
import steps.main
import steps.optimize
import steps.snapshots
import steps.train
from quantgod.contracts import Series
from quantgod.dataset.scaling import ConstantFeatureWarning
from quantgod.dataset.series import table_series
from quantgod.planning import estimate
from quantgod.settings import Settings, load_settings
from quantgod.tracking import pipeline
from quantgod.tracking.stage import stage
from quantgod.training.best import BestParameters
from tests.archive.test_own_bars import BOOK_FEATURES, candles
from tests.conftest import forget_experiments
from tests.stores import fresh_store

TINY = Path("tests/end_to_end/tiny.yaml")


def searched(settings: Settings, **found: object) -> str:
    """A finished search whose best trial is what the settings say, but for this."""
    best = BestParameters(
        study="x",
        trial=0,
        trials=1,
        score=0.5,
        model=settings.model,
        learning_rate=settings.train.learning_rate,
        batch_size=settings.train.batch_size,
        window_length=settings.window.length,
    )
    with stage("optimize", settings) as run:
        run.json("best", best.model_copy(update=found).model_dump(mode="json"))
        run.output()
    return run.run_id


def stop(*_: object, **__: object) -> None:
    raise ValueError("no stage is to run")


@pytest.mark.long
def test_candles_become_labels_and_a_network_that_is_told_what_they_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    places = {f"data.{name}": tmp_path / name for name in ("bars", "labels", "work")}
    places |= {
        "tracking.uri": fresh_store(tmp_path),
        "tracking.artifacts": tmp_path / "mlruns",
        "tracking.outbox": tmp_path / "outbox",
        "data.symbol": "BTCUSD_PERP",
        "data.market": "inverse",
    }
    config = ["--config", str(TINY)]
    given = [*config, *(f"--set={name}={value}" for name, value in places.items())]
    before = mlflow.get_tracking_uri()

    def run(command: click.Command, *options: str) -> str:
        forget_experiments()
        done = CliRunner().invoke(command, [*given, *options])
        assert done.exit_code == 0, done.output
        return done.output

    csv = tmp_path / "FILUSDT_1m.csv"
    bars = candles(3_000)
    bars.assign(open_time=bars.index.as_unit("us").asi8).to_csv(csv, index=False)
    try:
        of_another = [*config, f"--set=data.bars={tmp_path / 'bars'}", "--source", str(csv)]
        done = CliRunner().invoke(steps.import_bars.main, of_another)
        said = " ".join(done.output.replace("│", " ").split())
        assert done.exit_code == 2, said
        assert "after FILUSDT, and the settings' symbol is BTCUSDT: give --symbol FILUSDT" in said
        assert not (tmp_path / "bars").exists()
        said = run(steps.import_bars.main, "--source", str(csv), "--unit", "us")
        assert "named after FILUSDT, and stored as bars of BTCUSD_PERP" in said
        assert f"zero in every row: {', '.join(BOOK_FEATURES)}" in said
        run(steps.label.main)
        labels = tmp_path / "labels" / "inverse" / "BTCUSD_PERP.parquet"
        assert table_series(labels) == Series("BTCUSD_PERP", "inverse", "candles")
        with pytest.warns(ConstantFeatureWarning, match=", ".join(BOOK_FEATURES)):
            best = searched(load_settings(TINY, places), window_length=30)
            said = run(steps.train.main, "--optimize-run", best)
        assert "replaced by the search: window.length: 120 -> 30\n" in said

        monkeypatch.setattr(pipeline, "run_stage", stop)
        for name in ("time_machine", "estimate"):
            monkeypatch.setattr(estimate, name, lambda *_: None)
        monkeypatch.setattr(steps.check, "show_estimate", lambda _: None)
        for_bars = "alone learns from them (`model.name: tcn_lstm`)"
        for command, own, looks in (
            (steps.main.main, "tlob", "main: features and snapshots cannot be made of the bars at"),
            (steps.train.main, "cnn_lstm", "train: features cannot be made of the bars at"),
            (steps.snapshots.main, "tlob", "snapshots: snapshots cannot be made of the bars at"),
        ):
            plain = "model.params={};optimize.space={};leak_audit.params={};data.source=imported"
            done = CliRunner().invoke(command, [*given, f"--set=model.name={own};{plain}"])
            assert looks in done.output and for_bars in done.output, done.output
        imported, without = "--set=data.source=imported", "not backtested"
        unusable = "--set=optimize.storage=nonsense://me:secret@host/db"
        refused = "optimize.storage: a database URL that SQLAlchemy"
        for command, options, expected in (
            (steps.check.main, [imported, unusable], [without, refused]),
            (steps.main.main, [imported], [without]),
            (steps.main.main, [unusable], [refused]),
            (steps.optimize.main, [unusable], [refused]),
        ):
            done = CliRunner().invoke(command, [*given, *options])
            said = " ".join(done.output.replace("│", " ").split())
            assert all(text in said for text in expected), said
            assert "secret" not in said
    finally:
        mlflow.set_tracking_uri(before)
