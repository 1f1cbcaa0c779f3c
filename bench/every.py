"""What epochs over every n-th minute cost in score: `python -m bench.every`.

Neighbouring minutes share 59 of the 60 minutes of their labels, so that an epoch over all of them
pays sixty times for one piece of news. Here a small network learns from planted markets whose
labels look an hour ahead, as those of full.yaml do, with as many epochs each time: over every
minute, or over every n-th, and the next epoch over others. The test part judges. Differences are
paired by market, and their 95 % intervals are Student's, over markets.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from scipy.stats import t as student

from bench.figures import put
from bench.running import RESULTS
from quantgod.archive.etl import run_etl
from quantgod.archive.store import load_bars
from quantgod.contracts import PRIMARY, Floats, Forecast, Integers
from quantgod.dataset.labels import label
from quantgod.dataset.samples import Samples, samples
from quantgod.dataset.splits import split_test
from quantgod.evaluation.metrics import log_loss, macro_f1
from quantgod.models import zoo
from quantgod.settings import Settings, load_settings, with_values
from quantgod.simulation.archives import write_archives
from quantgod.tracking.machine import machine
from quantgod.training.fitting import fit_network
from quantgod.training.material import Material, material, train_and_validation
from quantgod.training.predict import predict

CONFIG: Final = Path("conf/power.yaml")
MARKET: Final = {
    "simulate.days": 48,
    "simulate.cadence_ms": 4000,
    "simulate.lead_minutes": 30,
    "label.horizon_minutes": 60,
    "label.buy_above": 0.005,
    "label.sell_below": -0.005,
    "window.stride": 1,
    "train.epochs": 20,
    "train.patience": 20,
}
"""A market of `make power`, but that leans tell half of the hour that labels look ahead.

No training stops early, so that seconds compare.
"""
EVERY: Final = (1, 10, 30, 60)
MARKETS, FIRST_SEED = 3, 900


class Training(NamedTuple):
    """One training: processor seconds, and scores on the test part."""

    seconds: float
    macro_f1: float
    log_loss: float


class Parts(NamedTuple):
    """A market's parts, and what a network sees of them."""

    train: Samples
    validation: Samples
    test: Samples
    material: Material


def main() -> int:
    """Train on every market by every pace, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.every", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS}")
    asked, console = parser.parse_args(), Console()
    torch.set_num_threads(1)
    trained: dict[int, list[Training]] = {every: [] for every in EVERY}
    for seed in range(FIRST_SEED, FIRST_SEED + MARKETS):
        settings = load_settings(CONFIG, {**MARKET, "simulate.seed": seed, "train.seed": seed})
        made = prepared(table_of(settings), settings)
        for every, done in trained.items():
            done.append(train(made, with_values(settings, {"train.every": every})))
            console.log(f"market {seed}, every {every}: {done[-1]}")
    text = f"{table(trained)}\n\nMeasured on {machine()}."
    console.print(text)
    if asked.write:
        page = RESULTS.read_text(encoding="utf-8")
        RESULTS.write_text(put(page, {"every": text}), encoding="utf-8")
    return 0


def table_of(settings: Settings) -> pd.DataFrame:
    """Simulate a market, and return its labelled minutes."""
    with tempfile.TemporaryDirectory() as name:
        archives, bars = Path(name, "archives"), Path(name, "bars")
        write_archives(archives, settings.data.symbol, settings.simulate)
        run_etl(archives, bars, settings.etl)
        stored = load_bars(bars, settings.data.symbol)
    return label(stored, settings.label, settings.etl.max_bridge_minutes)


def prepared(minutes: pd.DataFrame, settings: Settings) -> Parts:
    """Split a table as `train` and `evaluate` do, and scale it by the training part."""
    window, stride, split = settings.window.length, settings.window.stride, settings.split
    train, validation = train_and_validation(minutes, window, stride, split)
    taken = samples(minutes, window, stride)
    test = taken.take(split_test(taken, split).other)
    inputs = zoo.inputs(settings.model.name, window)
    return Parts(train, validation, test, material(minutes, train, inputs))


def train(made: Parts, settings: Settings) -> Training:
    """Train a network, and judge it on the test part."""
    views, chosen = made.material.views, settings.train
    began = time.process_time()
    fitted = fit_network(settings.model, chosen, views, made.train, made.validation)
    seconds = time.process_time() - began
    told = predict(
        fitted.model, views, made.test.row, chosen.batch_size, chosen.class_weights,
        device=chosen.device,
    )  # fmt: skip
    return Training(seconds, *judged(made.test.target, told))


def judged(target: Integers, forecast: Forecast) -> tuple[float, float]:
    """Macro-F1 and log-loss at the primary horizon."""
    decided, probabilities = forecast.decided[:, PRIMARY], forecast.probabilities[:, PRIMARY]
    return macro_f1(target, decided), log_loss(target, probabilities)


def table(trained: dict[int, list[Training]]) -> str:
    """A row for each pace: its time, its scores, and how far they are from those of the first."""
    whole = np.array(trained[EVERY[0]])
    lines = [
        "| an epoch sees every | time | macro-F1 | log-loss | macro-F1 less | log-loss more |",
        "|---|---|---|---|---|---|",
    ]
    for every, done in trained.items():
        own = np.array(done)
        seconds, f1, loss = own.mean(axis=0)
        share = own[:, 0].sum() / whole[:, 0].sum()
        cost = [said(whole[:, 1] - own[:, 1]), said(own[:, 2] - whole[:, 2])]
        words = cost if every != EVERY[0] else ["", ""]
        lines.append(
            f"| {every} min | {share:.3f} ({seconds:.0f} s) | {f1:.3f} | {loss:.3f} "
            f"| {' | '.join(words)} |"
        )
    return "\n".join(lines)


def said(differences: Floats) -> str:
    """`0.012 [0.003, 0.021]`: the mean of the differences, and its interval."""
    count, mean = len(differences), differences.mean()
    if count < 2:
        return f"{mean:.3f}"
    half = student.ppf(0.975, count - 1) * differences.std(ddof=1) / count**0.5
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
