"""What the routes work on: settings, the tracking store, and the model that is managed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Annotated

from fastapi import Depends, Request
from mlflow import MlflowClient

from quantgod.api.jobs import CHANGE, Jobs
from quantgod.settings import Settings


@dataclass(frozen=True)
class Desk:
    """What the routes work on.

    Attributes:
        settings: they name the model, its alias and the journal.
        client: of the store.
        config: file of the settings, for commands that are run; what was given besides it is
            written into another one.
        jobs: what runs trainings.
        ending: set when the server ends.
    """

    settings: Settings
    client: MlflowClient
    config: Path
    jobs: Jobs
    ending: Event = field(default_factory=Event)

    @property
    def name(self) -> str:
        """Return the registered model's name."""
        return self.settings.registry.name

    @property
    def alias(self) -> str:
        """Return the alias that deploys a version."""
        return self.settings.registry.alias

    @property
    def changes(self) -> Jobs:
        """Return what runs changes of the ensemble, of which or of trainings one runs at a time."""
        return self.jobs.of(CHANGE)

    @property
    def journal(self) -> Path:
        """Return the folder of the live journal, which is only read."""
        return self.settings.live.own_journal


async def _desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk_of)]
"""Gives a route the desk of its application."""
