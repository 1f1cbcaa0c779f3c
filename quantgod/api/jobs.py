"""Run one command at a time in a process of its own, which outlives the server if it must.

What runs is kept in a file: a server that starts again finds it, and knows how it ended by its run.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from quantgod.files import atomic_path
from quantgod.tracking.orphans import process_is_gone, process_tag
from quantgod.tracking.store import PROJECT

TRAINING: Final = "training"
CHANGE: Final = "change"
JOB_FILE: Final = ".job.json"
LOG_FILE: Final = ".job.log"
"""Endings of the files of a kind's last job."""
LOCK_FILE: Final = "job.lock"
NOT_HANDED_ON: Final = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID")
"""`mlflow run` names the server's own run by them, which no other process may join."""

TAIL_BYTES: Final = 4_000


class JobRefusedError(RuntimeError):
    """A job cannot be begun or ended now."""


class OtherRequestError(ValueError):
    """An idempotency key was used for another request."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A command that runs or ran.

    Attributes:
        id: of the job.
        key: idempotency key of the request; empty if there was none.
        asked: the request.
        process: host, id and start of its process.
        since: ISO 8601, UTC.
        is_cancelled: whether somebody has asked to end it.
    """

    id: str
    key: str
    asked: dict[str, Any]
    process: str
    since: str
    is_cancelled: bool = False


class Jobs:
    """At most one job at a time in a folder, of whichever kind, whichever server has begun it.

    Args:
        folder: of the files, the logs and the lock.
        kind: of the jobs that are begun, cancelled and told of.
    """

    def __init__(self, folder: Path, kind: str = TRAINING) -> None:
        self._folder, self._kind = folder, kind

    def of(self, kind: str) -> Jobs:
        """Return the jobs of another kind in this folder."""
        return Jobs(self._folder, kind)

    def last(self) -> Job | None:
        """Return the job that runs, or else the last one; None if there was none."""
        return _read(self._place(JOB_FILE))

    def is_running(self, job: Job) -> bool:
        """Return whether its process has not ended."""
        with suppress(ChildProcessError):  # of another server
            os.waitpid(_number_of(job), os.WNOHANG)
        return not process_is_gone(job.process)

    def begin(self, command: Sequence[str], asked: Mapping[str, Any], key: str = "") -> Job:
        """Start a command, unless the same request has started it already.

        Args:
            command: words of the command line.
            asked: the request.
            key: idempotency key; empty for none.

        Raises:
            JobRefusedError: if another one is running.
            OtherRequestError: if the key is of another request.
        """
        with self._alone():
            last = self.last()
            if last is not None and key and key == last.key:
                if last.asked != dict(asked):
                    raise OtherRequestError(f"Idempotency-Key {key} is of another request")
                return last
            for path in self._folder.glob(f"*{JOB_FILE}"):
                if (other := _read(path)) is not None and self.is_running(other):
                    kind = path.name.removesuffix(JOB_FILE)
                    raise JobRefusedError(
                        f"{kind} job {other.id} has run since {other.since}: cancel it, or wait"
                    )
            return self._start(command, asked, key)

    def cancel(self) -> Job:
        """Ask the running job to end cleanly; if it was asked before, kill it with its children.

        Raises:
            JobRefusedError: if none is running.
        """
        with self._alone():
            job = self.last()
            if job is None or not self.is_running(job):
                raise JobRefusedError("no job is running")
            number = _number_of(job)
            with suppress(ProcessLookupError):
                if job.is_cancelled:
                    os.killpg(number, signal.SIGKILL)
                else:
                    os.kill(number, signal.SIGTERM)
            return self._keep(msgspec.structs.replace(job, is_cancelled=True))

    def last_line(self) -> str:
        """Return the last line that the job has printed; empty if none."""
        try:
            with self._place(LOG_FILE).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").split("\n")
        except FileNotFoundError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _start(self, command: Sequence[str], asked: Mapping[str, Any], key: str) -> Job:
        environment = {name: one for name, one in os.environ.items() if name not in NOT_HANDED_ON}
        opened = os.open(self._place(LOG_FILE), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            process = subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=opened,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(opened)
        process.returncode = 0  # it is to outlive this object, which would warn of that
        job = Job(
            id=secrets.token_hex(8),
            key=key,
            asked=dict(asked),
            process=process_tag(process.pid),
            since=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        )
        return self._keep(job)

    def _keep(self, job: Job) -> Job:
        with atomic_path(self._place(JOB_FILE)) as part:
            part.write_bytes(msgspec.json.encode(job))
        return job

    def _place(self, ending: str) -> Path:
        return self._folder / f"{self._kind}{ending}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's lock, against requests and against other servers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LOCK_FILE).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _read(path: Path) -> Job | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Job)
    except FileNotFoundError:
        return None


def _number_of(job: Job) -> int:
    return int(job.process.split("/")[1])
