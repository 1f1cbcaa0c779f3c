"""Open the study of a search, guard it against concurrent use, and retry trials of dead processes.

By default a study is a journal file used by one process at a time, so every trial found running in
it is dead. A database can be shared by any number of machines: each running trial has a heartbeat
there, and a trial whose heartbeat stops is dead. Dead trials are tried again.
"""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError

from quantgod.settings import Choice, OptimizeSettings, SettingsError, without_passwords

JOURNAL: Final = "journal"
HEARTBEAT_SECONDS: Final = 60
RETRIES: Final = 3
DRIVER_PACKAGES: Final = {
    "mysqldb": "mysqlclient",
    "mysqlconnector": "mysql-connector-python",
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
}
"""Package names of database drivers, where they differ from the driver's name."""

Made = TypeVar("Made")

FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)


class StudyError(RuntimeError):
    """A study cannot be used: it is locked, has other settings, or has no result."""


@contextmanager
def opened_study(
    settings: OptimizeSettings,
    folder: Path,
    first: Mapping[str, Choice],
    heartbeat_seconds: int = HEARTBEAT_SECONDS,
) -> Iterator[optuna.Study]:
    """Create or resume the study: in `folder` if it is a journal, else in its database.

    Trial 0 tries the values of `first`, where it has any.

    Raises:
        SettingsError: if the storage is neither `journal` nor a URL that can be used here.
        StudyError: if another process uses the journal, or the database does not answer.
    """
    check_storage(settings.storage)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = SeededTPE(settings.seed, first)
    if settings.storage != JOURNAL:
        try:
            storage = _tried_again(lambda: _database(settings.storage, heartbeat_seconds))
        except OperationalError as error:
            place = without_passwords(settings.storage)
            raise StudyError(f"optimize.storage: {place} does not answer: {error.orig}") from None
        yield _tried_again(lambda: _study(settings, storage, sampler))
        return
    journal = folder / f"{settings.study}.journal"
    with _sole_user(journal):
        _tidy(journal)
        study = _study(settings, JournalStorage(JournalFileBackend(str(journal))), sampler)
        _retry_dead(study)
        yield study


def check_storage(storage: str) -> None:
    """Check that a storage is `journal` or a database URL whose driver is installed.

    Raises:
        SettingsError: naming the URL (without its password) and what to install.
    """
    if storage == JOURNAL:
        return
    place = without_passwords(storage)
    if "://" not in storage:
        raise SettingsError(
            f"optimize.storage: journal or a database URL was expected, got {place!r}"
        )
    try:
        dialect = make_url(storage).get_dialect()
    except ArgumentError as error:
        raise SettingsError(
            "optimize.storage: a database URL that SQLAlchemy knows was expected, such as "
            f"postgresql://USER@HOST/NAME, got {place!r}: {error}"
        ) from None
    try:
        dialect.import_dbapi()
    except ImportError as error:
        package = DRIVER_PACKAGES.get(dialect.driver, dialect.driver)
        raise SettingsError(
            f"optimize.storage: {place} needs the driver {dialect.driver}, which cannot be "
            f"imported ({error}): `pip install {package}`"
        ) from None


def finished_trials(study: optuna.Study) -> int:
    """Return the number of completed and pruned trials."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def running_trials(study: optuna.Study, known: set[int]) -> int:
    """Return the number of running trials; those whose heartbeat stopped are queued again.

    A trial that was killed before its first heartbeat has none that could stop, and Optuna would
    take it for alive for ever: those that are not in `known` are given one, and put into it.
    """
    with _experimental():
        optuna.storages.fail_stale_trials(study)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in running:
        if trial.number not in known and isinstance(study._storage, BaseHeartbeat):
            study._storage.record_heartbeat(trial._trial_id)
        known.add(trial.number)
    return len(running)


class SeededTPE(BaseSampler):
    """TPE whose random numbers depend only on the seed and the trial's number.

    So a resumed search does not repeat its first draws, and machines that share a study draw
    different values. Trial 0 takes the values of `first` instead of drawing them. A queued trial
    could do this too, but SQLite may hand a queued trial to two machines at once.
    """

    def __init__(self, seed: int, first: Mapping[str, Choice]) -> None:
        self._seed, self._first = seed, first

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Do as TPE does."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Do as TPE does, but choose nothing for trial 0."""
        if trial.number == 0:
            return {}
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Do as TPE does, with a separate generator for each parameter."""
        if trial.number == 0 and param_name in self._first:
            return self._first[param_name]
        sampler = self._of(trial, *param_name.encode())
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _of(self, trial: FrozenTrial, *more: int) -> TPESampler:
        mixed = np.random.SeedSequence([self._seed, trial.number, *more])
        return TPESampler(seed=int(mixed.generate_state(1)[0]))


def _study(
    settings: OptimizeSettings, storage: optuna.storages.BaseStorage, sampler: BaseSampler
) -> optuna.Study:
    return optuna.create_study(
        study_name=settings.study,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=sampler,
        pruner=optuna.pruners.MedianPruner(settings.startup_trials, settings.warmup_steps),
    )


def _database(url: str, heartbeat_seconds: int) -> RDBStorage:
    # SQLite lets one process write at a time; the others wait this long for their turn.
    patient = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    with _experimental():
        return RDBStorage(
            url,
            engine_kwargs={"pool_pre_ping": True, **patient},
            heartbeat_interval=heartbeat_seconds,
            grace_period=3 * heartbeat_seconds,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(RETRIES),
        )


def _tried_again(make: Callable[[], Made], attempts: int = 5) -> Made:
    """Retry: two machines that open a new database at once may both try to create its tables."""
    for _ in range(attempts - 1):
        try:
            return make()
        except (OperationalError, IntegrityError):
            continue
    return make()


@contextmanager
def _sole_user(journal: Path) -> Iterator[None]:
    """Lock the study for this process; the system releases the lock however the process ends."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.with_suffix(".owner").open("w") as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyError(
                f"{journal}: another process is searching with it; give optimize.storage a "
                "database URL to let several join one study"
            ) from None
        yield


def _tidy(journal: Path) -> None:
    """Remove what a killed process may have left: its lock, and an incomplete last line."""
    Path(f"{journal}.lock").unlink(missing_ok=True)
    if journal.exists():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with journal.open("rb+") as opened:
                opened.truncate(whole)


def _retry_dead(study: optuna.Study) -> None:
    with _experimental():
        retry = RetryHeartbeatStaleTrialCallback(RETRIES)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        retry(study, trial)


@contextmanager
def _experimental() -> Iterator[None]:
    """Silence the warning that heartbeats are experimental; keep all other warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
