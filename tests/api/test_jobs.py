"""One command at a time, in a process that outlives the server, and is found again."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from quantgod.api.jobs import LOG_FILE, Job, JobRefusedError, Jobs, OtherRequestError

ASKED = {"architecture": "linear"}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def started(jobs: Jobs, folder: Path, code: str, key: str = "") -> Job:
    """A job that has come to where it makes a file."""
    job = jobs.begin(python(f"import pathlib; {code}"), ASKED, key)
    until((folder / "there").exists)
    return job


SLEEPS = "import time; pathlib.Path(r'{}/there').touch(); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS


def test_a_second_job_waits_for_the_first_whichever_server_asks(tmp_path: Path) -> None:
    jobs, other = Jobs(tmp_path), Jobs(tmp_path)
    assert jobs.last() is None
    job = started(jobs, tmp_path, SLEEPS.format(tmp_path))
    for server in (jobs, other):
        assert server.last() == job and server.is_running(job)
        with pytest.raises(JobRefusedError, match=f"training job {job.id} has run since"):
            server.begin(python("pass"), ASKED)
    ended = other.cancel()
    assert ended.is_cancelled and ended.id == job.id
    until(lambda: not other.is_running(job), 20)
    assert not jobs.is_running(job)
    with pytest.raises(JobRefusedError, match="no job is running"):
        jobs.cancel()
    again = jobs.begin(python("print('one'); print('two')"), ASKED)
    until(lambda: not jobs.is_running(again))
    assert jobs.last_line() == "two" and again.id != job.id
    assert (tmp_path / f"training{LOG_FILE}").stat().st_mode & 0o777 == 0o600


def test_the_same_request_starts_nothing_twice(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    job = started(jobs, tmp_path, SLEEPS.format(tmp_path), key="k")
    assert jobs.begin(python("pass"), ASKED, "k") == job
    assert Jobs(tmp_path).begin(python("pass"), ASKED, "k") == job
    with pytest.raises(OtherRequestError, match="k is of another request"):
        jobs.begin(python("pass"), ASKED | {"epochs": 3}, "k")
    jobs.cancel()
    until(lambda: not jobs.is_running(job))
    assert jobs.begin(python("pass"), ASKED, "k").id == job.id, "also once it has ended"
    other = jobs.begin(python("pass"), ASKED, "l")
    assert other.id != job.id
    until(lambda: not jobs.is_running(other))


def test_who_does_not_end_is_killed_with_its_children_by_a_second_cancel(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()']); "
    job = started(jobs, tmp_path, child + STUBBORN.format(tmp_path))
    process = psutil.Process(int(job.process.split("/")[1]))
    (of_it,) = process.children()
    jobs.cancel()
    time.sleep(0.3)
    assert jobs.is_running(job)
    jobs.cancel()
    until(lambda: not jobs.is_running(job))
    until(lambda: not of_it.is_running() or of_it.status() == psutil.STATUS_ZOMBIE)


def test_a_job_is_no_part_of_the_run_that_the_server_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "of the server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "of both")
    jobs = Jobs(tmp_path)
    said = "import os; print(os.environ.get('MLFLOW_RUN_ID'), os.environ['MLFLOW_TRACKING_URI'])"
    job = jobs.begin(python(said), ASKED)
    until(lambda: not jobs.is_running(job))
    assert jobs.last_line() == "None of both"
    assert os.environ["MLFLOW_RUN_ID"] == "of the server"


@pytest.mark.long
def test_a_server_that_ends_says_nothing_of_a_job_that_goes_on(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    jobs = Jobs(tmp_path)
    job = started(jobs, tmp_path, SLEEPS.format(tmp_path))
    del jobs
    gc.collect()
    assert list(recwarn) == [] and Jobs(tmp_path).is_running(job)
    Jobs(tmp_path).cancel()
    until(lambda: not Jobs(tmp_path).is_running(job))
