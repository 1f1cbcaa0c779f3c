"""Forecasts of candles by their command, from simulated candles and bars to a report."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner

import steps.candles
import steps.forecast
from quantgod.evaluation.evidence import LEAK_AUDIT_FILE, LeakAuditResult, read_evidence
from tests.archive.candles.test_bars import store
from tests.conftest import forget_experiments
from tests.stores import fresh_store

TREES = "{rows: 1, leaves: 4, trees: 20, least_rows: 50, patience: 5}"
TINY = f"""
inherits: {Path("conf/forecast_demo.yaml").resolve()}
candles: {{simulate: {{candles: 900}}}}
train: {{epochs: 2}}
forecast:
  folds: 2
  window: 8
  draws: 3
  workers: 1
  members:
    lightgbm: {{params: {TREES}}}
    bilstm: {{params: {{hidden: 4}}}}
    transformer: {{params: {{width: 8, feed_forward: 8}}}}
"""
NETWORKS_OF_003 = """
forecast:
  horizons: [15]
  gates: {horizons: [15], leak_audit: false}
  members:
    ridge: {model: ridge}
    direction:
      model: lstm_direction
      params: {hidden: 4, layers: 1}
      train: {objective: direction, class_weights: [1.0, 1.0, 1.0]}
    trend:
      model: transformer_trend
      params: {width: 8, layers: 1, attention_heads: 2}
      train: {objective: trend, class_weights: [1.0, 1.0, 1.0]}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a command on folders of its own; gives its exit status and what it says."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = tmp_path / "tiny.yaml"
    places = {
        "data.work": tmp_path / "work",
        "data.bars": tmp_path / "bars",
        "candles.folder": tmp_path / "candles",
        "forecast.ledger": tmp_path / "ledger.parquet",
        "tracking.uri": fresh_store(tmp_path),
        "tracking.artifacts": tmp_path / "mlruns",
        "tracking.outbox": tmp_path / "outbox",
    }

    def invoke(*options: str, text: str = TINY, command=steps.forecast.main) -> tuple[int, str]:
        forget_experiments()
        config.write_text(text, encoding="utf-8")
        given = [f"--set={name}={value}" for name, value in places.items()]
        done = CliRunner().invoke(command, ["--config", str(config), *given, *options])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, " ".join(done.output.split())

    return invoke


def newest_run() -> mlflow.entities.Run:
    (found,) = mlflow.search_runs(
        search_all_experiments=True, output_format="list", max_results=1,
        filter_string="tags.`quantgod.stage` = 'forecast'", order_by=["start_time DESC"],
    )  # fmt: skip
    return found


@pytest.mark.long
def test_a_newcomer_gets_a_report_and_each_setting_another_run(run, tmp_path: Path) -> None:
    status, said = run()
    assert status == 0, said
    assert "coverage_80_1" in said and "report/report.html" in said
    assert "leak audit: nothing looks ahead, to the candle" in said
    found = newest_run()
    assert found.info.run_name.startswith("forecast BTCUSDT ETHUSDT 20")
    kept = Path(found.info.artifact_uri.removeprefix("file://"))
    audited = read_evidence(kept / LEAK_AUDIT_FILE, LeakAuditResult)
    assert audited.passed and audited.compared["forecasts of bilstm"]
    page = (kept / "report" / "report.html").read_text(encoding="utf-8")
    assert "Skill of the mean over no change" in page and "bilstm" in page
    record = json.loads((kept / "report" / "training_report.json").read_text(encoding="utf-8"))
    assert set(record["members"]) == {"bilstm", "transformer"}
    figures = {path.stem for path in (kept / "figures").glob("*.png")}
    assert {
        "loss_curves", "metrics_progression", "learning_rates", "attention_heatmap",
        "feature_importance", "model_comparison", "predictions_vs_actual", "residual_analysis",
        "ensemble_weights", "training_summary", "fan_chart", "coverage", "pit",
    } <= figures  # fmt: skip
    metrics = found.data.metrics
    assert 0 < metrics["selection_jaccard"] <= 1
    assert {"walk_pinball_skill_1", "test_coverage_95_7", "bilstm_validation_loss"} <= set(metrics)

    quick = "--set=forecast.gates.leak_audit=false"
    status, said = run(quick, "--members", "ridge,lightgbm", "--folds", "1", "--trials", "2")
    assert status == 0, said
    assert "the best of 2 trials" in said and "bilstm" not in said.partition("Gates")[0]
    status, said = run(quick, "--members", "ridge", "--coins", "BTCUSDT", "--no-ensemble")
    assert status == 0, said
    assert "members are judged alone, gates ask ridge" in said
    assert "stacking" not in said and "ensemble  " not in said


@pytest.mark.long
def test_networks_of_document_003_learn_from_candles_and_from_bars(run, tmp_path: Path) -> None:
    minutes = (
        "candles: {interval: 1m, coins: [BTCUSDT], source: simulate, simulate: {candles: 1500}}"
    )
    begin = TINY[: TINY.index("candles:")]
    rest = "train: {epochs: 2}\n" + NETWORKS_OF_003.replace(
        "forecast:", "forecast:\n  folds: 1\n  window: 20\n  only: [ridge, direction, trend]"
    )
    status, said = run(text=f"{begin}{minutes}\n{rest}")
    assert status == 0, said
    assert "15 minutes" in said and "direction" in said, said
    store(tmp_path, set())
    bars = minutes.replace("simulate,", "bars,").replace("1m,", "1m, market: linear,")
    status, said = run(text=f"{begin}{bars}\n{rest}", command=steps.candles.main)
    assert status == 0, said
    of_bars = "forecast.name=quantgod-of-bars"  # a name is of one series
    status, said = run("--set", of_bars, text=f"{begin}{bars}\n{rest}")
    assert status == 0, said


def test_what_cannot_be_made_is_told_in_a_line(run) -> None:
    status, said = run("--set", "candles.source=store")
    assert status == 1 and "forecast needs candles" in said, said
    status, said = run("--members", "nobody")
    assert status == 2 and "no member nobody" in said
    status, said = run("--set", "forecast.members.ridge.params={alpha: 1}")
    assert status == 1 and "ridge: unknown parameter alpha" in said
