"""Update a project's store after the project was moved or copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steps.console import say
from steps.options import config_options, given, settings_from, step


@step()
@config_options
@given("--from", "Where the project was; left out, the store tells.", metavar="DIR")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Replace the former folder by this one in every place that the project's store names."""
    former = options.pop("from")
    settings = settings_from(config, overrides, options)
    from mlflow import MlflowClient

    from quantgod.tracking.relocation import database, former_place, relocate
    from quantgod.tracking.store import PROJECT, store_uri

    uri = store_uri(settings.tracking)
    store = database(uri)
    if store is None or not store.is_file():
        raise click.ClickException(
            f"an SQLite store was expected, got {uri}: a server moves its own"
        )
    artifacts = settings.tracking.artifacts
    if former is None:
        experiments = list(MlflowClient(uri).search_experiments())
        old = former_place(experiments, PROJECT, artifacts)
        if old is None:
            say(f"nothing to do: {store.name} keeps its artifacts in {PROJECT}")
            return
    else:
        old = Path(former).resolve()
    changed = relocate(store, old, PROJECT)
    counts = ", ".join(f"{count} of {table}" for table, count in changed.items())
    say(f"{store.name}: {old} is now {PROJECT} ({counts})")


if __name__ == "__main__":
    main()
