"""Networks by name. Every file of this folder is an architecture and is found by being here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quantgod.models.base import ARCHITECTURES, Architecture
from quantgod.settings import SearchSpace, SettingsError


def build(
    name: str, params: Mapping[str, Any], *, features: int, window: int, seed: int = 0
) -> nn.Module:
    """Make a freshly initialised network, the same bits for the same arguments.

    Args:
        name: a registered architecture.
        params: its parameters; what is left out keeps the architecture's default.
        features: values a time step.
        window: time steps a window.
        seed: of the initial weights. The caller's random state is left as it was.

    Returns:
        A network that takes (batch, window, features) float32 and returns `logits` and `probs`.

    Raises:
        SettingsError: for a name or a parameter that nobody knows, or a value that is not allowed.
    """
    found = architecture(name)
    settings = found.settings_from(params)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return found.constructor(settings, features=features, window=window)


def names() -> tuple[str, ...]:
    """The names of all architectures, sorted."""
    _discover()
    return tuple(sorted(ARCHITECTURES))


def search_space(name: str) -> SearchSpace:
    """What a search tries for this architecture unless the settings narrow it."""
    return dict(architecture(name).space)


def architecture(name: str) -> Architecture:
    """The registry's entry.

    Raises:
        SettingsError: naming what is registered.
    """
    _discover()
    if name not in ARCHITECTURES:
        raise SettingsError(f"model.name: no architecture {name!r} (known: {', '.join(names())})")
    return ARCHITECTURES[name]


def parameter_count(model: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@cache
def _discover() -> None:
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{package}.{module.name}")
