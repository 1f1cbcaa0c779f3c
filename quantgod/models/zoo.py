"""Build networks by name. Every file in this folder is found and may register an architecture."""

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
    """Return a newly initialised network; the same arguments give the same bits.

    Args:
        name: a registered architecture.
        params: its parameters; missing ones keep the architecture's default.
        features: values per time step.
        window: time steps per window.
        seed: of the initial weights. The caller's random state is not changed.

    Returns:
        A network that takes (batch, window, features) float32 and returns `logits` and `probs`.

    Raises:
        SettingsError: for an unknown name or parameter, or a value that is not allowed.
    """
    found = architecture(name)
    settings = found.settings_from(params)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return found.constructor(settings, features=features, window=window)


def names() -> tuple[str, ...]:
    """Return the names of all architectures, sorted."""
    _discover()
    return tuple(sorted(ARCHITECTURES))


def search_space(name: str) -> SearchSpace:
    """Return the architecture's own search space; settings may narrow it."""
    return dict(architecture(name).space)


def architecture(name: str) -> Architecture:
    """Return the registered architecture.

    Raises:
        SettingsError: if the name is unknown, with the known ones.
    """
    _discover()
    if name not in ARCHITECTURES:
        raise SettingsError(f"model.name: no architecture {name!r} (known: {', '.join(names())})")
    return ARCHITECTURES[name]


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@cache
def _discover() -> None:
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{package}.{module.name}")
