"""Whether the features' order matters to `mpd_transformer`: `python -m bench.feature_order`.

Its patches run over 14 neighbouring ones of the 112, so that which share a band is part of it. On
markets whose signal is a pattern of candles (`conf/zoo.yaml`) it learns from the features in the
order of the file, and from the same in one drawn at random. The test part judges; differences are
paired by market, and their 95 % intervals are Student's, over markets.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from bench.every import judged, said
from quantgod.archive.etl import run_etl
from quantgod.archive.store import load_bars
from quantgod.contracts import Floats
from quantgod.dataset.feature_file import read_features, write_features
from quantgod.dataset.inputs import WIDE, Inputs
from quantgod.dataset.labels import label
from quantgod.dataset.learning_table import whole_rows, with_features
from quantgod.dataset.samples import samples
from quantgod.dataset.splits import split_test
from quantgod.gates.zoo.power import Market, network_settings
from quantgod.served.features import sets
from quantgod.settings import Settings, load_settings
from quantgod.simulation.archives import write_archives
from quantgod.tracking.machine import machine
from quantgod.training.fitting import fit_network
from quantgod.training.material import material, train_and_validation
from quantgod.training.predict import predict

CONFIG: Final = Path("conf/zoo.yaml")
MARKETS, FIRST_SEED = 3, 950


def main() -> int:
    """Train on every market in both orders, and say how far the file's is ahead."""
    console = Console()
    torch.set_num_threads(1)
    scores = np.array(
        [of_market(seed, console) for seed in range(FIRST_SEED, FIRST_SEED + MARKETS)]
    )
    (f1, loss), (other_f1, other_loss) = scores.mean(axis=0)
    less_f1, less_loss = (scores[:, 0] - scores[:, 1]).T
    console.print(
        f"On {MARKETS} markets macro-F1 {f1:.3f} in the order of the file and {other_f1:.3f} in "
        f"another, {said(less_f1)} less; log-loss {loss:.3f} and {other_loss:.3f}, "
        f"{said(-less_loss)} more. Measured on {machine()}."
    )
    return 0


def of_market(seed: int, console: Console) -> list[tuple[float, float]]:
    """Macro-F1 and log-loss in the order of the file, and in one drawn at random."""
    settings = network_settings(
        "mpd_transformer", Market("candles", False, seed).settings(load_settings(CONFIG))
    )
    minutes = table_of(settings)
    names, found = np.array(sets.NAMES), []
    for order in (names, np.random.default_rng(seed).permutation(names)):
        found.append(scores_of(minutes.assign(**columns(minutes, order)), settings))
        console.log(f"market {seed}: {found[-1]}")
    return found


def columns(minutes: pd.DataFrame, order: np.ndarray) -> dict[str, Floats]:
    """The features of a table, each in another's place."""
    return {place: minutes[name].to_numpy() for place, name in zip(sets.NAMES, order, strict=True)}


def table_of(settings: Settings) -> pd.DataFrame:
    """Simulate a market, and return its labelled minutes with their features."""
    bridge = settings.etl.max_bridge_minutes
    with tempfile.TemporaryDirectory() as name:
        archives, bars, file = (Path(name, part) for part in ("archives", "bars", "features"))
        write_archives(archives, settings.data.symbol, settings.simulate)
        run_etl(archives, bars, settings.etl)
        write_features(bars, settings.data.series, file, bridge)
        labelled = label(load_bars(bars, settings.data.symbol), settings.label, bridge)
        return whole_rows(with_features(labelled, read_features(file)))


def scores_of(minutes: pd.DataFrame, settings: Settings) -> tuple[float, float]:
    """Train, and return macro-F1 and log-loss on the test part."""
    window, split = settings.zoo.features_rows, settings.split
    train, validation = train_and_validation(minutes, window, 1, split)
    taken = samples(minutes, window, 1)
    test = taken.take(split_test(taken, split).other)
    views = material(minutes, train, Inputs(window, (WIDE,))).views
    fitted = fit_network(settings.model, settings.train, views, train, validation)
    size, weights = settings.train.batch_size, settings.train.class_weights
    told = predict(fitted.model, views, test.row, size, weights, device=settings.train.device)
    return judged(test.target, told)


if __name__ == "__main__":
    sys.exit(main())
