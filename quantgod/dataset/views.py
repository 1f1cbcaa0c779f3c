"""What a network sees of a moment: named views, each cut from where it lies when a batch asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from quantgod.contracts import Integers


@runtime_checkable
class View(Protocol):
    """One named input: gives a tensor for any rows of the table it belongs to."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one moment."""

    @property
    def content(self) -> Tensor:
        """What it is cut from."""

    def __call__(self, rows: Int64[Tensor, " batch"]) -> Tensor:
        """The view of each of these rows, (batch, *shape), as one new tensor."""

    def not_finite(self, rows: Int64[Tensor, " batch"]) -> Integers:
        """The rows of the table, seen from `rows`, whose values are not finite."""

    def to(self, device: torch.device) -> View:
        """The same view of the same content on a device."""


@dataclass(frozen=True, eq=False)
class Views:
    """All inputs of a network, cut together; a batch is a mapping that names each."""

    parts: Mapping[str, View]

    @property
    def device(self) -> torch.device:
        """Where they lie, all on the same."""
        return next(iter(self.parts.values())).content.device

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of one moment, by name."""
        return {name: view.shape for name, view in self.parts.items()}

    def __call__(self, rows: Int64[Tensor, " batch"]) -> dict[str, Tensor]:
        """Each view of these rows (on the views' device), by name."""
        return {name: view(rows) for name, view in self.parts.items()}

    def not_finite(self, rows: Int64[Tensor, " batch"]) -> Integers:
        """The rows of the table, seen from `rows` in any view, whose values are not finite."""
        return np.unique(np.concatenate([view.not_finite(rows) for view in self.parts.values()]))

    def to(self, device: torch.device) -> Views:
        """The same on a device."""
        return Views({name: view.to(device) for name, view in self.parts.items()})
