"""Evaluate the served chain: its own code and files compute all answers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.auditor.auditor_input import AuditorInput, Look, served_input
from quantgod.contracts import META_FEATURES, Floats, Integers, Progress, silent
from quantgod.dataset.book_blocks import RowBlocks
from quantgod.evaluation.members import asked_rows, input_of_members
from quantgod.evaluation.subject import Answers, RawMaterial
from quantgod.registry.chain import BATCH, Chain, Ensemble

WARM_UP = 5
"""Untimed first calls, in which a session allocates its memory."""

Weights = tuple[float, ...]


class ChainSubject:
    """A subject that runs the served chain, which answers each of several contiguous minutes.

    Args:
        name: name in reports, `NAME/VERSION`.
        chain: `load_chain(...).unwrap_python_model().chain`, or one made from a folder.
    """

    def __init__(self, name: str, chain: Chain) -> None:
        self.name = name
        self.chain = chain
        self.window = chain.contract.window
        self.columns = tuple(chain.contract.features)
        self.block = _block(chain)
        self.base_weights: Weights = tuple(chain.contract.base_class_weights)
        self.decision_weights: Weights = tuple(chain.calibrator["decision_weights"])

    def ask(
        self, material: RawMaterial, rows: Integers, progress: Progress = silent
    ) -> AuditorInput:
        """Return forecasts and meta-features of the windows of `material` that end at `rows`.

        An ensemble's weights move with the outcomes of these rows, and of `material.earlier`, that
        were known before each.
        """
        ensemble = getattr(self.chain, "ensemble", None)  # earlier code knows of none
        if ensemble is not None:
            return self._ask_members(ensemble, material, rows, progress)
        parts, done = [np.empty((0, len(META_FEATURES)))], 0
        for stretch in _stretches(rows):
            first, last = stretch[0] - self.window + 1, stretch[-1] + 1
            books = () if material.book is None else (material.book(stretch),)
            parts.append(self.chain.meta_features(material.matrix[first:last], *books))
            done += len(stretch)
            progress(done, len(rows), "meta-features")
        return served_input(np.concatenate(parts[1:] or parts), self.base_weights)

    def _ask_members(
        self, ensemble: Ensemble, material: RawMaterial, rows: Integers, progress: Progress
    ) -> AuditorInput:
        asked, parts, done = asked_rows(ensemble, material, rows), [], 0
        for stretch in _stretches(asked):
            first, last = stretch[0] - self.window + 1, stretch[-1] + 1
            ends = stretch - first
            books = None if material.book is None else (ends, material.book(stretch))
            parts.append(ensemble.said(material.matrix[first:last], ends, books))
            done += len(stretch)
            progress(done, len(asked), "votes")
        said = [np.concatenate(of_one) for of_one in zip(*parts, strict=True)]
        return input_of_members(ensemble, _looks(ensemble), said, material, asked, len(rows))

    def audited(self, meta: Floats) -> Floats:
        """Return the auditor's calibrated probabilities (n, 3)."""
        return self.chain.audit(meta)

    def confidence(self, seen: AuditorInput) -> Floats | None:
        """Return how likely the base's decided class is right, (n,); None if it does not say."""
        if not hasattr(self.chain, "confidence"):  # a version that earlier code has registered
            return None
        return self.chain.confidence(seen.said)

    @property
    def promise(self) -> tuple[float, float]:
        """Return the promised coverage of conformal sets, and the threshold."""
        return self.chain.conformal["level"], self.chain.conformal["threshold"]

    def answers(self, audited: Floats, consent: Integers | None = None) -> Answers:
        """Return the chain's classes, sets and actions for audited probabilities (n, 3)."""
        given = () if consent is None else (consent,)  # earlier code knows of none
        return Answers(*self.chain.answers(audited, *given))

    def answer_times(
        self, table: pd.DataFrame, rows: Integers, book: RowBlocks | None = None
    ) -> Floats:
        """Return the chain's time for each window of `table` ending at `rows`, in ms, (n,)."""
        frame = table[list(self.columns)].rename_axis("datetime").reset_index()
        windows = [frame.iloc[row - self.window + 1 : row + 1] for row in rows]
        if book is not None:
            given = zip(windows, book.raw(rows), strict=True)
            windows = [window.assign(book=_at_the_end(one, len(window))) for window, one in given]
        for window in windows[:WARM_UP]:
            self.chain.judge(window)
        return np.array([self._answer_time(window) for window in windows])

    def _answer_time(self, window: pd.DataFrame) -> float:
        began = time.perf_counter()
        self.chain.judge(window)
        return (time.perf_counter() - began) * 1000


def _block(chain: Chain) -> tuple[int, int] | None:
    """Return what a version takes of the book; earlier code has made contracts without it."""
    book = getattr(chain.contract, "book", None)
    return None if book is None else (book["snapshots"], book["levels"])


def _looks(ensemble: Ensemble) -> dict[str, Look]:
    each = zip(ensemble.combiner.members, ensemble.graphs, strict=True)
    contracts = {name: graph.contract for name, graph in each}
    return {
        name: Look(one.window, len(one.features), one.book is not None)
        for name, one in contracts.items()
    }


def _at_the_end(book: Floats, rows: int) -> npt.NDArray[np.object_]:
    cells = np.full(rows, None, dtype=object)
    cells[-1] = book
    return cells


def _stretches(rows: Integers) -> Iterator[Integers]:
    """Yield runs of consecutive rows, so that the chain computes no unneeded minute."""
    for stretch in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        for begin in range(0, len(stretch), BATCH):
            yield stretch[begin : begin + BATCH]
