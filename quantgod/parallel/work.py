"""Do the same work on many inputs with joblib: in this process, several, or a Dask cluster."""

from __future__ import annotations

import os
import signal
import socket
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

import joblib

from quantgod.contracts import Progress, silent
from quantgod.settings.commands import DASK

# A process that has grown since its first work is replaced between two works: nothing is lost.
warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor")

_KNOCK_SECONDS: Final = 3.0
_BY_TCP: Final = ("tcp", "tls")

Input = TypeVar("Input")
Output = TypeVar("Output")


class Places(Protocol):
    """Where work is done: on a Dask cluster if there is a scheduler, else in processes."""

    @property
    def workers(self) -> int:
        """Processes of this machine; 0 is one a core."""

    @property
    def scheduler(self) -> str | None:
        """Address of a Dask scheduler, or None."""


class ClusterError(RuntimeError):
    """A Dask cluster cannot be used; names its scheduler and what to do."""


class Workers(NamedTuple):
    """Processes of this machine, or the scheduler of a cluster in their place."""

    workers: int
    scheduler: str | None = None


@dataclass(frozen=True)
class Crash:
    """An exception of the work as text, so that it can travel between machines."""

    error: str
    trace: str


@dataclass(frozen=True)
class TaskResult(Generic[Input, Output]):
    """An input and its result."""

    given: Input
    result: Output | Crash


def check_schedulers(*schedulers: str | None) -> None:
    """Check within seconds that something answers at each scheduler's address that is given.

    Raises:
        ClusterError: if nothing answers, or it is no address, with what to do.
    """
    for scheduler in filter(None, schedulers):
        try:
            _knock(scheduler)
        except (OSError, ValueError) as error:
            raise no_scheduler(scheduler, error) from None


def _knock(scheduler: str) -> None:
    place = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
    if place.scheme not in _BY_TCP:
        return  # Dask's own client tells
    if place.hostname is None or place.port is None:
        raise ValueError("an address such as tcp://HOST:8786 was expected")
    socket.create_connection((place.hostname, place.port), _KNOCK_SECONDS).close()


def no_scheduler(scheduler: str, error: Exception) -> ClusterError:
    """Return the error that no scheduler answers, with what to do."""
    return ClusterError(
        f"no Dask scheduler answers at {scheduler} ({error}): start one in the project's folder "
        f"with `{DASK} scheduler`, or leave the scheduler out to work on this machine"
    )


def worker_count(places: Places, jobs: int) -> int:
    """Return the number of processes for `jobs` on this machine; a cluster has its own."""
    return max(1, min(places.workers or joblib.cpu_count(), jobs))


def run_all(
    work: Callable[[Input], Output], inputs: Sequence[Input], places: Places
) -> Generator[TaskResult[Input, Output]]:
    """Do `work` on every input and yield results as they finish; an exception becomes a `Crash`.

    Inputs start in the given order. `work` is an importable function, or a `partial` of one. Who
    closes the results ends what is not done: processes are ended, and a cluster starts no more.

    Raises:
        ClusterError: if the scheduler does not answer, has no worker, or is lost.
        RuntimeError: if a process of this machine is killed.
    """
    if not inputs:
        return
    with _backend(places.scheduler):
        run = joblib.Parallel(
            n_jobs=worker_count(places, len(inputs)),
            # An input is seconds of work: batching or queueing would only tie it to a worker.
            batch_size=1,
            pre_dispatch="n_jobs",
            return_as="generator_unordered",
            initializer=leave_ctrl_c_to_the_parent,
        )
        results = run(joblib.delayed(_guarded)(work, given) for given in inputs)
        try:
            for result in results:  # noqa: UP028  (that would close them before the warning is off)
                yield result
        finally:
            with warnings.catch_warnings(action="ignore"):  # of results that nobody wants any more
                results.close()


def leave_ctrl_c_to_the_parent() -> None:
    """Ignore Ctrl-C in this worker; the process that started it handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def ending_with(parent: int) -> Progress:
    """Return a progress function for a worker that raises once its parent process is gone.

    Work that the experiment does itself, as it does for one worker, ends with it anyway: its parent
    is the shell, which may end before.
    """
    if parent_process() is None:
        return silent

    def progress(done: int, total: int, note: str) -> None:
        if os.getppid() != parent:
            raise RuntimeError("the experiment that asked for it is gone")

    return progress


@contextmanager
def _backend(scheduler: str | None) -> Iterator[None]:
    if scheduler is None:
        yield
        return
    # Importing Dask takes a second, which only users of a cluster should pay.
    from quantgod.parallel.cluster import cluster  # noqa: PLC0415

    with cluster(scheduler, _lost):
        yield


def _lost(calls: Sequence[tuple[Any, Any, Any]], why: str) -> list[TaskResult[Any, Any]]:
    return [TaskResult(given, Crash(f"its worker died: {why}", "")) for _, (_, given), _ in calls]


def _guarded(work: Callable[[Any], Any], given: Any) -> TaskResult[Any, Any]:
    try:
        return TaskResult(given, work(given))
    except Exception as error:  # reported when all others have finished
        return TaskResult(given, Crash(f"{type(error).__name__}: {error}", traceback.format_exc()))
