"""Rehearse many markets in parallel; each rehearsal is kept as a file, so work can resume.

Only a market's verdict is kept: its archives and bars, some gigabytes, are deleted afterwards.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from quantgod.contracts import Progress, silent
from quantgod.evaluation.evidence import read_evidence, write_evidence
from quantgod.gates.power import Market, Power, Rehearsal, markets
from quantgod.gates.power_curve import curve_markets
from quantgod.parallel.work import Crash, Workers, ending_with, run_all
from quantgod.registry.rehearsal import rehearse
from quantgod.settings import Settings
from quantgod.training.devices import use_threads

OnRehearsal = Callable[[Rehearsal], None]


class RehearsalError(RuntimeError):
    """A market's model could not be judged; names the market and the reason."""


def run_rehearsals(
    settings: Settings,
    folder: Path,
    on_rehearsal: OnRehearsal = lambda rehearsal: None,
    progress: Progress = silent,
) -> Power:
    """Judge a model on every market of `settings.power`, side by side.

    `power.workers` processes make them, or the workers of the cluster of `power.scheduler`, which
    see `folder` under the same path.

    Args:
        settings: of the experiment.
        folder: for rehearsals and intermediate files. Rehearsals found there are reused, so the
                folder must belong to these settings and this code.
        on_rehearsal: called with each rehearsal, including reused ones.
        progress: called with the number of finished ones.

    Raises:
        ClusterError: if the cluster cannot be used.
        RehearsalError: at the first market where a stage fails.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    _remove_left_over(folder)
    curve = settings.power.curve
    asked = markets(settings.power) if curve is None else curve_markets(settings.power, curve)
    found = {
        market: read_evidence(_kept(folder, market), Rehearsal) for market in _done(asked, folder)
    }
    for rehearsal in found.values():
        on_rehearsal(rehearsal)
    progress(len(found), len(asked), "")
    left = [market for market in asked if market not in found]
    work = partial(_rehearsal, settings=settings, folder=folder)
    for made in run_all(work, left, Workers(settings.power.workers, settings.power.scheduler)):
        if isinstance(made.result, Crash):
            raise RehearsalError(f"{made.given.name}: {made.result.error}")
        found[made.given] = made.result
        on_rehearsal(made.result)
        progress(len(found), len(asked), made.given.name)
    return Power(
        rehearsals=tuple(found[market] for market in asked),
        planted_passes=settings.power.planted_passes,
    )


def _remove_left_over(folder: Path) -> None:
    """Remove what a killed process has left."""
    for place in folder.iterdir():
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)


def _done(asked: Sequence[Market], folder: Path) -> list[Market]:
    return [market for market in asked if _kept(folder, market).exists()]


def _kept(folder: Path, market: Market) -> Path:
    return folder / f"{market.name}.json"


def _rehearsal(market: Market, settings: Settings, folder: Path) -> Rehearsal:
    """Rehearse one market in its own process and write the rehearsal to a file.

    The work folder has a new name each time: a worker that outlived a kill may still use the old
        one.
    """
    use_threads(settings.train.threads)
    with tempfile.TemporaryDirectory(
        prefix=f"{market.name}-", dir=folder, ignore_cleanup_errors=True
    ) as place:
        rehearsal = rehearse(market, settings, Path(place), ending_with(os.getppid()))
    write_evidence(_kept(folder, market), rehearsal)
    return rehearsal
