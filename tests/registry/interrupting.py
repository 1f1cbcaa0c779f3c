"""Promotions that are killed, and what must be true before, while and after each is."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from random import Random

from mlflow import MlflowClient

from quantgod.registry.deployments import deployments
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.moving import Move, move
from quantgod.registry.promotion import promote
from quantgod.registry.registered import FILES_TAG, fetch, files_digest, holder, known_version
from tests.registry import promoter_process
from tests.registry.promoter_process import DONE, FORCED, KILLED, Order

READ_SECONDS = 0.01
POINTS = 30
"""Before and after each call of the store that a promotion makes."""


class Reader:
    """Reads the alias all the time, as whoever serves it does.

    Attributes:
        allowed: versions that it may point at.
        reads: how often it was read.
        wrong: what was read and should not have been.
    """

    def __init__(self, name: str, alias: str, first: int) -> None:
        self.allowed = frozenset({first})
        self.reads = 0
        self.wrong: list[str] = []
        self._name, self._alias = name, alias
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        client = MlflowClient()
        while not self._stop.wait(READ_SECONDS):
            before = self.allowed
            try:
                found = client.get_model_version_by_alias(self._name, self._alias)
                number = int(found.version)
                whole = files_digest(fetch(self._name, number)) == found.tags[FILES_TAG]
            except Exception as error:
                self.wrong.append(repr(error))
                return
            if number not in before | self.allowed or not whole:
                self.wrong.append(f"version {number}, whole: {whole}; {before}, {self.allowed}")
            self.reads += 1


def interrupt(name: str, uri: str, versions: list[int], rounds: int, seed: int) -> Counter[str]:
    """Kill `rounds` promotions, one after the other, and promote to the end after each.

    Half of them die at every point before and after a store call in turn, half after a random time.

    Returns:
        How often the new version was in place, how often the old one, how many were not killed in
        time, and how often a reader looked.

    Raises:
        AssertionError: when a reader saw something else than the old or the new version whole, the
            ledger is not sound, or the next promotion did not work.
    """
    random, counts, alias = Random(seed), Counter[str](), f"Interrupted{seed}"
    points = random.sample(range(POINTS), POINTS)
    client, kept = MlflowClient(), LedgerRun(MlflowClient(), name, alias)
    old = versions[0]
    promote(name, old, alias, FORCED, tryout=lambda *_: None)
    with _promoter(uri, name, old) as promoter, Reader(name, alias, old) as reader:
        usual = _order(promoter, Order(uri, name, f"{alias}First", old))["seconds"]
        for place in range(rounds):
            new = random.choice([number for number in versions if number != old])
            reader.allowed = frozenset({old, new})
            point = points[place // 2 % POINTS] if place % 2 else None
            seconds = None if place % 2 else random.uniform(0, 1.2 * usual)
            code = _order(promoter, Order(uri, name, alias, new, point, seconds))["code"]
            held = holder(client, name, alias)
            assert code in (DONE, KILLED), code
            assert held == new or (held == old and code == KILLED), (held, old, new, code)
            ledger = kept.read()
            assert held in {ledger.in_place, ledger.open and ledger.open.version}
            assert not deployments(client, name, alias).trouble
            counts["ended" if code == DONE else "new" if held == new else "old"] += 1
            old = random.choice([number for number in versions if number != held])
            reader.allowed |= {old}
            next_one = Move("promotion", known_version(client, name, old), "after an interruption")
            assert move(client, name, alias, _always(next_one)) is not None
            assert holder(client, name, alias) == kept.read().in_place == old
            assert not reader.wrong, reader.wrong
        counts["reads"] = reader.reads
    assert not reader.wrong, reader.wrong
    return counts


@contextmanager
def _promoter(uri: str, name: str, version: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", promoter_process.__name__]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as promoter,
    ):
        copy = f"{folder}/copy.db"
        with (
            closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as store,
            closing(sqlite3.connect(copy)) as target,
        ):
            store.backup(target)
        _send(promoter, Order(f"sqlite:///{copy}", name, "Copied", version))
        yield promoter
        assert promoter.stdin is not None
        promoter.stdin.close()
        assert promoter.wait(30) == 0


def _send(promoter: subprocess.Popen[str], order: Order) -> None:
    assert promoter.stdin is not None
    promoter.stdin.write(json.dumps(order._asdict()) + "\n")
    promoter.stdin.flush()


def _order(promoter: subprocess.Popen[str], order: Order) -> dict[str, float]:
    _send(promoter, order)
    assert promoter.stdout is not None
    answer: dict[str, float] = json.loads(promoter.stdout.readline())
    return answer


def _always(move: Move) -> Callable[[object], Move]:
    return lambda _: move
