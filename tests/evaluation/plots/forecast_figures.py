"""Figures of forecasts of returns, of simulated ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from matplotlib.figure import Figure

from quantgod.evaluation.forecasts.evaluate import ForecastEvaluation, evaluate_forecasts
from quantgod.evaluation.forecasts.outcomes import Outcomes
from quantgod.evaluation.plots import forecasts as plots
from quantgod.served.candles.quantiles import NORMAL
from tests.evaluation.forecasts.matured import matured

COINS = ("BTC", "ETH", "XRP")
DAYS = np.arange("2024-01-01", "2025-01-01", dtype="datetime64[D]")


@cache
def outcomes() -> tuple[Outcomes, ...]:
    return tuple(
        matured(3, steps, 700, COINS, foresight=0.25, clusters=0.5) for steps in (1, 7, 30)
    )


@cache
def evaluation() -> ForecastEvaluation:
    return evaluate_forecasts(outcomes(), "subject")


def with_a_jump() -> Outcomes:
    """The same one day ahead, and one day on which a coin rose as no other."""
    first = outcomes()[0]
    return replace(first, y=np.where(np.arange(len(first)) == 77, 27.0, first.y))


def course(epochs: int, rate: float, unit: str = "epoch") -> plots.Course:
    falling = np.exp(-np.arange(epochs) / epochs * 3)
    above = falling + 0.3 * (np.arange(epochs) / epochs) ** 2
    errors = {"1 day": 0.8 + 0.1 * above, "30 days": 0.9 + 0.1 * above}
    return plots.Course(
        (0.4 + falling).tolist(), (0.5 + above).tolist(), 12.5 * epochs, int(above.argmin()),
        {"MAE": errors, "MSE": {name: one**2 for name, one in errors.items()}},
        [] if unit == "tree" else (rate * np.linspace(1, 0.1, epochs)).tolist(), unit,
    )  # fmt: skip


def courses() -> dict[str, plots.Course]:
    return {
        "bilstm_attention": course(40, 5e-4),
        "causal_transformer": course(25, 1e-3),
        "lightgbm": course(300, 0.03, "tree"),
    }


def fan(coin: str, scale: float) -> plots.Fan:
    close = scale * np.exp(np.cumsum(0.02 * np.sin(np.arange(120) * 1.7)) + np.arange(120) / 400)
    ahead = np.array([1, 7, 30])
    wide = np.exp(0.03 * np.sqrt(ahead)[:, None] * NORMAL + 0.001 * ahead[:, None])
    due = DAYS[119] + ahead.astype("timedelta64[D]")
    return plots.Fan(coin, DAYS[:120], close, due, close[-1] * wide)


def shares() -> dict[str, dict[str, np.ndarray]]:
    moving = 0.3 + 0.2 * np.sin(np.arange(len(DAYS)) / 40)
    experts = {"bilstm_attention": moving, "lightgbm": 0.6 - moving,
               "random_walk": np.full(len(DAYS), 0.4)}  # fmt: skip
    return {"1 day": experts, "30 days": {name: one[::-1] for name, one in experts.items()}}


def attention() -> np.ndarray:
    raw = np.exp(np.arange(60) / 20 + np.cos(np.arange(366)[:, None] / 30 + np.arange(60) / 5))
    return raw / raw.sum(axis=1, keepdims=True)


def gains() -> dict[str, dict[str, float]]:
    return {
        horizon: {f"feature_{place}": place * speed % 37 + 1.0 for place in range(60)}
        for horizon, speed in (("1 day", 7), ("7 days", 11))
    }


FORECAST_FIGURES: dict[str, Callable[[], Figure]] = {
    "fans": lambda: plots.fan_chart([fan("BTC", 60_000), fan("ETH", 3_000), fan("XRP", 0.6)]),
    "widths": lambda: plots.coverage(evaluation()),
    "model comparison": lambda: plots.model_comparison(evaluation()),
    "loss curves": lambda: plots.loss_curves(courses()),
    "metrics progression": lambda: plots.metrics_progression(courses()),
    "learning rates": lambda: plots.learning_rates(courses()),
    "training summary": lambda: plots.training_summary(
        courses(),
        {"ensemble": {"1 day": 0.99, "7 days": 1.0}, "random_walk": {"1 day": 1.01, "7 days": 1.0}},
    ),
    "attention": lambda: plots.attention_heatmap(DAYS, attention()),
    "feature importance": lambda: plots.feature_importance(gains()),
    "ensemble weights": lambda: plots.ensemble_weights(DAYS, shares()),
    "predictions": lambda: plots.predictions_vs_actual(outcomes(), ["subject", "drift"]),
    "residuals": lambda: plots.residual_analysis([with_a_jump(), outcomes()[1]], "subject"),
    "skill by year": lambda: plots.skill_by_year(evaluation()),
    "pit": lambda: plots.pit(evaluation()),
}
