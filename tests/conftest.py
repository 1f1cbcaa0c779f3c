"""What every test shares: one thread a process, quick stores, hypothesis without a stopwatch.

Two cores run two test processes; and bits are the same only for the same number of threads.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from mlflow.tracking import fluent

from tests.stores import never_wait_for_the_disk, remember_the_newest_schema

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of them would compile the project anew
sys.dont_write_bytecode = False
torch.set_num_threads(1)
never_wait_for_the_disk()
remember_the_newest_schema()

# On a CI pytest would write out the whole difference of two arrays, which can take it hours.
os.environ.pop("CI", None)

# The same examples everywhere, and half as many as usual: what passes here passes there.
# HYPOTHESIS_PROFILE=explore draws others.
settings.register_profile("explore", settings.get_profile("default"), deadline=None)
settings.register_profile(
    "quantgod", settings.get_profile("explore"), derandomize=True, database=None, max_examples=50
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quantgod"))

LONGEST = Path(__file__).parent / "end_to_end"
OF_MLFLOW = ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID")


def forget_experiments() -> None:
    """Whoever calls the tests may name one, and a stage that ran in this process leaves its own."""
    for name in OF_MLFLOW:
        os.environ.pop(name, None)
    fluent._active_experiment_id = None


forget_experiments()


@pytest.fixture(autouse=True)
def no_experiment_is_left() -> Iterator[None]:
    """Each test begins without one, and so does what a module makes for its tests."""
    forget_experiments()
    yield
    forget_experiments()


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Dask scheduler on loopback with two worker processes."""
    from distributed import LocalCluster  # noqa: PLC0415  (takes a second, and few tests need it)

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",  # any port: another test process or user may have 8787
        local_directory=str(tmp_path_factory.mktemp("dask")),
    ) as cluster:
        yield cluster.scheduler_address


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, which nobody then waits for, and with those of the cluster.

    Of several test processes each takes a stretch of the list: one alone makes the cluster.
    """
    of_the_cluster = {
        item.path for item in items if "scheduler" in getattr(item, "fixturenames", ())
    }
    items.sort(key=lambda item: (LONGEST not in item.path.parents, item.path not in of_the_cluster))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Spare Python's garbage collector what stays until the end.

    It would walk through a million objects of modules and tests again and again.
    """
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


def pytest_unconfigure() -> None:
    """Let Python end as it does: what is frozen outlives modules that its destructors need."""
    atexit.unregister(gc.freeze)  # of `steps`
    atexit.register(gc.unfreeze)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell of a failure at once: a run that is ended at its limit never comes to its summary."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stderr.write(f"\n{report.nodeid} failed in {report.when}:\n{report.longreprtext}\n")
