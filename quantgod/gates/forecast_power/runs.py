"""Judge forecasters of many series in parallel; each result is kept, so that work can resume."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from quantgod.contracts import Progress, silent
from quantgod.evaluation.evidence import read_evidence, write_evidence
from quantgod.evaluation.forecasts.run import ForecastHooks, run_forecasts
from quantgod.gates.forecast_power.power import (
    Finding,
    ForecastPower,
    Series,
    finding_of,
    series_of,
)
from quantgod.gates.forecasts import judge_forecasts
from quantgod.parallel.work import Crash, ending_with, run_all
from quantgod.settings import Settings
from quantgod.simulation.candles import simulate_candles
from quantgod.training.devices import use_threads

OnFinding = Callable[[Finding], None]


class ForecastPowerError(RuntimeError):
    """A series could not be judged; names the series and the reason."""


def run_forecast_power(
    settings: Settings,
    folder: Path,
    on_finding: OnFinding = lambda finding: None,
    progress: Progress = silent,
) -> ForecastPower:
    """Make and judge a forecaster of every series of `settings.forecast_power`, side by side.

    Args:
        settings: of the experiment.
        folder: for results, and for folds of series that are not done. What is found there is
            reused, so the folder must belong to these settings and this code. Workers of a cluster
            see it under the same path.
        on_finding: called with each new result.
        progress: called with the number of finished series.

    Raises:
        ClusterError: if the cluster cannot be used.
        SettingsError: for fewer looks than null series times horizons.
        ForecastPowerError: naming the series that failed; all others are finished first.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    asked, crashes = series_of(settings), []
    found = {
        one: read_evidence(path, Finding) for one in asked if (path := _kept(folder, one)).exists()
    }
    progress(len(found), len(asked), "")
    left = [one for one in asked if one not in found]
    work = partial(judge_series, settings=settings, folder=folder)
    for done, made in enumerate(run_all(work, left, settings.forecast_power), start=1):
        if isinstance(made.result, Crash):
            crashes.append(f"{made.given.name}: {made.result.error}")
        else:
            found[made.given] = made.result
            on_finding(made.result)
        progress(len(asked) - len(left) + done, len(asked), made.given.name)
    if crashes:
        raise ForecastPowerError("; ".join(crashes))
    return ForecastPower(
        findings=tuple(found[one] for one in asked), found_in=settings.forecast_power.found_in
    )


def judge_series(series: Series, settings: Settings, folder: Path) -> Finding:
    """Simulate a series, make a forecaster of it, judge it, and write what it has found."""
    use_threads(settings.train.threads)
    began, ending = time.perf_counter(), ending_with(os.getppid())
    own, place = series.settings(settings), folder / series.name
    coins = [simulate_candles(own.candles, coin) for coin in own.candles.coins]
    run = run_forecasts(coins, own, place, ForecastHooks(progress=ending), own.forecast_power.looks)
    gates = judge_forecasts(run.evaluation, own.forecast.gates)
    seconds = time.perf_counter() - began
    found = finding_of(series, run.evaluation, gates, own, seconds)
    write_evidence(_kept(folder, series), found)
    shutil.rmtree(place, ignore_errors=True)  # one that outlived a kill may still write there
    return found


def _kept(folder: Path, series: Series) -> Path:
    return folder / f"{series.name}.json"
