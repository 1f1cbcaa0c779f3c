"""Three small members trained side by side on two cores, over the same one after the other.

All is the command's own: a process each that starts, trains and logs to a store, and as many at a
time as `train` takes of such members. Both ways take turns, and of each the best counts.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import mlflow

from bench.goal import Figure, Log, said
from bench.turns import best
from quantgod.contracts import Series
from quantgod.dataset.labels import label
from quantgod.dataset.table import write_table
from quantgod.settings import Settings, load_settings
from quantgod.tracking.members import members_at_once
from quantgod.tracking.pipeline import resolved_config
from quantgod.tracking.side_by_side import Job, run_side_by_side
from quantgod.tracking.store import connect
from tests.synthetic import synthetic_bars

CONFIG: Final = Path("conf/demo.yaml")
MINUTES: Final = 8_640
MEMBERS: Final = ("deep", "wide", "fast")
EPOCHS: Final = 20
LEAST_OF_ONE_BY_ONE: Final = 1.7
ROUNDS: Final = 2


def measure(log: Log) -> list[Figure]:
    """Seconds of all three, one after the other and side by side."""
    with _store() as settings:
        at_a_time = members_at_once(0, dict.fromkeys(MEMBERS, settings))
        names = ", ".join(MEMBERS)
        log(f"training {names} one by one, and {at_a_time} at a time, {ROUNDS} times in turns")
        seeds = itertools.count()

        def train(at_once: int) -> None:
            run_side_by_side("train", jobs(settings, next(seeds)), at_once, lambda _line: None)

        works = (lambda: train(1), lambda: train(at_a_time))
        one_by_one, together = best(works, ROUNDS, time.perf_counter)
    return [
        Figure("three members one by one", one_by_one, "s"),
        Figure("three members side by side", together, "s"),
        Figure(
            "three members one by one, over side by side on two cores",
            one_by_one / together,
            "x",
            at_least=LEAST_OF_ONE_BY_ONE,
            here=said(together, "s"),
        ),
    ]


def jobs(settings: Settings, seed: int) -> list[Job]:
    """The members; none stops before its last epoch."""
    made = []
    for place, name in enumerate(MEMBERS):
        # With another seed no finished run is found, and no two members come to the same.
        changed = {"epochs": EPOCHS, "patience": EPOCHS, "seed": seed * len(MEMBERS) + place}
        train = settings.train.model_copy(update=changed)
        own = settings.model_copy(update={"train": train})
        made.append(Job(name, own, resolved_config(own, CONFIG), {}))
    return made


@contextmanager
def _store() -> Iterator[Settings]:
    """Settings of a store and labels of their own, with a run in which members are trained."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = {f"data.{what}": str(folder / what) for what in ("labels", "work")}
        store = {"uri": f"sqlite:///{folder / 'mlflow.db'}", "outbox": str(folder / "outbox")}
        store["artifacts"] = str(folder / "artifacts")
        tracking = {f"tracking.{key}": value for key, value in store.items()}
        settings = load_settings(CONFIG, {**places, **tracking, "window.stride": 1})
        bars = synthetic_bars(MINUTES, seed=3, signal=0.6)
        table = label(bars, settings.label, settings.etl.max_bridge_minutes)
        write_table(settings.data.own_labels, table, Series("BTCUSDT", "linear"))
        connect(settings.tracking)
        with mlflow.start_run():
            yield settings
