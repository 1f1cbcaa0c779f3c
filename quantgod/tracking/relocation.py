"""Handle a moved project, whose store still names the old folder, where MLflow would write."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from mlflow.entities import Experiment

from quantgod.settings import command

_PLACES: Final = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns of MLflow's store that hold artifact locations."""

_SQLITE: Final = "sqlite:///"


class MovedProjectError(ValueError):
    """The store keeps artifacts in a folder outside the project."""


def database(uri: str) -> Path | None:
    """Return the file of an SQLite store; None for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]).resolve()


def check_place(experiment: Experiment, uri: str, project: Path, artifacts: Path) -> None:
    """Check that an experiment keeps its artifacts in the project, if the store is the project's.

    Args:
        experiment: of the store.
        uri: of the store.
        project: the project's folder.
        artifacts: where the settings keep artifacts; relative to the project, or absolute.

    Raises:
        MovedProjectError: naming both places and the command that repairs it.
    """
    store, kept = database(uri), _local(experiment.artifact_location)
    if store is None or kept is None or not store.is_relative_to(project):
        return
    if kept.is_relative_to(project) or kept.is_relative_to(project / artifacts):
        return
    raise MovedProjectError(
        f"the project is at {project}, and its store {store.name} keeps the artifacts of "
        f"experiment {experiment.name!r} at {kept}. If the project was moved or copied, "
        f"`{command('relocate')}` enters the new place; if not, set tracking.artifacts to that "
        "folder"
    )


def former_place(experiments: list[Experiment], project: Path, artifacts: Path) -> Path | None:
    """Find a project's former folder from the artifact locations of its experiments.

    MLflow creates the experiment `Default` by itself, with artifacts in the folder of the first
    command, so that one counts only if there is no other.

    Returns:
        The folder; None if all experiments keep artifacts in the project, or elsewhere on purpose.
    """
    own = [experiment for experiment in experiments if experiment.experiment_id != "0"]
    for experiment in own or experiments:
        kept = _local(experiment.artifact_location)
        if artifacts.is_absolute() or kept is None or kept.is_relative_to(project):
            continue
        for folder in (kept, *kept.parents):
            if folder.parts[-len(artifacts.parts) :] == artifacts.parts:
                return folder.parents[len(artifacts.parts) - 1]
    return None


def relocate(store: Path, old: Path, new: Path) -> dict[str, int]:
    """Replace folder `old` by `new` in all locations of an SQLite store, in one transaction.

    Returns:
        The number of changed locations, by table.
    """
    changed = dict.fromkeys(_PLACES, 0)
    with closing(sqlite3.connect(store)) as connection, connection:
        for table, columns in _PLACES.items():
            for column in columns:
                for before, after in ((str(old), str(new)), (old.as_uri(), new.as_uri())):
                    done = connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (after, len(before) + 1, before, len(before) + 1, f"{before}/"),
                    )
                    changed[table] += done.rowcount
    return changed


def _local(location: str) -> Path | None:
    """Return the folder of a local location (path or `file:` URI); None for others."""
    parts = urlsplit(location)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else location).resolve()
