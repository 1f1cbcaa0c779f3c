"""Monte Carlo dropout of a torch network: how far its answers spread when numbers are left out.

The masks are drawn once from a seed and then fixed, so that the served graph gives the same spread.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from quantgod.contracts import Floats, Integers
from quantgod.dataset.views import Views
from quantgod.models.dropout import dropouts, mask_shapes, masked
from quantgod.served.candles.mc_dropout import Masks, spread
from quantgod.training.devices import choose_device
from quantgod.training.predict import outputs


def draw_masks(model: nn.Module, views: Views, draws: int, seed: int) -> Masks:
    """Draw what to leave out of each layer that drops; the first of more draws are the same.

    Args:
        model: a registered network.
        views: of which one moment is looked at, for the shapes inside the network.
        draws: two or more.
        seed: of the draws.

    Raises:
        ValueError: if the network has no dropout, or for fewer than two draws.
    """
    shapes = mask_shapes(model, views(_one_moment(views)))
    rates = {name: layer.p for name, layer in dropouts(model).items()}
    generator = np.random.default_rng(seed)
    kept = {name: np.empty((draws, *shape), np.bool_) for name, shape in shapes.items()}
    for number in range(draws):
        for name, mask in kept.items():
            mask[number] = generator.random(shapes[name]) >= rates[name]
    return Masks(kept, {name: 1 / (1 - rate) for name, rate in rates.items()})


def mc_forecast(
    model: nn.Module,
    views: Views,
    rows: Integers,
    draws: int,
    seed: int,
    batch_size: int,
    device: str = "auto",
) -> tuple[Floats, Floats]:
    """Return mean and variance of the expected return over draws, (n, H) each.

    The network is in eval mode but for the masks, so moments of one batch share them. Another
    batch size changes the answers by rounding alone.

    Args:
        model: answers `expected_return`; it is moved to the device and left in eval mode.
        views: scaled.
        rows: (n,) positions of the moments' last rows.
        draws: two or more.
        seed: of the draws.
        batch_size: moments per batch.
        device: auto, cpu or cuda.

    Raises:
        ValueError: if the network has no dropout, or for fewer than two draws.
    """
    where = choose_device(device)
    placed, at = views.to(where), torch.from_numpy(rows).to(where)
    masks = draw_masks(model.to(where).eval(), placed, draws, seed)
    answers = []
    for number in range(draws):
        given = {name: torch.from_numpy(of).to(where) for name, of in masks.draw(number).items()}
        with masked(model, given):
            said = outputs(model, placed, at, batch_size)["expected_return"]
        answers.append(said.cpu().numpy().astype(np.float64))
    return spread(np.stack(answers))


def _one_moment(views: Views) -> torch.Tensor:
    """Return the last row of the content of the first view, as a batch of one."""
    content = next(iter(views.parts.values())).content
    return torch.tensor([len(content) - 1], device=views.device)
