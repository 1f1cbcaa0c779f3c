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

from quantgod.dataset.inputs import BOOK, Inputs
from quantgod.models.base import ARCHITECTURES, Architecture
from quantgod.models.heads import ONE_DIRECTION, Heads
from quantgod.served.blocks import VOLATILITY_ROWS
from quantgod.settings import SearchSpace, SettingsError


def build(
    name: str,
    params: Mapping[str, Any],
    *,
    shapes: Mapping[str, tuple[int, ...]],
    heads: Heads = ONE_DIRECTION,
    seed: int = 0,
) -> nn.Module:
    """Return a newly initialised network; the same arguments give the same bits.

    Args:
        name: a registered architecture.
        params: its parameters; missing ones keep the architecture's default.
        shapes: shape of each view of one moment, by name; views that it does not take are ignored.
        heads: what it has to answer.
        seed: of the initial weights. The caller's random state is not changed.

    Returns:
        A network that takes its views by name, each (batch, *shape) float32, and returns what
        `HeadLayers` does.

    Raises:
        SettingsError: for an unknown name or parameter, a value that is not allowed, or a view
            that is not given.
    """
    found = architecture(name)
    settings = found.settings_from(params)
    if lacking := [view for view in found.views if view not in shapes]:
        raise SettingsError(
            f"model.name: {name} looks at {', '.join(found.views)}; {', '.join(lacking)} is not "
            f"among the views that are given ({', '.join(shapes)})"
        )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return found.constructor(
            settings, shapes={view: shapes[view] for view in found.views}, heads=heads
        )


def inputs(name: str, window: int, book: tuple[int, int] | None = None) -> Inputs:
    """Return the inputs of an architecture.

    Args:
        name: a registered architecture.
        window: rows of a window.
        book: snapshots of a block and levels a side; None for the document's.

    Raises:
        SettingsError: for an unknown name, or a network of the book whose window has no volatility.
    """
    views = architecture(name).views
    if BOOK not in views:
        return Inputs(window, views)
    if window < VOLATILITY_ROWS:
        raise SettingsError(
            f"window.length: {name} looks at prices by the volatility of {VOLATILITY_ROWS} "
            f"minutes, so a window of that many or more is expected, got {window}"
        )
    return Inputs(window, views) if book is None else Inputs(window, views, book)


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
