"""A moved project: its store names the folder that it was in, and MLflow would write there."""

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
"""The columns of MLflow's store that hold the place of an artifact."""

_SQLITE: Final = "sqlite:///"


class MovedProjectError(ValueError):
    """The store keeps artifacts in another folder than the project's."""


def database(uri: str) -> Path | None:
    """Give the file of an SQLite store; None for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]).resolve()


def check_place(experiment: Experiment, uri: str, project: Path, artifacts: Path) -> None:
    """See that an experiment keeps its artifacts in the project, where the project has its store.

    Args:
        experiment: of the store.
        uri: the store's.
        project: the project's folder.
        artifacts: where the settings keep artifacts; relative to the project, or absolute.

    Raises:
        MovedProjectError: naming both places and the command that mends it.
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
    """Find the folder that a project was in, by where its experiments keep their artifacts.

    MLflow makes the experiment `Default` by itself, with artifacts where the first command was
    called, so that one counts only where there is no other.

    Returns:
        The folder; None where every experiment keeps them in the project, or elsewhere on purpose.
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
    """Replace folder `old` by `new` in each place that an SQLite store names: all of them or none.

    Returns:
        How many places were changed, by table.
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
    """The folder of a local location, given as a path or a `file:` URI; None for another."""
    parts = urlsplit(location)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else location).resolve()
