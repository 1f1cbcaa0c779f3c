"""Time a few steps of the real work on this machine.

On the CPU processor seconds are measured, so that other work on the machine matters little.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch

from quantgod.archive.kernel import read_archive
from quantgod.archive.zip_writer import write_zip
from quantgod.contracts import (
    BOOK_COLUMNS,
    CLASSES,
    FEATURES,
    MS_PER_MINUTE,
    PRIMARY,
    SECOND_FIGURES,
)
from quantgod.dataset.feature_table import SourceRows, feature_days
from quantgod.dataset.samples import Samples
from quantgod.models import zoo
from quantgod.planning.at_hand import MINUTES_A_DAY, Inventory
from quantgod.settings import Choice, Range, Settings, with_values
from quantgod.simulation.archives import price_path, start_ms
from quantgod.simulation.market import SimulatedMarket
from quantgod.training.devices import (
    autocast,
    choose_device,
    fast_matrix_products,
    seeded,
    with_threads,
)
from quantgod.training.objectives import objective_of
from quantgod.training.space import joined_space
from quantgod.training.state import TrainingState
from quantgod.training.steps import take_step
from quantgod.training.trial import trial_settings

STEPS: Final = 5
MOST_SECONDS: Final = 2.0
"""Maximal seconds of timing one kind of step; the quickest step counts."""

CPU_WINDOWS: Final = 8
"""Batch size for timing on the CPU: a window costs as much as in a larger batch, except for small
networks whose step takes less than `QUICK_SECONDS`; these are timed with the settings' batch.
"""
QUICK_SECONDS: Final = 0.1

DRAWS: Final = 2
"""Number of networks of the search space that are timed."""

SLICE_MINUTES: Final = 10
TELLING_SECONDS: Final = 0.3
"""Minimal seconds for a slice of an archive's day; the slice grows fourfold until it takes them."""


class WindowSeconds(NamedTuple):
    """Seconds per window for forward and backward pass, and for the forward pass only."""

    trained: float
    forecast: float


class DaySeconds(NamedTuple):
    """Seconds to simulate a day of archives, and to read it on one core."""

    simulated: float
    read: float


def time_network(settings: Settings) -> WindowSeconds:
    """Time the settings' network on random windows."""
    device = choose_device(settings.train.device)
    with with_threads(settings.train.threads):
        found = _time_few(settings, device)
        if device.type != "cpu" or torch.get_num_threads() == 1:
            return found
    # Beside other work threads wait for each other, at a full core's cost each; one alone does not.
    with with_threads(1):
        return WindowSeconds(*map(min, found, _time_few(settings, device)))


def time_folds(settings: Settings) -> WindowSeconds:
    """Time the same network as folds are trained: with one thread, unless settings say more."""
    return time_network(with_values(settings, {"train.threads": settings.train.threads or 1}))


def _time_few(settings: Settings, device: torch.device) -> WindowSeconds:
    """Time a small batch, or a whole one if that is quick."""
    batch = settings.train.batch_size
    few = min(batch, CPU_WINDOWS) if device.type == "cpu" else batch
    found = _time_batch(settings, device, few)
    is_quick = few < batch and found.trained * few < QUICK_SECONDS
    return _time_batch(settings, device, batch) if is_quick else found


def _time_batch(settings: Settings, device: torch.device, count: int) -> WindowSeconds:
    book = settings.snapshots.block, settings.snapshots.levels
    shapes = zoo.inputs(settings.model.name, settings.window.length, book).shapes
    with seeded(0, device), fast_matrix_products(device):
        label = settings.label
        ahead = tuple(one.horizon_minutes for one in (label, *label.further))
        objective = objective_of(settings.train, ahead)
        model = zoo.build(
            settings.model.name,
            settings.model.params,
            shapes=shapes,
            heads=objective.heads,
            seed=0,
        ).to(device)
        state = TrainingState.fresh(model, settings.train, device)
        views = {name: torch.randn(count, *of, device=device) for name, of in shapes.items()}
        targets = objective.targets(_noise(count, ahead)).to(device)

        def train() -> None:
            model.train()
            take_step(state, views, targets, objective, settings.train)

        def forecast() -> None:
            model.eval()
            with torch.inference_mode(), autocast(device):
                model(**views)

        return WindowSeconds(*(_seconds(step, device) / count for step in (train, forecast)))


def _noise(count: int, horizons: tuple[int, ...]) -> Samples:
    """Return samples whose labels are any."""
    classes = (np.arange(count)[:, None] + np.arange(len(horizons))) % len(CLASSES)
    minutes = np.arange(count) * MS_PER_MINUTE
    taken = Samples.of_times(minutes, minutes, minutes)
    return replace(
        taken,
        target=classes[:, PRIMARY],
        classes=classes,
        returns=(classes - 1).astype(np.float64),
        volatility=np.ones(count),
        horizons=horizons,
    )


def time_searched(settings: Settings) -> WindowSeconds:
    """Time some networks that the search may choose, and return their mean."""
    space = joined_space(settings.model, settings.optimize.space)
    draw = random.Random(settings.optimize.seed)
    timed = [
        time_network(trial_settings(settings, {name: _drawn(draw, space[name]) for name in space}))
        for _ in range(min(DRAWS, settings.optimize.trials))
    ]
    return WindowSeconds(*(statistics.mean(values) for values in zip(*timed, strict=True)))


def _drawn(draw: random.Random, values: list[Choice] | Range) -> Choice:
    return (
        draw.uniform(values.low, values.high) if isinstance(values, Range) else draw.choice(values)
    )


def time_small(settings: Settings) -> WindowSeconds:
    """Time the leak audit's network, which runs on the CPU."""
    model = settings.model.model_copy(update={"params": settings.leak_audit.params})
    train = settings.train.model_copy(update={"device": "cpu"})
    return time_network(settings.model_copy(update={"model": model, "train": train}))


def time_day(settings: Settings, have: Inventory) -> DaySeconds:
    """Time the first minutes of an available archive, or else of a simulated one."""
    with tempfile.TemporaryDirectory(prefix="quantgod-") as folder:
        path = Path(folder) / "slice.zip"
        simulated, written = _a_day(partial(_simulate, settings, path), MINUTES_A_DAY)
        symbol, date = settings.data.symbol, settings.simulate.start
        if have.archives:
            newest, written = have.archives[0], MINUTES_A_DAY
            path, symbol, date = newest.path, newest.symbol, newest.date
        midnight = int(np.datetime64(date, "m").astype(np.int64))

        def read(minutes: int) -> None:
            read_archive(path, symbol, date, settings.etl, None, midnight + minutes)

        return DaySeconds(simulated, _a_day(read, written)[0])


def time_features() -> float:
    """Time the 112 features of a day's minutes; return the seconds of one minute."""
    drawn = np.random.default_rng(0)
    minutes = np.arange(MINUTES_A_DAY)
    widths = len(FEATURES), len(BOOK_COLUMNS), len(SECOND_FIGURES)
    nine, book, seconds = (drawn.uniform(1, 2, (MINUTES_A_DAY, width)) for width in widths)
    rows = SourceRows(minutes, nine / 1_000, drawn.uniform(1, 2, MINUTES_A_DAY), book, seconds)
    began = time.process_time()
    for _ in feature_days([rows], 0):
        pass
    return (time.process_time() - began) / MINUTES_A_DAY


def _simulate(settings: Settings, path: Path, minutes: int) -> None:
    """Write an archive of the first minutes of a simulated day."""
    short = settings.simulate.model_copy(update={"days": 1, "prices": None})
    market = SimulatedMarket(settings.data.symbol, short, price_path(short), start_ms(short))
    messages = minutes * MS_PER_MINUTE // short.cadence_ms
    write_zip(path, "slice", [market.lines(0, 0, 1), market.lines(0, 1, messages)])


def _a_day(work: Callable[[int], None], most: int) -> tuple[float, int]:
    """Return the extrapolated seconds of a day, and the number of minutes timed.

    Compiled code takes as long to load as many minutes to work on, so that one is done before.
    """
    work(1)
    minutes = min(SLICE_MINUTES, most)
    while True:
        began = time.process_time()
        work(minutes)
        took = time.process_time() - began
        if took >= TELLING_SECONDS or minutes == most:
            return took * MINUTES_A_DAY / minutes, minutes
        minutes = min(4 * minutes, most)


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    """Return the time of the quickest of a few steps; other work only makes steps slower."""
    times: list[float] = []
    begin, clock = time.perf_counter(), _clock(device)
    while len(times) < STEPS and (not times or time.perf_counter() - begin < MOST_SECONDS):
        began = clock()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - began)
    return min(times)


def _clock(device: torch.device) -> Callable[[], float]:
    """Return a clock of work: on the CPU processor seconds divided by the threads."""
    if device.type != "cpu":
        return time.perf_counter
    threads = torch.get_num_threads()
    return lambda: time.process_time() / threads
