"""Evaluate a base network and an auditor that are not yet a version."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantgod.auditor.auditor import Auditor
from quantgod.auditor.auditor_input import AuditorInput
from quantgod.auditor.meta_features import MetaFeatures, meta_features
from quantgod.contracts import CLASSES, Floats, Integers, Progress, silent
from quantgod.dataset.book_blocks import RowBlocks
from quantgod.evaluation.subject import Answers, RawMaterial
from quantgod.forecasters.network import Network
from quantgod.served.conformal import actions

NEUTRAL = CLASSES.index("NEUTRAL")

Weights = tuple[float, ...]


class Audited:
    """What any trained model does with its auditor.

    Args:
        auditor: fitted on out-of-fold forecasts of such models.
    """

    def __init__(self, auditor: Auditor) -> None:
        self.decision_weights: Weights = auditor.calibrator.decision_weights
        self.promise = auditor.conformal.level, auditor.conformal.threshold
        self._auditor = auditor

    def audited(self, meta: Floats) -> Floats:
        """Return the auditor's calibrated probabilities (n, 3)."""
        return self._auditor.predict(meta)

    def confidence(self, seen: AuditorInput) -> Floats | None:
        """Return how likely the base's decided class is right, (n,); None if it does not say."""
        trust = self._auditor.confidence
        return None if trust is None else trust.fitted(seen.said)

    def answers(self, audited: Floats, consent: Integers | None = None) -> Answers:
        """Return classes, sets and actions for audited probabilities (n, 3)."""
        decided, holds = self._auditor.decide(audited), self._auditor.conformal.holds(audited)
        action = actions(decided, holds, NEUTRAL)
        if consent is not None:
            action = np.where(action == consent, action, NEUTRAL)
        return Answers(decided, holds, action)

    def answer_times(
        self, table: pd.DataFrame, rows: Integers, book: RowBlocks | None = None
    ) -> None:
        """Return None: nothing is served yet."""


class NetworkSubject(Audited):
    """A subject that computes with torch and the booster.

    Args:
        name: name in reports, such as `run ID`.
        network: moved to the device when used.
        auditor: fitted on out-of-fold forecasts of such networks.
        batch_size: windows per batch.
        device: auto, cpu or cuda.
    """

    def __init__(
        self, name: str, network: Network, auditor: Auditor, batch_size: int, device: str = "auto"
    ) -> None:
        super().__init__(auditor)
        self.name = name
        self.window = network.window
        self.columns = network.inputs.columns
        self.block = network.book
        self.base_weights: Weights = network.class_weights
        self._ask = Asked(network, batch_size, device)

    def ask(
        self, material: RawMaterial, rows: Integers, progress: Progress = silent
    ) -> AuditorInput:
        """Return forecasts and meta-features of the windows of `material` that end at `rows`."""
        return self._ask(material, rows, progress)


class Asked:
    """A network that is asked about windows of raw rows.

    Args:
        network: moved to the device when used.
        batch_size: windows per batch.
        device: auto, cpu or cuda.
    """

    def __init__(self, network: Network, batch_size: int, device: str) -> None:
        scaler, views = network.scaler, network.inputs.views
        self._module = MetaFeatures(
            network.model, scaler.mean, scaler.std, views, network.class_weights
        )
        self._window, self._batch_size, self._device = network.window, batch_size, device
        self._columns, self._has_book = len(network.inputs.columns), network.book is not None

    def __call__(self, material: RawMaterial, rows: Integers, progress: Progress) -> AuditorInput:
        """Return forecasts and meta-features of the windows of `material` that end at `rows`.

        Of rows with more columns than the network takes, its own come first.
        """
        book = material.book if self._has_book else None
        return meta_features(
            self._module, material.matrix[:, : self._columns], rows, self._window,
            self._batch_size, book=book, device=self._device, progress=progress,
        )  # fmt: skip
