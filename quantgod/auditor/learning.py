"""Learn from a labelled table: the base network, its folds, and the auditor on top."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from quantgod.auditor.audit import AuditResult, audit
from quantgod.auditor.out_of_fold import Recipe
from quantgod.auditor.provenance import assert_untrained
from quantgod.auditor.reports import UNHEARD, Hooks
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.samples import samples
from quantgod.dataset.splits import split_test
from quantgod.forecasters.base_model import TrainedBase, train_base
from quantgod.forecasters.network import Network
from quantgod.settings import Settings


@dataclass(frozen=True, eq=False)
class LearnResult:
    """A trained base network and its audit."""

    base: TrainedBase
    audit: AuditResult


def learn(
    table: pd.DataFrame, settings: Settings, work: Path, hooks: Hooks = UNHEARD
) -> LearnResult:
    """Train the base network and audit it, as the stages `train` and `audit` do in turn.

    Args:
        table: what `label` returns; its test part is not used.
        settings: window, split, model, train and audit are read.
        work: folder for checkpoints and finished folds.
        hooks: called with epochs and folds of the audit, and with the progress of both.

    Raises:
        ValueError: if there are too few rows for a part.
        ProvenanceError: if a row's model was trained on data at or after the row.
    """
    base = train_base(table, settings, progress=hooks.progress)
    return LearnResult(base, audit_network(base.network, table, settings, work, hooks))


def audit_network(
    network: Network,
    table: pd.DataFrame,
    settings: Settings,
    work: Path,
    hooks: Hooks = UNHEARD,
    blocks: BookBlocks | None = None,
) -> AuditResult:
    """Audit a network on dev, with folds of its window length; the test part is not used.

    Args:
        network: what `train_base` has made.
        table: what it learned from.
        settings: split, model, train and audit are read.
        work: folder for checkpoints and finished folds.
        hooks: called with epochs, folds and progress.
        blocks: of the book, for a network that looks at it; each row has a whole one.

    Raises:
        ValueError: if there are too few rows for a part.
        ProvenanceError: if a row's model was trained on data at or after the row, or the network on
            the test part.
    """
    taken = samples(table, network.window, settings.audit.stride)
    split = split_test(taken, settings.split)
    assert_untrained(network.trained_until, taken.minute(int(split.other[0])))
    recipe = Recipe(
        settings.model, settings.train, settings.audit, settings.split, network.window, network.book
    )
    return audit(table, taken, split.train, recipe, work, hooks, blocks)
