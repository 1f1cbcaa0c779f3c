"""The chain as it is served, to be evaluated: its own code and files make every answer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from quantgod.contracts import CLASSES, FEATURES, META_FEATURES, Floats, Integers, Progress, silent
from quantgod.evaluation.subject import Answers
from quantgod.registry.chain import BATCH, Chain
from quantgod.served.calibration import untilt

WARM_UP = 5
"""Calls that are not timed: the first ones of a session make its memory."""

Weights = tuple[float, ...]


class ChainSubject:
    """Asks the served chain, which takes contiguous minutes and says something of each of them.

    Args:
        name: as whose it is reported, `NAME/VERSION`.
        chain: `load_chain(...).unwrap_python_model().chain`, or one made of a folder.
    """

    def __init__(self, name: str, chain: Chain) -> None:
        self.name = name
        self.chain = chain
        self.window = chain.contract.window
        self.base_weights: Weights = tuple(chain.contract.base_class_weights)
        self.decision_weights: Weights = tuple(chain.calibrator["decision_weights"])

    def meta_features(self, matrix: Floats, rows: Integers, progress: Progress = silent) -> Floats:
        """(n, 14) meta-features of the windows of raw `matrix` (rows, 9) that end at `rows`."""
        meta = np.empty((len(rows), len(META_FEATURES)))
        done = 0
        for stretch in _stretches(rows):
            first, last = stretch[0] - self.window + 1, stretch[-1] + 1
            meta[done : done + len(stretch)] = self.chain.meta_features(matrix[first:last])
            done += len(stretch)
            progress(done, len(rows), "meta-features")
        return meta

    def base(self, meta: Floats) -> Floats:
        """(n, 3) the base's probabilities, its class weights undone."""
        return untilt(meta[:, : len(CLASSES)], self.base_weights)

    def audited(self, meta: Floats) -> Floats:
        """(n, 3) the auditor's calibrated probabilities."""
        return self.chain.audit(meta)

    @property
    def promise(self) -> tuple[float, float]:
        """The share of rows whose conformal set is to hold their class, and the threshold."""
        return self.chain.conformal["level"], self.chain.conformal["threshold"]

    def answers(self, audited: Floats) -> Answers:
        """What the chain makes of audited probabilities (n, 3)."""
        return Answers(*self.chain.answers(audited))

    def answer_times(self, table: pd.DataFrame, rows: Integers) -> Floats:
        """(n,) ms that the chain takes to judge the window of `table` that ends at each row."""
        frame = table[list(FEATURES)].rename_axis("datetime").reset_index()
        windows = [frame.iloc[row - self.window + 1 : row + 1] for row in rows]
        for window in windows[:WARM_UP]:
            self.chain.judge(window)
        return np.array([self._answer_time(window) for window in windows])

    def _answer_time(self, window: pd.DataFrame) -> float:
        began = time.perf_counter()
        self.chain.judge(window)
        return (time.perf_counter() - began) * 1000


def _stretches(rows: Integers) -> Iterator[Integers]:
    """Rows that follow one another, so that the chain is asked of no minute that nobody wants."""
    for stretch in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        for begin in range(0, len(stretch), BATCH):
            yield stretch[begin : begin + BATCH]
