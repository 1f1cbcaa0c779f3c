"""Works take turns, and what else the machine does counts against none of them."""

from __future__ import annotations

import pytest

from bench import turns
from bench.turns import best, in_turns


@pytest.fixture(autouse=True)
def nothing_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million objects of modules, which takes half a second each time."""
    monkeypatch.setattr(turns.gc, "collect", lambda: 0)


class Machine:
    """A clock that works move on; it is slower in some rounds than in others."""

    def __init__(self, slowness: list[float]) -> None:
        self.now = 0.0
        self.order: list[str] = []
        self._slowness = slowness

    def work(self, name: str, seconds: float):
        def run() -> None:
            turn = self.order.count(name)
            self.order.append(name)
            self.now += seconds * self._slowness[turn]

        return run

    def clock(self) -> float:
        return self.now


def test_every_other_round_goes_backwards() -> None:
    machine = Machine([1.0] * 3)
    works = [machine.work(name, 1.0) for name in "abc"]
    assert in_turns(works, 3, machine.clock) == [[1.0] * 3] * 3
    assert "".join(machine.order) == "abccbaabc"


def test_of_each_work_the_best_turn_counts() -> None:
    machine = Machine([4.0, 1.0, 9.0])
    works = [machine.work("ours", 3.0), machine.work("floor", 2.0)]
    assert best(works, 3, machine.clock) == [3.0, 2.0]
