"""Timing in turns: what is compared runs alternately, so that a busy machine disturbs all alike.

Of each the best turn counts. Work that is always the same cannot take less than it takes; all that
a turn takes beyond the best one is what else the machine did.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

Clock = Callable[[], float]


def in_turns(
    works: Sequence[Callable[[], object]], rounds: int, clock: Clock = time.process_time
) -> list[list[float]]:
    """Seconds of every turn of each work; every other round goes through them backwards."""
    seconds: list[list[float]] = [[] for _ in works]
    turns = list(zip(works, seconds, strict=True))
    for number in range(rounds):
        gc.collect()
        for work, taken in reversed(turns) if number % 2 else turns:
            begun = clock()
            work()
            taken.append(clock() - begun)
    return seconds


def best(
    works: Sequence[Callable[[], object]], rounds: int, clock: Clock = time.process_time
) -> list[float]:
    """The best turn of each work, in seconds."""
    return [min(taken) for taken in in_turns(works, rounds, clock)]
