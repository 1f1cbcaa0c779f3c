"""Run the application by uvicorn on a free port of loopback, in a thread of the test's process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from mlflow import MlflowClient

from quantgod.api.app import make_app
from quantgod.api.desk import Desk
from quantgod.api.guard.guard import Guard
from quantgod.api.guard.token import kept_hash, new_token
from quantgod.api.jobs import Jobs
from quantgod.api.listening import HOST, Listening
from quantgod.settings import Settings, load_settings, with_values
from tests.registry.shelves import ALIAS, NAME

START_SECONDS = 20


@dataclass(frozen=True)
class Served:
    """Where it listens, its token, and the application."""

    address: str
    token: str
    app: Guard
    settings: Settings

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **parameters: Any) -> requests.Response:
        asked = self.address + path
        return requests.get(asked, params=parameters, headers=self.bearer, timeout=30)

    def post(self, path: str, body: Any, **headers: str) -> requests.Response:
        said = self.bearer | {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"json": body}
        if isinstance(body, bytes):
            given, said["Content-Type"] = {"data": body}, "application/json"
        return requests.post(self.address + path, **given, headers=said, timeout=600)

    def tag(self) -> str:
        return self.get("/api/deployments").headers["ETag"]


def settings_in(folder: Path, config: str = "conf/demo.yaml", **more: Any) -> Settings:
    """Those of a file, of the tests' model, with all places in a folder."""
    places = {"registry.name": NAME, "registry.alias": ALIAS, "manage.folder": str(folder / "own")}
    places |= {"live.journal": str(folder / "journal"), "tracking.outbox": str(folder / "outbox")}
    own = ("archives", "bars", "labels", "features", "snapshots", "work")
    places |= {f"data.{name}": str(folder / name) for name in own}
    given = {key.replace("__", "."): value for key, value in more.items()}
    return with_values(load_settings(Path(config)), places | given)


@contextmanager
def served(folder: Path, config: str = "conf/demo.yaml", **more: Any) -> Iterator[Served]:
    """Serve the model of a store that MLflow points at; `more` are settings."""
    settings = settings_in(folder, config, **more)
    token = new_token(settings.manage.folder)
    desk = Desk(settings, MlflowClient(), Path(config), Jobs(settings.manage.folder))
    app = make_app(desk, kept_hash(settings.manage.folder))
    with listening_at(app, desk.ending) as port:
        yield Served(f"http://{HOST}:{port}", token, app, settings)


@contextmanager
def listening_at(app: Guard, ending: threading.Event) -> Iterator[int]:
    # Of TCP by name, as uvicorn's own: asyncio then sends a short answer without delay.
    with socket.socket(proto=socket.IPPROTO_TCP) as bound:
        bound.bind((HOST, 0))
        port: int = bound.getsockname()[1]
        server = Listening(app, port, ending)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        end = time.monotonic() + START_SECONDS
        while not server.started:
            assert time.monotonic() < end and thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        try:
            yield port
        finally:
            server.should_exit = True
            thread.join(START_SECONDS)
            assert not thread.is_alive()
