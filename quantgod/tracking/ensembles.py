"""Take the trained members of an ensemble from their runs, to audit them together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from quantgod.auditor.ensemble_learner import EnsembleLearner
from quantgod.auditor.learner import FOLDS, Learner
from quantgod.auditor.reports import Hooks
from quantgod.contracts import Series
from quantgod.dataset.learning_table import learned_from
from quantgod.dataset.series import check_one_series, read_series, table_series
from quantgod.forecasters.network import Network, load_network
from quantgod.settings import Settings, members_of, without_disabled
from quantgod.tracking.chosen import chosen_settings, member_runs, search_behind
from quantgod.tracking.keys import artifacts_of
from quantgod.tracking.reads import beside_labels
from quantgod.tracking.stage import StageRun

ENSEMBLE: Final = "ensemble"
"""Folder of an audit's run with the members and their combiner."""


class TrainedMembers(NamedTuple):
    """The members of an ensemble as they were trained, and what audits them together.

    Attributes:
        networks: by name.
        learner: of all of them.
        series: of all rows.
    """

    networks: dict[str, Network]
    learner: EnsembleLearner
    series: Series


def trained_members(
    run: StageRun, hooks: Hooks, announce: Callable[[str], None] = lambda text: None
) -> TrainedMembers:
    """Return the members with a vote that a run's `members` run has trained.

    Finished folds of theirs are put where a learner looks.

    Args:
        run: of the stage `audit`, with runs of label and members.
        hooks: called with folds and progress.
        announce: called with how many minutes a member leaves out.

    Raises:
        SeriesError: if they are not of one series.
        SettingsError: if settings name other members than were trained.
    """
    runs, settings = member_runs(run.needed("members")), without_disabled(run.settings)
    disabled = run.settings.members.keys() - settings.members
    own, networks, learners = members_of(settings), {}, {}
    series = {"labels": table_series(run.inputs["labels"])}
    with run.scratch() as folder:
        for name, train in runs.items():
            if name in disabled:
                continue
            kept = artifacts_of(train, "network", folder / name)
            networks[name], series[name] = load_network(kept), read_series(kept)
            learners[name] = _learner(run, name, own[name], train, hooks, announce)
    one = check_one_series(series)
    return TrainedMembers(networks, EnsembleLearner(settings, learners), one)


def _learner(
    run: StageRun,
    name: str,
    settings: Settings,
    train: str,
    hooks: Hooks,
    announce: Callable[[str], None],
) -> Learner:
    client, work = run.client, _place(run, name)
    searched = search_behind(client, train)
    if client.list_artifacts(train, FOLDS):
        artifacts_of(train, FOLDS, work)
    inputs = {what: run.inputs[what] for what in ("labels", *beside_labels(settings))}
    learned = learned_from(inputs, lambda text: announce(f"{name}: {text}"))
    return Learner(learned, chosen_settings(settings, searched), work, hooks, inputs)


def _place(run: StageRun, name: str) -> Path:
    place = run.workplace() / name
    place.mkdir(parents=True, exist_ok=True)
    return place
