"""Processes that promote a version each, at the same moment, again and again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import mlflow
from mlflow import MlflowClient

from quantgod.registry.ledger_run import ConcurrentPromotionError
from quantgod.registry.moving import Move, move
from quantgod.registry.registered import known_version

RIVALS = 2


class Outcome(NamedTuple):
    """Whether a rival has won, and else what it was told."""

    won: bool
    told: str


@contextmanager
def rivals(uri: str, name: str, alias: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Start them; each has its imports and its connection when this is given."""
    command = [sys.executable, "-m", __name__, uri, name, alias]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(RIVALS)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(30) == 0


def contest(processes: list[subprocess.Popen[str]], versions: list[int]) -> list[Outcome]:
    """Let each promote its version, all at once."""
    for process, version in zip(processes, versions, strict=True):
        assert process.stdin is not None
        process.stdin.write(f"{version}\n")
    for process in processes:
        assert process.stdin is not None
        process.stdin.flush()
    said = []
    for process in processes:
        assert process.stdout is not None
        said.append(Outcome(**json.loads(process.stdout.readline())))
    return said


def main(uri: str, name: str, alias: str) -> None:
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    known_version(client, name, 1)
    say("ready")
    for line in sys.stdin:
        found = known_version(client, name, int(line))
        try:
            move(client, name, alias, Always(found))
            outcome = Outcome(won=True, told="")
        except ConcurrentPromotionError as error:
            outcome = Outcome(won=False, told=str(error))
        say(json.dumps(outcome._asdict()))


class Always:
    """Decides for one version, whatever the ledger says."""

    def __init__(self, found: object) -> None:
        self._found = found

    def __call__(self, _: object) -> Move:
        return Move("promotion", self._found, "a contest")  # type: ignore[arg-type]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
