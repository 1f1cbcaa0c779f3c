"""Servers in processes of their own, on a free loopback port, ended with all their children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.stores import fresh_store

START_SECONDS = 90
STOP_SECONDS = 20


@dataclass(frozen=True)
class Server:
    """Where it listens, and the process group that it and its children make."""

    address: str
    group: int

    def cpu_seconds(self) -> float:
        """What the group computed so far; a busy machine makes it wait, but hardly compute more.

        Linux tells in /proc, see proc(5): fields 5, 14 and 15 are the group, user and system ticks.
        """
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.group:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def tracking_server(folder: Path) -> Iterator[Server]:
    """Run an MLflow tracking server, its SQLite store and artifacts in `folder`.

    It is what `mlflow server` starts, without that command's seconds of imports.
    """
    environment = {
        "_MLFLOW_SERVER_FILE_STORE": fresh_store(folder),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes that nobody asked for
    }
    with module_server(
        *("uvicorn", "mlflow.server.fastapi_app:app", "--host", "127.0.0.1"),
        port=free_port(), health="/health", folder=folder, environment=environment,
    ) as server:  # fmt: skip
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def module_server(
    module: str,
    *arguments: str,
    port: int,
    health: str,
    folder: Path,
    environment: Mapping[str, str],
) -> Iterator[Server]:
    """Run `python -m MODULE ARGUMENTS --port PORT` in `folder`; it answers when it is given."""
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", module, *arguments, "--port", str(port)]
    log = folder / f"{module}-{port}.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=folder,
            # MLflow starts its servers by the name of a command of this environment.
            env={**os.environ, "PATH": _path(), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(server, address + health, log)
        yield Server(address, server.pid)
    finally:
        _end(server)


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urlopen(url, timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer: {log.read_text(errors='replace')[-2000:]}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the group, which is the server's own, first kindly."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            break
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    server.wait(STOP_SECONDS)
