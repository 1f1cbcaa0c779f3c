"""A process that forks promoters of one model, one after the other, and kills them.

It reads orders, a line of JSON each, and answers each with a line. It never opens their store, so
that each child begins with a connection of its own. The first order is of a copy of the store, and
it obeys that itself: then it has imported all that a child needs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import mlflow
from mlflow import MlflowClient

from quantgod.registry.ledger_run import ConcurrentPromotionError
from quantgod.registry.promotion import Grounds, promote
from quantgod.registry.registered import VersionError

DONE, TOLD, KILLED = 0, 3, -signal.SIGKILL
FORCED = Grounds("a test of interruptions", force=True)


class Order(NamedTuple):
    """Promote `version` in a child, and kill it at a point between store calls, or after a time."""

    uri: str
    name: str
    alias: str
    version: int
    point: int | None = None
    seconds: float | None = None


class Mortal:
    """A client that dies before or after one of its calls: even points before, odd ones after."""

    def __init__(self, point: int | None) -> None:
        self._client = MlflowClient()
        self._point = -1 if point is None else point
        self.passed = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        bound: Callable[..., Any] = getattr(self._client, name)

        def call(*args: Any, **named: Any) -> Any:
            self._pass()
            answer = bound(*args, **named)
            self._pass()
            return answer

        return call

    def _pass(self) -> None:
        if self.passed == self._point:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed += 1


def main() -> None:
    promoted(Order(**json.loads(sys.stdin.readline())))
    for line in sys.stdin:
        order = Order(**json.loads(line))
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            run(order)
        if order.seconds is not None:
            time.sleep(order.seconds)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        answer = {"code": code, "seconds": time.monotonic() - began}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def run(order: Order) -> None:
    """What a child does; it ends here."""
    try:
        promoted(order)
    except (ConcurrentPromotionError, VersionError) as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(TOLD)
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(DONE)


def promoted(order: Order) -> None:
    mlflow.set_tracking_uri(order.uri)
    client: Any = Mortal(order.point)
    promote(order.name, order.version, order.alias, FORCED, tryout=lambda *_: None, client=client)


if __name__ == "__main__":
    main()
