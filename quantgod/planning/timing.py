"""A few steps of the real work, timed on this machine."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch

from quantgod.archive.kernel import read_archive
from quantgod.archive.zip_writer import write_zip
from quantgod.contracts import CLASSES, FEATURES, MS_PER_MINUTE
from quantgod.models import zoo
from quantgod.planning.at_hand import MINUTES_A_DAY, AtHand
from quantgod.settings import Choice, Range, Settings
from quantgod.simulation.archives import price_path, start_ms
from quantgod.simulation.market import SimulatedMarket
from quantgod.training.devices import (
    autocast,
    choose_device,
    fast_matrix_products,
    seeded,
    use_threads,
)
from quantgod.training.objectives import WeightedCrossEntropy
from quantgod.training.space import joined_space
from quantgod.training.state import TrainingState
from quantgod.training.steps import take_step
from quantgod.training.trial import trial_settings

STEPS: Final = 5
MOST_SECONDS: Final = 2.0
"""Of one kind of step, of which the quickest counts."""

CPU_WINDOWS: Final = 8
"""A batch on the CPU, where a window costs the same in a larger one; elsewhere the settings'."""

DRAWS: Final = 2
"""Networks of the search's space that are timed."""

SLICE_MINUTES: Final = 10
"""Of an archive's day."""


class WindowSeconds(NamedTuple):
    """Seconds a window, through forward and backward pass and through the forward pass alone."""

    trained: float
    forecast: float


class DaySeconds(NamedTuple):
    """Seconds a day of archives: to simulate it, and to read it on one core."""

    simulated: float
    read: float


def time_network(settings: Settings) -> WindowSeconds:
    """Time the settings' network on windows of noise."""
    device = choose_device(settings.train.device)
    use_threads(settings.train.threads)
    count, length = settings.train.batch_size, settings.window.length
    count = min(count, CPU_WINDOWS) if device.type == "cpu" else count
    with seeded(0, device), fast_matrix_products(device):
        model = zoo.build(
            settings.model.name,
            settings.model.params,
            features=len(FEATURES),
            window=length,
            seed=0,
        ).to(device)
        state = TrainingState.fresh(model, settings.train, device)
        windows = torch.randn(count, length, len(FEATURES), device=device)
        targets = torch.arange(count, device=device) % len(CLASSES)
        objective = WeightedCrossEntropy(settings.train.class_weights)

        def train() -> None:
            model.train()
            take_step(state, windows, targets, objective, settings.train.gradient_norm)

        def forecast() -> None:
            model.eval()
            with torch.inference_mode(), autocast(device):
                model(windows)

        return WindowSeconds(*(_seconds(step, device) / count for step in (train, forecast)))


def time_searched(settings: Settings) -> WindowSeconds:
    """Time some networks that the search may choose; gives their mean."""
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


def time_day(settings: Settings, have: AtHand) -> DaySeconds:
    """Time the first minutes of an archive at hand, or else of a simulated one."""
    with tempfile.TemporaryDirectory(prefix="quantgod-") as folder:
        simulated, path = _simulated_slice(settings, Path(folder))
        symbol, date = settings.data.symbol, settings.simulate.start
        if have.archives:
            newest = have.archives[0]
            path, symbol, date = newest.path, newest.symbol, newest.date
        midnight = int(np.datetime64(date, "m").astype(np.int64))

        def read(minutes: int) -> None:
            read_archive(path, symbol, date, settings.etl, None, midnight + minutes)

        read(1)
        began = time.perf_counter()
        read(SLICE_MINUTES)
        took = time.perf_counter() - began
    return DaySeconds(simulated, took * MINUTES_A_DAY / SLICE_MINUTES)


def _simulated_slice(settings: Settings, folder: Path) -> tuple[float, Path]:
    """Seconds that a simulated day takes, by its first minutes, and an archive of these."""
    short = settings.simulate.model_copy(update={"days": 1, "prices": None})
    market = SimulatedMarket(settings.data.symbol, short, price_path(short), start_ms(short))
    messages = SLICE_MINUTES * MS_PER_MINUTE // short.cadence_ms
    first = market.lines(0, 0, 1)
    path = folder / "slice.zip"
    began = time.perf_counter()
    write_zip(path, "slice", [first, market.lines(0, 1, messages)])
    return (time.perf_counter() - began) * MINUTES_A_DAY / SLICE_MINUTES, path


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    """The quickest of a few steps: what else the machine does makes them only slower."""
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < STEPS and (not times or time.perf_counter() - begin < MOST_SECONDS):
        began = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times)
