"""Train a network by `steps.train` in a process of its own, and tell how far it is."""

from __future__ import annotations

import sys
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities import Run

from quantgod.api.desk import Desk
from quantgod.settings import Settings, with_values
from quantgod.tracking.pipeline import resolved_config
from quantgod.tracking.supply import is_there

LOSS: Final = "validation_loss"


def training_command(desk: Desk, asked: dict[str, Any]) -> list[str]:
    """Return the command that trains what is asked for, by the settings of the server.

    A member is trained by its own settings; a network that is no member takes the place of the
    settings' own, with its own parameters' defaults.
    """
    settings, name = desk.settings, asked["architecture"]
    config = resolved_config(settings, desk.config)
    values = [] if asked["symbol"] is None else [f"data.symbol={asked['symbol']}"]
    command = [sys.executable, "-m", "steps.train", "--config", str(config.resolve())]
    if name in settings.members:
        command += ["--member", name]
    elif name != settings.model.name:
        values += [f"model.name={name}", "model.params={}"]
    for option in ("epochs", "batch_size"):
        if asked[option] is not None:
            command += [f"--{option.replace('_', '-')}", str(asked[option])]
    return [*command, *(["--set", ";".join(values)] if values else [])]


def has_data(settings: Settings, symbol: str) -> bool:
    """Return whether there is anything of a symbol that it could be trained on."""
    own = with_values(settings, {"data.symbol": symbol})
    return any(is_there(data, own) for data in ("labels", "bars", "archives"))


def losses(client: MlflowClient, run: Run) -> list[float]:
    """Return the validation loss of each epoch so far; an epoch that was told twice counts once."""
    told = client.get_metric_history(run.info.run_id, LOSS)
    return list({one.step: one.value for one in sorted(told, key=lambda one: one.step)}.values())
