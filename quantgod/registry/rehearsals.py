"""Rehearse many markets in parallel; each rehearsal is kept as a file, so work can resume.

Only a market's verdict is kept: its archives and bars, some gigabytes, are deleted afterwards.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import joblib

from quantgod.archive.parallel import ending_with, leave_ctrl_c_to_the_parent
from quantgod.contracts import Progress, silent
from quantgod.evaluation.evidence import read_evidence, write_evidence
from quantgod.gates.power import Market, Power, Rehearsal, markets
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
    """Judge a model on every market of `settings.power`, `power.workers` of them at a time.

    Args:
        settings: of the experiment.
        folder: for rehearsals and intermediate files. Rehearsals found there are reused, so the
                folder must belong to these settings and this code.
        on_rehearsal: called with each rehearsal, including reused ones.
        progress: called with the number of finished ones.

    Raises:
        RehearsalError: at the first market where a stage fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_left_over(folder)
    asked = markets(settings.power)
    found = {
        market: read_evidence(_kept(folder, market), Rehearsal) for market in _done(asked, folder)
    }
    for rehearsal in found.values():
        on_rehearsal(rehearsal)
    progress(len(found), len(asked), "")
    left = [market for market in asked if market not in found]
    for market, rehearsal in _side_by_side(left, settings, folder):
        found[market] = rehearsal
        on_rehearsal(rehearsal)
        progress(len(found), len(asked), market.name)
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


def _side_by_side(
    asked: Sequence[Market], settings: Settings, folder: Path
) -> Iterator[tuple[Market, Rehearsal]]:
    if not asked:
        return
    run = joblib.Parallel(
        n_jobs=min(settings.power.workers, len(asked)),
        batch_size=1,
        pre_dispatch="n_jobs",
        return_as="generator_unordered",
        initializer=leave_ctrl_c_to_the_parent,
    )
    yield from run(joblib.delayed(_rehearsal)(market, settings, folder) for market in asked)


def _rehearsal(market: Market, settings: Settings, folder: Path) -> tuple[Market, Rehearsal]:
    """Rehearse one market in its own process and write the rehearsal to a file.

    The work folder has a new name each time: a worker that outlived a kill may still use the old
        one.
    """
    use_threads(settings.train.threads)
    place = Path(tempfile.mkdtemp(prefix=f"{market.name}-", dir=folder))
    try:
        rehearsal = rehearse(market, settings, place, ending_with(os.getppid()))
    except (ValueError, RuntimeError, OSError) as error:
        raise RehearsalError(f"{market.name}: {type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
    write_evidence(_kept(folder, market), rehearsal)
    return market, rehearsal
