"""The report of forecasts says plainly what is shown and what is not, on one page."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest

from quantgod.evaluation.forecasts.evaluate import evaluate_forecasts
from quantgod.evaluation.intervals import Interval
from quantgod.gates.forecasts import judge_forecasts
from quantgod.report.forecasts import (
    ForecastMaterial,
    forecast_report,
    training_report,
)
from quantgod.report.forecasts.findings import headlines, percent, weaknesses
from quantgod.report.forecasts.tables import main_tables, price_tables, year_tables
from quantgod.settings.forecasting import ForecastGateSettings
from tests.evaluation.forecasts.matured import matured, normal
from tests.evaluation.plots.forecast_figures import (
    DAYS,
    attention,
    courses,
    evaluation,
    fan,
    gains,
    outcomes,
    shares,
)
from tests.report.test_report import HOSTILE, Page

DOCUMENTED = {
    "loss_curves", "metrics_progression", "learning_rates", "attention_heatmap",
    "feature_importance", "model_comparison", "predictions_vs_actual", "residual_analysis",
    "ensemble_weights", "training_summary",
}  # fmt: skip


@cache
def whole() -> ForecastMaterial:
    return ForecastMaterial(
        evaluation(), outcomes(), judge_forecasts(evaluation(), ForecastGateSettings()),
        [fan("BTC", 60_000), fan(HOSTILE, 0.6)], courses(), DAYS, shares(), DAYS, attention(),
        gains(), {"seed": 7, "name": HOSTILE}, {"candles": "sha256 12ab"}, "simulated market",
    )  # fmt: skip


@cache
def small() -> ForecastMaterial:
    """One horizon of one coin, and no training."""
    rows = [matured(3, 1, 300, ("BTC",), foresight=0.25)]
    return replace(
        whole(), evaluation=evaluate_forecasts(rows, "subject"), outcomes=rows, courses={},
        attention=None, importance={},
    )  # fmt: skip


@cache
def null() -> ForecastMaterial:
    rows = []
    for one in (matured(8, steps, 400) for steps in (1, 30)):
        narrow = normal(one.forecasts["subject"].mean, 0.6)
        rows.append(replace(one, forecasts={**one.forecasts, "subject": narrow}))
    return ForecastMaterial(evaluate_forecasts(rows, "subject"), rows)


def test_the_page_is_whole_loads_nothing_and_trusts_no_name() -> None:
    report = forecast_report(small())
    page = Page(report.html)
    sources = [given.get("src") or "" for tag, given in page.tags if tag == "img"]
    assert len(sources) == len(report.images)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link")]
    assert HOSTILE in page.text and "Of a simulated market" in page.text
    assert page.text.index("Skill of the mean") < page.text.index("All forecasters, 1 day ahead")
    assert "sha256 12ab" in page.text and '"seed": 7' in page.text
    assert "loss_curves" not in report.images and "fan_chart" in report.images


@pytest.mark.long
def test_with_all_material_there_are_all_figures_of_document_002() -> None:
    report = forecast_report(whole())
    assert set(report.images) == {*DOCUMENTED, "fan_chart", "coverage", "pit", "skill_by_year"}
    assert all(f'id="figure-{name}"' in report.html for name in DOCUMENTED)


def test_skill_is_said_to_be_there_where_it_is() -> None:
    mean, width, *others = headlines(evaluation(), whole().gates)
    assert mean.startswith("Skill of the mean over no change: shown at 1 day")
    assert "widened for 3 looks" in mean
    assert "random walk with EWMA width" in width and "1 day" in width and "shown" in width
    assert "30 days" in width and "not judged" in width
    assert any("raw" in line and "of 95 %" in line for line in others)
    assert any(line.startswith("R² of prices 1 day ahead is BTC") for line in others)
    assert others[-1].startswith("Gates: 8 of 8 passed") or "FAIL" in others[-1]


def test_where_there_is_no_skill_the_report_says_so_and_names_what_is_wrong() -> None:
    mean, width, *_ = headlines(null().evaluation, ())
    assert "none is shown" in mean and "shown to be worse" in width
    told = " ".join(weaknesses(null().evaluation))
    assert "1 day ahead intervals are too narrow: that of 50 % held" in told
    assert "BTC, 1 day ahead intervals are too narrow" in told
    assert "30 days ahead nothing is proven: 400 dates hold" in told
    assert "30 days ahead intervals" not in told, "nothing is judged by 14 months"
    assert "1 day ahead random walk has the better width: -" in told
    assert "1 day ahead the width was worse than that of the random walk in 2019, 2020." in told


def test_a_floor_that_could_not_be_made_is_told() -> None:
    lack = "There is no floor of GARCH-t width"
    (one,) = small().outcomes
    floor = {"garch": one.forecasts["random_walk"]}
    with_it = evaluate_forecasts([replace(one, forecasts=one.forecasts | floor)], "subject")
    assert lack in " ".join(weaknesses(small().evaluation))
    assert lack not in " ".join(weaknesses(with_it))


@pytest.mark.parametrize("value", [Interval(-0.02, -0.03, -0.01), Interval(-0.02, -0.03, 0.01)])
def test_a_mean_is_called_worse_only_where_that_is_shown(value: Interval) -> None:
    first, *others = evaluation().horizons
    scores = msgspec.structs.replace(first.models["subject"], mse_skill={"zero": value})
    first = msgspec.structs.replace(first, models={**first.models, "subject": scores})
    told = weaknesses(msgspec.structs.replace(evaluation(), horizons=(first, *others)))
    worse = "1 day ahead the mean is worse than no change: -2.0 % [-3.0, -1.0]."
    assert (worse in told) == (value.high < 0)


def test_shares_are_written_with_as_many_decimals_as_they_are_known_to() -> None:
    assert percent(Interval(0.021, 0.004, 0.038)) == "2.1 % [0.4, 3.8]"
    assert percent(Interval(-0.00001, -0.0012, 0.0012)) == "0.00 % [-0.12, 0.12]"
    assert percent(Interval(0.5, 0.1, 0.9, False, "too few dates apart")) == (
        "50.0 % (too few dates apart)"
    )
    assert percent(None) == "-"


def test_tables_hold_a_cell_under_each_head_and_prices_never_stand_alone() -> None:
    tables = [*main_tables(evaluation()), *price_tables(evaluation()), *year_tables(evaluation())]
    assert {len(row) - len(table.head) for table in tables for row in table.body} == {0}
    titles = [table.title for table in tables]
    assert {"By coin, 7 days ahead", "Against others, 30 days ahead"} <= set(titles)
    (prices,) = price_tables(evaluation())
    assert prices.head.count("when the price stays") == 3 and len(prices.body) == 9
    years = next(table for table in tables if table.title == "By year, 1 day ahead")
    assert [row[:2] for row in years.body][:2] == [("all", "2019"), ("all", "2020")]


def test_the_record_of_a_training_is_json_and_says_what_the_page_says() -> None:
    found = training_report(whole())
    assert json.loads(json.dumps(found)) == found
    assert found["verdict"] == headlines(evaluation(), whole().gates)
    assert found["members"]["lightgbm"] | {"train_loss": 0, "validation_loss": 0} == {
        "unit": "tree", "number": 300, "kept": 202, "seconds": 3750.0, "train_loss": 0,
        "validation_loss": 0,
    }  # fmt: skip
    scores = found["scores"]["7 days"]["coins"]["ETH"]
    assert scores["prices"]["naive"]["r2"] > 0.5 and len(scores["pit"]) == 8
    assert [one["claimed"] for one in found["claims"]] == [
        one.is_made for one in evaluation().claims
    ]
    assert np.isfinite(scores["mse_skill"]["zero"][0])
