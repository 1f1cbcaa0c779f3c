"""Learn from a labelled table: the base network, its folds, and the auditor on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from quantgod.auditor.audit import AuditResult, Walk, audit, walk
from quantgod.auditor.fold_workers import fold_places, train_folds
from quantgod.auditor.out_of_fold import FoldParts, Recipe, TrainFolds, fold_parts
from quantgod.auditor.provenance import assert_untrained
from quantgod.auditor.reports import UNHEARD, Hooks
from quantgod.contracts import Integers
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.samples import Samples, samples
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
    table: pd.DataFrame,
    settings: Settings,
    work: Path,
    hooks: Hooks = UNHEARD,
    blocks: BookBlocks | None = None,
) -> LearnResult:
    """Train the base network and audit it, as the stages `train` and `audit` do in turn.

    Args:
        table: what `label` returns; its test part is not used.
        settings: window, split, model, train and audit are read.
        work: folder for checkpoints and finished folds.
        hooks: called with epochs and folds of the audit, and with the progress of both.
        blocks: of the book, for a network that looks at it; each row has a whole one.

    Raises:
        ValueError: if there are too few rows for a part.
        ProvenanceError: if a row's model was trained on data at or after the row.
    """
    base = train_base(table, settings, blocks=blocks, progress=hooks.progress)
    return LearnResult(base, audit_network(base.network, table, settings, work, hooks, blocks))


def audit_network(
    network: Network,
    table: pd.DataFrame,
    settings: Settings,
    work: Path,
    hooks: Hooks = UNHEARD,
    blocks: BookBlocks | None = None,
    inputs: Mapping[str, Path] | None = None,
) -> AuditResult:
    """Audit a network on dev, with folds of its window length; the test part is not used.

    Args:
        network: what `train_base` has made.
        table: what it learned from.
        settings: split, model, train and audit are read.
        work: folder for checkpoints and finished folds.
        hooks: called with epochs, folds and progress.
        blocks: of the book, for a network that looks at it; each row has a whole one.
        inputs: the paths that the table was read from, as `learned_from` takes them. With them
            folds are trained side by side, as `train.workers` and `train.scheduler` say.

    Raises:
        ValueError: if there are too few rows for a part.
        ProvenanceError: if a row's model was trained on data at or after the row, or the network on
            the test part.
        FoldError, ClusterError: as `train_folds`.
    """
    given = _of_folds(network, table, settings, work, hooks, inputs)
    return audit(table, *given.dev, given.recipe, work, hooks, blocks, given.elsewhere)


def walk_network(
    network: Network,
    table: pd.DataFrame,
    settings: Settings,
    work: Path,
    hooks: Hooks = UNHEARD,
    blocks: BookBlocks | None = None,
    inputs: Mapping[str, Path] | None = None,
) -> Walk:
    """Make the out-of-fold rows that `audit_network` of the same arguments fits its auditor on.

    Raises:
        ValueError, ProvenanceError, FoldError, ClusterError: as `audit_network`.
    """
    given = _of_folds(network, table, settings, work, hooks, inputs)
    return walk(table, *given.dev, given.recipe, work, hooks, blocks, given.elsewhere)


def network_folds(network: Network, table: pd.DataFrame, settings: Settings) -> list[FoldParts]:
    """Return the parts of each fold that `walk_network` of the same arguments trains and forecasts.

    Raises:
        ValueError, ProvenanceError: as `audit_network`.
    """
    dev, recipe = _dev(network, table, settings)
    return list(fold_parts(*dev, recipe))


class _OfFolds(NamedTuple):
    """The samples of dev, how its folds are trained, and where; None is here."""

    dev: tuple[Samples, Integers]
    recipe: Recipe
    elsewhere: TrainFolds | None


def _of_folds(
    network: Network,
    table: pd.DataFrame,
    settings: Settings,
    work: Path,
    hooks: Hooks,
    inputs: Mapping[str, Path] | None,
) -> _OfFolds:
    dev, recipe = _dev(network, table, settings)
    places = None if inputs is None else fold_places(settings.train)
    elsewhere = None
    if inputs is not None and places is not None:
        elsewhere = partial(
            train_folds, inputs=inputs, recipe=recipe, work=work, places=places, hooks=hooks
        )
    return _OfFolds(dev, recipe, elsewhere)


def _dev(
    network: Network, table: pd.DataFrame, settings: Settings
) -> tuple[tuple[Samples, Integers], Recipe]:
    """Return the samples with the positions of dev, and the recipe of the folds."""
    taken = samples(table, network.window, settings.audit.stride)
    split = split_test(taken, settings.split)
    assert_untrained(network.trained_until, taken.minute(int(split.other[0])))
    recipe = Recipe(
        settings.model, settings.train, settings.audit, settings.split, network.window, network.book
    )
    return (taken, split.train), recipe
