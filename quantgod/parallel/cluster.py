"""Use a Dask cluster as a joblib backend.

joblib's own Dask backend waits forever for work of a killed worker (it never calls back) and uses a
deprecated interface of joblib. This one always calls back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

import joblib
from distributed import Client
from joblib.parallel import ParallelBackendBase, SequentialBackend

from quantgod.parallel.work import ClusterError, check_schedulers, no_scheduler
from quantgod.settings.commands import DASK

_CONNECT_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 60.0

# A client whose scheduler is lost logs the traces of its attempts; `ClusterError` says it instead.
logging.getLogger("distributed.client").setLevel(logging.CRITICAL)

Lost = Callable[[Any, str], Any]
"""Returns a substitute for results of lost calls (function, arguments, keywords), with why."""


@contextmanager
def cluster(scheduler: str, lost: Lost) -> Iterator[None]:
    """Let joblib use the cluster of a scheduler, such as `tcp://127.0.0.1:8786`.

    Raises:
        ClusterError: if no scheduler answers, it has no worker for a minute, lacks this code, or is
            lost.
    """
    with (
        _client(scheduler) as client,
        joblib.parallel_config(backend=_Cluster(client, lost, scheduler)),
    ):
        yield


@contextmanager
def _client(scheduler: str) -> Iterator[Client]:
    check_schedulers(scheduler)
    try:
        client = Client(  # type: ignore[no-untyped-call]
            scheduler, set_as_default=False, timeout=_CONNECT_SECONDS
        )
    except (OSError, ValueError) as error:
        raise no_scheduler(scheduler, error) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE_SECONDS)
        except TimeoutError:
            raise ClusterError(
                f"the Dask scheduler at {scheduler} had no worker for {_PATIENCE_SECONDS:g} s: "
                f"start some with `{DASK} worker {scheduler} --nthreads 1`"
            ) from None
        _check_code(client, scheduler)
        yield client


def _check_code(client: Client, scheduler: str) -> None:
    """Refuse a cluster that does not find this code: `dask` alone does not look where it is run."""

    def has_code() -> bool:
        return find_spec("quantgod") is not None

    there = client.run(has_code) | {scheduler: client.run_on_scheduler(has_code)}  # type: ignore[no-untyped-call]
    if without := sorted(place for place, has in there.items() if not has):
        raise ClusterError(
            f"quantgod is not found by {', '.join(without)}, of the Dask cluster at {scheduler}: "
            f"start scheduler and workers in the project's folder, by `{DASK} scheduler` "
            f"and `{DASK} worker {scheduler} --nthreads 1`"
        )


class _Cluster(ParallelBackendBase):  # type: ignore[misc]
    supports_retrieve_callback = True

    def __init__(self, client: Client, lost: Lost, scheduler: str) -> None:
        super().__init__()
        self._client = client
        self._lost = lost
        self._scheduler = scheduler
        self._calls: dict[Any, Any] = {}

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the cluster's cores, at least two: with one, joblib would work in this process."""
        cores: dict[str, int] = self._client.ncores()  # type: ignore[no-untyped-call]
        return max(2, sum(cores.values()))

    def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
        """Send a batch of calls to any worker."""
        future: Any = self._client.submit(func, pure=False)
        self._calls[future.key] = func.items
        future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return the results of a batch, or substitutes if its workers died repeatedly.

        Raises:
            ClusterError: if the scheduler was lost, with which Dask gives up all that it was given.
        """
        calls = self._calls.pop(out.key)
        if out.cancelled():
            raise ClusterError(
                f"the Dask scheduler at {self._scheduler} was lost: start it and its workers "
                "again, and repeat the command"
            )
        error = out.exception()
        return out.result() if error is None else self._lost(calls, str(error))

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel unfinished work."""
        self._client.cancel(list(self._calls))  # type: ignore[no-untyped-call]
        self._calls.clear()

    def get_nested_backend(self) -> tuple[Any, int]:
        """Return a backend that keeps nested work inside its worker."""
        return SequentialBackend(nesting_level=1), 1
