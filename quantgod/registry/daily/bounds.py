"""The bounds that a version is judged by: those of signals, or those of forecasts."""

from __future__ import annotations

from typing import Final

from mlflow.entities.model_registry import ModelVersion

from quantgod.files import value_digest
from quantgod.gates import bounds_digest
from quantgod.settings import Settings

CANDLES_TAG: Final = "candles"
"""Of versions that forecast candles: which they are, `spot 1d trades`."""


def bounds_of(version: ModelVersion, settings: Settings) -> str:
    """Return the digest of the bounds that settings have for a version of this kind."""
    return (
        forecast_bounds(settings) if CANDLES_TAG in version.tags else bounds_digest(settings.gates)
    )


def forecast_bounds(settings: Settings) -> str:
    """Return the digest of the bounds of forecasts."""
    return value_digest(settings.forecast.gates.model_dump(mode="json"))
