"""Judge networks on many markets in parallel; each result is kept as a file, so work can resume.

Only results are kept: a market's archives and bars are deleted afterwards.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from quantgod.contracts import PRIMARY, Forecast, Progress, silent
from quantgod.evaluation.comparison import Comparison, ModelOutput, compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.evidence import read_evidence, write_evidence
from quantgod.forecasters.baselines import baselines
from quantgod.gates.judge import beats
from quantgod.gates.report import Gate
from quantgod.gates.zoo.market import ZooMarket, make_market, views_of
from quantgod.gates.zoo.power import (
    LINEAR,
    RIVALS,
    Market,
    Sight,
    ZooPower,
    markets,
    network_settings,
    widening,
)
from quantgod.models import zoo
from quantgod.parallel.work import Crash, Workers, ending_with, run_all
from quantgod.settings import Settings
from quantgod.training.devices import use_threads
from quantgod.training.fitting import fit_network
from quantgod.training.predict import predict

OnSight = Callable[[Sight], None]

WORKSHOP: Final = "making-"
LOCK: Final = "lock"
"""The file in a run's own folder that it holds locked while it lives."""


class ZooError(RuntimeError):
    """A market could not be judged; names the market and the reason."""


def run_zoo(
    settings: Settings,
    folder: Path,
    on_sight: OnSight = lambda sight: None,
    progress: Progress = silent,
) -> ZooPower:
    """Judge every network of `settings.zoo` on every market, `zoo.workers` markets at a time.

    Args:
        settings: of the experiment.
        folder: for results and intermediate files. Results found there are reused, and all of them
            are returned, so the folder must belong to these settings and this code. Several runs
            may use it at a time.
        on_sight: called with each new result.
        progress: called with the number of finished markets.

    Raises:
        SettingsError: for an unknown network or setting.
        ZooError: naming the markets where a stage failed; all others are finished first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asked = markets(settings.zoo)
    for network in settings.zoo.networks:
        zoo.architecture(network)
        network_settings(network, settings)
    left = [one for one in asked if _missing(one, settings, folder)]
    done, crashes = len(asked) - len(left), []
    progress(done, len(asked), "")
    workers = Workers(settings.zoo.workers, settings.etl.scheduler)
    with _workshop(folder) as place:
        work = partial(judge_market, settings=settings, folder=folder, place=place)
        for made in run_all(work, left, workers):
            done += 1
            if isinstance(made.result, Crash):
                crashes.append(f"{made.given.name}: {made.result.error}")
            else:
                for sight in made.result:
                    on_sight(sight)
            progress(done, len(asked), made.given.name)
    if crashes:
        raise ZooError("; ".join(crashes))
    return kept_results(folder)


def kept_results(folder: Path) -> ZooPower:
    """Return all results in a folder, in order of network, kind and seed."""
    sights = [read_evidence(path, Sight) for path in sorted(folder.glob("*.json"))]
    return ZooPower(sights=tuple(sights))


def judge_market(market: Market, settings: Settings, folder: Path, place: Path) -> list[Sight]:
    """Make a market below `place`, judge the networks without a result of it, and write each."""
    use_threads(settings.train.threads)
    own, progress = market.settings(settings), ending_with(os.getppid())
    with tempfile.TemporaryDirectory(prefix=f"{market.name}-", dir=place) as rooms:
        judge = _Judge(market, make_market(own, Path(rooms), progress), own, progress)
        found = []
        for network in _missing(market, settings, folder):
            found.append(judge.sight(network))
            write_evidence(_kept(folder, network, market), found[-1])
    return found


class _Judge:
    """Train networks on one market, and compare each with its rivals."""

    def __init__(
        self, market: Market, made: ZooMarket, settings: Settings, progress: Progress
    ) -> None:
        self._market, self._made, self._settings = market, made, settings
        self._progress = progress
        self._test, self._scores = made.test, settings.gates.beats_on
        self._widening = widening(settings.zoo.looks)
        given = baselines(made.table, made.train, made.test, settings.label)
        self._rivals = {name: given[name] for name in RIVALS if name in given}
        self._rivals[LINEAR] = self._trained(LINEAR)[1]

    def sight(self, network: str) -> Sight:
        """Train a network and compare it with its rivals."""
        began = time.perf_counter()
        epoch, own = self._trained(network)
        seconds = time.perf_counter() - began
        effective = effective_rows(self._test.time_ms, self._test.label_end_ms)
        outputs = {name: _said(one) for name, one in ({network: own} | self._rivals).items()}
        found = compare(self._test.target, outputs, effective)
        return Sight(
            kind=self._market.kind,
            is_null=self._market.is_null,
            seed=self._market.seed,
            network=network,
            gates=tuple(self._gates(network, found)),
            scores={
                name: {score: one[score].value for score in self._scores}
                for name, one in found.models.items()
            },
            effective_rows=effective,
            best_epoch=epoch,
            seconds=round(seconds, 1),
        )

    def _gates(self, network: str, found: Comparison) -> Iterator[Gate]:
        for rival, scores in found.differences.items():
            for score in self._scores:
                yield beats(rival, score, scores[score].widened(self._widening), network)

    def _trained(self, network: str) -> tuple[int, Forecast]:
        """Return the best epoch of a network and its forecasts of the test part."""
        own, made = network_settings(network, self._settings), self._made
        views = views_of(network, made, own)
        fitted = fit_network(
            own.model, own.train, views, made.train, made.validation, progress=self._progress
        )
        rows, size = made.test.row, own.train.batch_size
        weights = fitted.objective.class_weights
        said = predict(fitted.model, views, rows, size, weights, device=own.train.device)
        return fitted.fit.best_epoch, said


def _said(forecast: Forecast) -> ModelOutput:
    return ModelOutput(forecast.tilted[:, PRIMARY], forecast.decided[:, PRIMARY])


def _missing(market: Market, settings: Settings, folder: Path) -> list[str]:
    """Return the networks that have no result of this market."""
    networks = settings.zoo.networks
    return [network for network in networks if not _kept(folder, network, market).exists()]


def _kept(folder: Path, network: str, market: Market) -> Path:
    return folder / f"{network}-{market.name}.json"


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """Yield a folder of this run's own, and remove those of runs that were killed."""
    for other in folder.glob(f"{WORKSHOP}*"):
        with suppress(OSError), (other / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(other)
    place = Path(tempfile.mkdtemp(prefix="new-", dir=folder))
    with (place / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = place.rename(folder / f"{WORKSHOP}{place.name}")
        try:
            yield place
        finally:
            shutil.rmtree(place)
