"""Open MLflow's pages: runs to compare, and registered models."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from steps.console import say
from steps.options import config_options, setting, settings_from, step
from steps.stopping import NOTHING_CHANGED


@step(NOTHING_CHANGED)
@config_options
@click.option("--port", default=5000, show_default=True, help="Port on 127.0.0.1.")
@setting("--name", "registry.name", "Name of the registered model.")
def main(config: Path, overrides: tuple[str, ...], *, port: int, **options: Any) -> None:
    """Print the addresses of runs and model, and serve them on loopback until Ctrl-C.

    A tracking server that `MLFLOW_TRACKING_URI` names serves them already.
    """
    settings = settings_from(config, overrides, options)
    from quantgod.registry.port import HOST, listening_on
    from quantgod.tracking.runs_view import VIEW_TAG, address, runs_view
    from quantgod.tracking.store import compared_experiments, connect, store_uri

    client, uri = connect(settings.tracking), store_uri(settings.tracking)
    place = uri.rstrip("/") if uri.startswith("http") else f"http://{HOST}:{port}"
    if not uri.startswith("http"):
        listening_on(port).close()  # MLflow would say no more than that it cannot
    for experiment in compared_experiments(client, settings.tracking):
        client.set_experiment_tag(experiment.experiment_id, VIEW_TAG, runs_view())
        say(f"{experiment.name}: {address(place, experiment.experiment_id)}")
    say(f"model: {place}/#/models/{quote(settings.registry.name, safe='')}")
    if not uri.startswith("http"):
        say("starting; the pages are there once the log below says so")
        serve = ["-m", "mlflow", "ui", "--backend-store-uri", uri, "--workers", "1"]
        os.execv(sys.executable, [sys.executable, *serve, "--host", HOST, "--port", str(port)])


if __name__ == "__main__":
    main()
