"""Learn an ensemble: its members and their folds, the combiner, and the auditor on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from quantgod.auditor.audit import AuditResult, Walk, audit
from quantgod.auditor.ensemble_rows import ensemble_rows
from quantgod.auditor.learner import Learner
from quantgod.ensemble.checking import grid_of
from quantgod.ensemble.ensemble import Ensemble, check_alike
from quantgod.ensemble.fitting import new_combiner
from quantgod.forecasters.base_model import TrainedBase
from quantgod.forecasters.network import Network
from quantgod.served.combiners.outcome import Outcome
from quantgod.settings import EnsembleSettings, Settings, SettingsError


class EnsembleAudit(NamedTuple):
    """An ensemble and its audit.

    Attributes:
        ensemble: members and combiner, as they are served.
        audit: of what they say together.
        left_out: out-of-fold minutes that lack a member, or on which the members make no answer.
        walks: out-of-fold rows and folds of each member.
        weights: by which each minute out of fold was combined, a column a member.
    """

    ensemble: Ensemble
    audit: AuditResult
    left_out: int
    walks: Mapping[str, Walk]
    weights: pd.DataFrame


class EnsembleLearned(NamedTuple):
    """The trained members of an ensemble, and their audit."""

    bases: Mapping[str, TrainedBase]
    audit: EnsembleAudit


@dataclass(frozen=True, eq=False)
class EnsembleLearner:
    """What trains the members of an ensemble and audits them together.

    Attributes:
        settings: with `ensemble`; label, audit and evaluate are read.
        learners: of the members by name, each with settings and rows of its own.
    """

    settings: Settings
    learners: Mapping[str, Learner]

    def learn(self) -> EnsembleLearned:
        """Train all members and audit them.

        Raises:
            ValueError, ProvenanceError: as `audit`.
        """
        bases = {name: one.base() for name, one in self.learners.items()}
        return EnsembleLearned(
            bases, self.audit({name: base.network for name, base in bases.items()})
        )

    def audit(self, networks: Mapping[str, Network]) -> EnsembleAudit:
        """Walk over the folds of all members, combine what they forecast, and fit the auditor.

        Args:
            networks: of the members by name, in any order.

        Raises:
            UnlikeMembersError: if members forecast different things.
            ValueError: if there are too few rows, or weights cannot be fitted.
            ProvenanceError: if a row's model was trained on data at or after the row.
        """
        check_alike({name: networks[name].card.target for name in self.learners})
        walks = {name: one.walk(networks[name]) for name, one in self.learners.items()}
        how, own = self._how, {name: one.settings for name, one in self.learners.items()}
        first = max(walks, key=lambda name: networks[name].window)
        new = new_combiner(
            how,
            list(walks),
            self.settings.audit.decision_weights,
            self._outcome,
            grid_of(self.settings, own),
        )
        frames = {name: walked.rows for name, walked in walks.items()}
        made = ensemble_rows(frames, new, how.strategy, first)
        folds = tuple(fold for walked in walks.values() for fold in walked.folds)
        audited = audit(
            Walk(made.rows, folds, walks[first].of), self.learners[first].hooks.progress
        )
        ensemble = Ensemble({name: networks[name] for name in walks}, made.fitted.combiner)
        times = pd.DatetimeIndex(made.rows["time"])
        weights = pd.DataFrame(made.fitted.weights.T, times, list(walks))
        return EnsembleAudit(ensemble, audited, made.left_out, walks, weights)

    @property
    def _how(self) -> EnsembleSettings:
        if self.settings.ensemble is None:
            raise SettingsError("ensemble: a strategy for the members expected, got null")
        return self.settings.ensemble

    @property
    def _outcome(self) -> Outcome:
        label = self.settings.label
        return Outcome(label.horizon_minutes, label.buy_above, label.sell_below)
