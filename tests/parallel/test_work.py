"""Work in processes and on a cluster: no failure passes unseen."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from quantgod.parallel import cluster, work
from quantgod.parallel.work import ClusterError, Crash, Workers, ending_with, run_all


@contextmanager
def scheduler_process(
    folder: Path, cwd: Path | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler in a process of its own, without workers, run in a folder (here)."""
    told = folder / "scheduler.json"
    command = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            *command,
            "--scheduler-file",
            told,
        ],
        stderr=subprocess.DEVNULL,
        cwd=cwd,
    ) as process:
        while not told.exists() or not told.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        try:
            yield json.loads(told.read_text())["address"], process
        finally:
            process.kill()


@pytest.mark.long
def test_a_cluster_outlives_work_that_kills_its_workers(scheduler: str) -> None:
    """Dask tries it elsewhere a few times; what else ran there then may be given up too."""
    work = run_all(_one_over_or_die, [-1, 1, 0, 2], Workers(0, scheduler))
    results = {done.given: done.result for done in work}
    assert set(results) == {-1, 0, 1, 2}
    assert "its worker died" in str(results[-1])
    again = {done.given: done.result for done in run_all(_one_over, [0, 2], Workers(0, scheduler))}
    assert again[2] == 0.5
    assert "ZeroDivisionError" in str(again[0])


@pytest.mark.long
def test_an_exception_travels_as_text_and_a_dead_process_is_noticed() -> None:
    results = {done.given: done.result for done in run_all(_one_over, [1, 0], Workers(0))}
    assert results[1] == 1.0
    assert isinstance(results[0], Crash)
    assert results[0].error == "ZeroDivisionError: float division by zero"
    with pytest.raises(RuntimeError, match="terminated"):
        list(run_all(os._exit, [3, 3], Workers(2)))


@pytest.mark.long
def test_a_lost_scheduler_is_told_and_nothing_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.5)
    logged: list[logging.LogRecord] = []
    listener = logging.Handler()
    monkeypatch.setattr(listener, "emit", logged.append)
    monkeypatch.setattr(logging.getLogger("distributed.client"), "handlers", [listener])
    with scheduler_process(tmp_path) as (address, process):
        command = ["-m", "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
        own = ["--nthreads", "1", "--death-timeout", "5", "--local-directory", str(tmp_path)]
        with subprocess.Popen(
            [sys.executable, *command, *own], stderr=subprocess.DEVNULL
        ) as worker:
            begun = tmp_path / "begun"
            try:
                killed = partial(_kill_once, begun=begun, process=process.pid)
                with pytest.raises(ClusterError, match=f"{address} was lost: start it"):
                    list(run_all(killed, [1, 2], Workers(0, address)))
            finally:
                worker.kill()
    assert not logged, "the traces of attempts to reach it are nobody's concern"


def _kill_once(_given: int, begun: Path, process: int) -> None:
    """Kill a process, here the scheduler, and go on for longer than anybody waits."""
    if not begun.exists():
        begun.touch()
        os.kill(process, signal.SIGKILL)
    time.sleep(60)


@pytest.mark.long
def test_ctrl_c_ends_the_processes_and_so_does_who_wants_no_more(tmp_path: Path) -> None:
    began = time.monotonic()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    pid, interrupt = tmp_path / "pid", partial(_interrupt, os.getpid(), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        list(run_all(interrupt, [1, 2], Workers(2)))
    first = int(pid.read_text())
    with closing(run_all(partial(_hang, tmp_path), [0, 1], Workers(2))) as made:
        assert next(made).given == 0
    assert time.monotonic() - began < 50, "nobody has waited for what hangs"
    second = int(pid.read_text())
    for hung in (first, second):
        assert not psutil.pid_exists(hung) or psutil.Process(hung).status() == "zombie"


def _hang(folder: Path, given: int) -> None:
    """Go on for longer than anybody waits, if it is not 0."""
    if given:
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(60)
    while not (folder / "pid").exists():
        time.sleep(0.01)


def _interrupt(command: int, folder: Path, given: int) -> None:
    if given == 2:
        os.kill(command, signal.SIGINT)
    _hang(folder, given)


def _one_over(value: int) -> float:
    return 1.0 / value


def _one_over_or_die(value: int) -> float:
    if value < 0:
        os._exit(1)
    return _one_over(value)


def test_a_scheduler_that_is_away_or_has_no_worker_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.3)
    with pytest.raises(ClusterError, match=r"127.0.0.1:9 .*`python -m dask scheduler`"):
        list(run_all(_one_over, [1, 2], Workers(0, "tcp://127.0.0.1:9")))
    for wrong in ("tcp:/nowhere", "nowhere", "tcp://nowhere", "tcp://:8786", "tcp://here:port"):
        with pytest.raises(ClusterError, match=f"answers at {wrong} .*scheduler out to work on"):
            list(run_all(_one_over, [1, 2], Workers(0, wrong)))
    with (
        scheduler_process(tmp_path) as (address, _process),
        pytest.raises(ClusterError, match=f"no worker .* `python -m dask worker {address}"),
    ):
        list(run_all(_one_over, [1, 2], Workers(0, address)))


def test_a_cluster_that_does_not_find_this_code_is_refused_with_how_to_start_it(
    tmp_path: Path,
) -> None:
    from distributed import Client  # noqa: PLC0415  (takes a second)

    with (
        scheduler_process(tmp_path, tmp_path) as (address, _process),
        Client(address, set_as_default=False) as client,  # type: ignore[no-untyped-call]
        pytest.raises(ClusterError, match=f"not found by {address}.*`python -m dask scheduler`"),
    ):
        cluster._check_code(client, address)


def test_a_worker_ends_with_its_experiment_and_an_experiment_not_with_its_shell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = -1
    ending_with(gone)(0, 1, "in the experiment itself")
    monkeypatch.setattr(work, "parent_process", lambda: "its experiment")
    ending_with(os.getppid())(0, 1, "")
    with pytest.raises(RuntimeError, match="is gone"):
        ending_with(gone)(0, 1, "")
