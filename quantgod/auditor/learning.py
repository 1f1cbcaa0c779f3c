"""One way to learn from a labelled table: the base network, its folds, the auditor on top."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from quantgod.auditor.audit import AuditResult, audit
from quantgod.auditor.out_of_fold import Recipe
from quantgod.auditor.provenance import assert_untrained
from quantgod.auditor.reports import UNHEARD, Hooks
from quantgod.dataset.splits import split_test
from quantgod.dataset.windows import samples
from quantgod.forecasters.base_model import TrainedBase, train_base
from quantgod.forecasters.network import Network
from quantgod.settings import Settings


@dataclass(frozen=True, eq=False)
class Learned:
    """A base network with how it was trained, and the audit of it."""

    base: TrainedBase
    audit: AuditResult


def learn(table: pd.DataFrame, settings: Settings, work: Path, hooks: Hooks = UNHEARD) -> Learned:
    """Train the base network and audit it, as the stages `train` and `audit` do in turn.

    Args:
        table: what `label` returns; the test part is in it and is not looked at.
        settings: window, split, model, train and audit are read.
        work: folder for checkpoints and finished folds.
        hooks: who hears of epochs and folds of the audit, and of the progress of both.

    Raises:
        ValueError: if there are too few rows for a part.
        ProvenanceError: if a row's model had seen past it.
    """
    base = train_base(table, settings, progress=hooks.progress)
    return Learned(base, audit_network(base.network, table, settings, work, hooks))


def audit_network(
    network: Network, table: pd.DataFrame, settings: Settings, work: Path, hooks: Hooks = UNHEARD
) -> AuditResult:
    """Audit a network on dev: the folds are of its window, and the test part is not looked at.

    Raises:
        ValueError: if there are too few rows for a part.
        ProvenanceError: if a row's model had seen past it, or the network a row of the test part.
    """
    taken = samples(table, network.window, settings.audit.stride)
    split = split_test(taken, settings.split)
    assert_untrained(network.trained_until, taken.minute(int(split.other[0])))
    recipe = Recipe(settings.model, settings.train, settings.audit, settings.split, network.window)
    return audit(table, taken, split.train, recipe, work, hooks)
