"""Training `bilstm_attention` with recurrent dropout, over the same network without it.

The document's sizes, 60 candles of 60 features, batches of 64, one thread. Document 002 needs a
loop in Python for it, orders of magnitude slower; here columns of weights are dropped once a pass.
Both take turns, and of each the best counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import torch

from bench.goal import Figure, Log, said
from bench.turns import best
from quantgod.models import zoo
from quantgod.models.heads import Heads

MOST: Final = 1.3
BATCH, STEPS, ROUNDS = 64, 3, 7
SHAPES: Final = {"features": (60, 60)}


def measure(log: Log) -> list[Figure]:
    """Seconds of a step, forwards and backwards, both ways."""
    torch.set_num_threads(1)
    log(f"{STEPS} steps with recurrent dropout and without, {ROUNDS} times in turns")
    dropped, plain = best((_steps(0.2), _steps(0.0)), ROUNDS, time.perf_counter)
    return [
        Figure("a step with recurrent dropout", dropped / STEPS * 1e3, "ms"),
        Figure("a step without", plain / STEPS * 1e3, "ms"),
        Figure(
            "a step with recurrent dropout, over one without",
            dropped / plain,
            "x",
            at_most=MOST,
            here=said(dropped / STEPS * 1e3, "ms"),
        ),
    ]


def _steps(rate: float) -> Callable[[], None]:
    asked = Heads(horizons=3, expected_return=True, direction=False)
    params = {"recurrent_dropout": rate}
    model = zoo.build("bilstm_attention", params, shapes=SHAPES, heads=asked)
    features = torch.randn(BATCH, *SHAPES["features"])

    def steps() -> None:
        for _ in range(STEPS):
            model.zero_grad()
            torch.autograd.backward(model(features)["expected_return"].square().mean())

    return steps
