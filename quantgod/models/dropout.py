"""Dropout whose masks can be given: with them a network draws no noise, so it can be exported.

Drawn several times, such masks tell how sure a network is (Gal and Ghahramani, arXiv 1506.02142).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

RECURRENT: Final = ("weight_hh_l0", "weight_hh_l0_reverse")
"""What an LSTM multiplies its last state with, by direction."""


class Dropout(nn.Dropout):
    """PyTorch's, unless a mask is given: then what comes is multiplied by it in every mode.

    Attributes:
        mask: of one moment, without the batch; 0 where dropped, 1 / (1 - p) where kept.
    """

    mask: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Keep the shape."""
        return super().forward(input) if self.mask is None else input * self.mask


class DroppedLSTM(nn.Module):
    """One layer of LSTM that in training forgets some numbers of its last state, at all steps.

    Which ones is drawn once a forward pass (variational dropout; Gal and Ghahramani, arXiv
    1512.05287), so columns of the recurrent weights are dropped before the steps, and PyTorch's
    own loop runs over them: noise at each step would need a loop in Python.

    Attributes:
        p: the probability that a number is forgotten.
        mask: (directions, hidden), if one is given; 0 where dropped, 1 / (1 - p) where kept.
    """

    mask: Tensor | None = None

    def __init__(self, inputs: int, hidden: int, p: float, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.p = p
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=bidirectional)

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape of its mask."""
        return (2 if self.lstm.bidirectional else 1, self.lstm.hidden_size)

    def forward(
        self, steps: Float[Tensor, "batch time inputs"]
    ) -> Float[Tensor, "batch time outputs"]:
        """Return the states after each step, those of both directions side by side."""
        if self.mask is None and not (self.training and self.p):
            return self.lstm(steps)[0]  # type: ignore[no-any-return]
        return self._with(self._mask(), steps)

    def _with(
        self, mask: Float[Tensor, "directions hidden"], steps: Float[Tensor, "batch time inputs"]
    ) -> Float[Tensor, "batch time outputs"]:
        # Not `parametrize`, after which an LSTM goes on with the weights that it had before, and
        # not `functional_call`, which refuses to be exported.
        # These come in the order in which PyTorch's own loop takes them.
        weights: dict[str, Tensor] = dict(self.lstm.named_parameters())
        for name, columns in zip(RECURRENT, mask.unbind(), strict=False):
            weights[name] = weights[name] * columns
        begin = steps.new_zeros(self.shape[0], steps.shape[0], self.shape[1])
        states, _, _ = torch.lstm(
            steps, (begin, begin), list(weights.values()), True, 1, 0.0, self.training,
            self.lstm.bidirectional, True,
        )  # fmt: skip
        return states

    def extra_repr(self) -> str:
        """Return the rate, which is part of what a training is identified by."""
        return f"p={self.p}"

    def _mask(self) -> Float[Tensor, "directions hidden"]:
        if self.mask is not None:
            return self.mask
        return functional.dropout(next(self.lstm.parameters()).new_ones(self.shape), self.p)


def dropouts(model: nn.Module) -> dict[str, Dropout | DroppedLSTM]:
    """Return the layers of a network that drop anything and take a mask, by their place in it."""
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, Dropout | DroppedLSTM) and layer.p > 0
    }


def mask_shapes(model: nn.Module, views: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each layer's mask, learned from a forward pass of some moments.

    Raises:
        ValueError: if nothing is dropped in the network.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    layers = dropouts(model)
    if not layers:
        raise ValueError("a network with dropout expected, got one without: it has no masks")

    def listen(name: str, layer: Dropout | DroppedLSTM, given: tuple[Tensor, ...]) -> None:
        own = layer.shape if isinstance(layer, DroppedLSTM) else given[0].shape[1:]
        shapes[name] = tuple(own)

    handles = [
        layer.register_forward_pre_hook(lambda layer, given, name=name: listen(name, layer, given))
        for name, layer in layers.items()
    ]
    try:
        with torch.inference_mode():
            model(**views)
    finally:
        for handle in handles:
            handle.remove()
    return {name: shapes[name] for name in layers}


@contextmanager
def masked(model: nn.Module, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Give the layers of a network these masks, by their place in it, and take them back."""
    layers = dropouts(model)
    try:
        for name, mask in masks.items():
            layers[name].mask = mask
        yield
    finally:
        for layer in layers.values():
            layer.mask = None
