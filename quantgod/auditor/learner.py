"""Learn from a labelled table: the base network, its folds, and the auditor on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from quantgod.auditor.audit import AuditResult, Walk, audit, walk
from quantgod.auditor.fold_workers import fold_places, train_folds
from quantgod.auditor.out_of_fold import FoldMaterial, Recipe, TrainFolds, fold_material
from quantgod.auditor.provenance import assert_untrained
from quantgod.auditor.reports import UNHEARD, Hooks
from quantgod.dataset.learning_table import LearnedFrom
from quantgod.forecasters.base_model import TrainedBase
from quantgod.forecasters.base_training import train_base_where_asked
from quantgod.forecasters.network import Network
from quantgod.settings import Settings
from quantgod.training.reports import OnEpoch, unheard

FOLDS: Final = "folds"
"""Folder of finished folds in a learner's work folder."""


@dataclass(frozen=True, eq=False)
class LearnResult:
    """A trained base network and its audit."""

    base: TrainedBase
    audit: AuditResult


@dataclass(frozen=True, eq=False)
class Learner:
    """What trains a base network and audits it: in stages, a rehearsal and a leak audit alike.

    Attributes:
        learned: the table that is learned from, and its blocks; its test part is not used.
        settings: window, split, model, train and audit are read.
        work: folder for checkpoints and finished folds; what was killed goes on from there.
        hooks: called with epochs and folds of the audit, and with the progress of all.
        inputs: the paths that the table was read from, as `learned_from` takes them. With them all
            is trained where `train.workers` and `train.scheduler` say; without, in this process.
    """

    learned: LearnedFrom
    settings: Settings
    work: Path
    hooks: Hooks = UNHEARD
    inputs: Mapping[str, Path] | None = None

    def learn(self) -> LearnResult:
        """Train the base network and audit it.

        Raises:
            ValueError, ProvenanceError: as `base` and `audit`.
        """
        base = self.base()
        return LearnResult(base, self.audit(base.network))

    def base(self, on_epoch: OnEpoch = unheard) -> TrainedBase:
        """Train the base network.

        Args:
            on_epoch: called after each epoch.

        Raises:
            ValueError: if there are too few rows for a part.
            BaseTrainingError, ClusterError: as `train_base_where_asked`.
        """
        return train_base_where_asked(
            self.learned, self.inputs, self.settings, self.work, on_epoch, self.hooks.progress
        )

    def walk(self, network: Network) -> Walk:
        """Make the out-of-fold rows that `audit` fits its auditor on.

        Args:
            network: what `base` has made; folds have its window length.

        Raises:
            ValueError: if there are too few rows for a part.
            ProvenanceError: if a row's model was trained on data at or after the row, or the
                network on the test part.
            FoldError, ClusterError: as `train_folds`.
        """
        of = self._material(network)
        return walk(of, self.work / FOLDS, self.hooks, self._elsewhere(of.recipe))

    def audit(self, network: Network) -> AuditResult:
        """Walk over the folds of a network, and fit the auditor.

        Raises:
            ValueError, ProvenanceError, FoldError, ClusterError: as `walk`.
        """
        return audit(self.walk(network), self.hooks.progress)

    def _material(self, network: Network) -> FoldMaterial:
        of = self.settings
        recipe = Recipe(of.model, of.train, of.audit, of.split, network.window, network.book)
        made = fold_material(self.learned, recipe)
        assert_untrained(network.trained_until, made.samples.minute(int(made.split.other[0])))
        return made

    def _elsewhere(self, recipe: Recipe) -> TrainFolds | None:
        """Return what trains folds side by side; None for one after the other in this process."""
        if self.inputs is None or (places := fold_places(self.settings.train)) is None:
            return None
        return partial(
            train_folds, inputs=self.inputs, recipe=recipe, work=self.work / FOLDS, places=places,
            hooks=self.hooks,
        )  # fmt: skip
