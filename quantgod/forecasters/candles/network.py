"""Networks of the zoo as members: trained by the one loop, with widths by Monte Carlo dropout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from quantgod.contracts import Floats, Integers
from quantgod.dataset.candles.table import CandleTable, samples_of
from quantgod.dataset.views import Views
from quantgod.dataset.windows import Windows
from quantgod.forecasters.candles.mc_dropout import mc_forecast
from quantgod.forecasters.candles.member import Hooks, Material, Seen
from quantgod.models import zoo
from quantgod.served.candles.members import Said, normal
from quantgod.served.candles.network import RETURNS, mean_of
from quantgod.settings import (
    ForecastMemberSettings,
    ForecastSettings,
    ModelSettings,
    Settings,
    SettingsError,
    TrainSettings,
    settings_of,
)
from quantgod.training.fitting import fit_network
from quantgod.training.predict import outputs

VIEW = "features"
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A network with the weights of its best epoch.

    Attributes:
        model: in eval mode.
        name, params: of the architecture.
        objective: returns, direction or trend.
        draws, seed: of Monte Carlo dropout; no draws for a width of past returns alone.
        window: rows that it looks at.
        batch_size: moments at a time.
    """

    model: nn.Module
    name: str
    params: Mapping[str, Any]
    objective: str
    draws: int
    seed: int
    window: int
    batch_size: int
    told: dict[str, Any] = field(default_factory=dict)

    def forecast(self, matrix: Seen, rows: Integers) -> Said:
        """Return what it says of the windows that end at rows of a scaled matrix."""
        views = views_of(matrix, self.window)
        if self.objective == RETURNS and self.draws:
            mean, variance = mc_forecast(
                self.model, views, rows, self.draws, self.seed, batch_size=self.batch_size
            )
            return normal(mean, np.sqrt(1 + variance))
        said = outputs(self.model, views, torch.from_numpy(rows), self.batch_size)
        if self.objective == RETURNS:
            return normal(said["expected_return"].numpy().astype(np.float64))
        return normal(mean_of(said["probs"].numpy().astype(np.float64)))

    def attention(self, matrix: Seen, rows: Integers) -> Floats | None:
        """Return how much each row of windows counts, (n, window), of a network that tells."""
        weights = getattr(self.model, "attention_weights", None)
        if weights is None:
            return None
        with torch.inference_mode():
            seen = views_of(matrix, self.window)(torch.from_numpy(rows))[VIEW]
            return np.asarray(weights(seen).numpy(), np.float64)


def views_of(matrix: Seen, window: int) -> Views:
    """Return the windows of a scaled matrix as what a network takes."""
    return Views({VIEW: Windows(torch.from_numpy(np.ascontiguousarray(matrix)), window)})


def train_settings(member: ForecastMemberSettings, settings: Settings) -> TrainSettings:
    """Return how a member is trained: `train` of the settings, and what the member says besides.

    Raises:
        SettingsError: for a key that `train` does not have, or a wrong value.
    """
    values = settings.model_dump(mode="json")
    values["train"] = {**values["train"], "objective": "returns", "every": 1, **member.train}
    return settings_of(values, f"forecast.members: train of {member.model}").train


def network(
    name: str,
    member: ForecastMemberSettings,
    table: CandleTable,
    of: Material,
    settings: Settings,
    hooks: Hooks,
) -> FittedNetwork:
    """Train a network of the zoo that looks at `features`.

    Raises:
        SettingsError: for a network that looks at anything else, or an objective of one horizon
            where there are several.
    """
    check_network(name, member, settings.forecast)
    train = train_settings(member, settings)
    views = views_of(of.matrix, of.window)
    model, _, fit = fit_network(
        ModelSettings(name=member.model, params=member.params), train, views,
        samples_of(table, of.train, of.horizons), samples_of(table, of.stopping, of.horizons),
        checkpoint=None if hooks.place is None else hooks.place / CHECKPOINT,
        on_epoch=lambda epoch: hooks.on_epoch(name, epoch), progress=hooks.progress,
    )  # fmt: skip
    how = settings.forecast
    told = {
        "parameters": zoo.parameter_count(model),
        "best_epoch": fit.best_epoch,
        "best_score": fit.best_score,
        "history": [epoch.to_json() for epoch in fit.history],
    }
    return FittedNetwork(
        model, member.model, member.params, train.objective, how.draws if how.uncertainty else 0,
        how.draws_seed, of.window, 4 * train.batch_size, told,
    )  # fmt: skip


def check_network(name: str, member: ForecastMemberSettings, settings: ForecastSettings) -> None:
    """Check before data are made that a member can be trained.

    Raises:
        SettingsError: naming the member, and what does not fit.
    """
    found = zoo.architecture(member.model)
    found.settings_from(member.params)
    if found.views != (VIEW,):
        raise SettingsError(
            f"forecast.members.{name}: {member.model} looks at {', '.join(found.views)}; candles "
            f"have {VIEW} alone"
        )
    objective = member.train.get("objective", "returns")
    if objective not in ("returns", "direction", "trend"):
        raise SettingsError(
            f"forecast.members.{name}.train.objective: returns, direction or trend expected, got "
            f"{objective}"
        )
    if objective != "returns" and len(settings.horizons) > 1:
        raise SettingsError(
            f"forecast.members.{name}: {objective} is learned of one horizon, and there are "
            f"{list(settings.horizons)} (forecast.horizons)"
        )
