"""What the networks of arXiv 2502.15757 share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quantgod.models import zoo
from quantgod.models.alternating import BilinearNorm
from quantgod.models.base import DOCUMENT_SHAPES
from quantgod.settings import SettingsError


def test_bilinear_normalisation_equals_its_formula_written_out() -> None:
    layer, steps = BilinearNorm(5, 3), 40 + 7 * torch.randn(2, 5, 3)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    numbers = {name: value.detach().double().numpy() for name, value in layer.named_parameters()}
    shares = np.log1p(np.exp(numbers["weights"]))
    for window, came in zip(steps.double().numpy(), layer(steps).detach(), strict=True):
        for t, row in enumerate(window):
            for column, value in enumerate(row):
                past = window[:, column]
                over_time = (value - past.mean()) / past.std()
                over_columns = (value - row.mean()) / row.std()
                wanted = shares[0] * (
                    numbers["column_scale"][column] * over_time + numbers["column_shift"][column]
                ) + shares[1] * (
                    numbers["row_scale"][t, 0] * over_columns + numbers["row_shift"][t, 0]
                )
                assert float(came[t, column]) == pytest.approx(wanted, abs=1e-4)


def test_both_normalisations_begin_with_half_the_weight_each_and_no_scale_of_their_own() -> None:
    steps = torch.randn(1, 5, 3)
    columns = (steps - steps.mean(1, keepdim=True)) / steps.std(1, correction=0, keepdim=True)
    rows = (steps - steps.mean(2, keepdim=True)) / steps.std(2, correction=0, keepdim=True)
    torch.testing.assert_close(BilinearNorm(5, 3)(steps), (columns + rows) / 2)


def test_the_weights_of_both_normalisations_are_never_negative() -> None:
    layer = BilinearNorm(5, 3)
    torch.nn.init.constant_(layer.weights, -4.0)
    before = torch.randn(1, 5, 3)
    assert torch.corrcoef(torch.stack([layer(before).flatten(), before.flatten()]))[0, 1] > 0


def test_a_column_that_does_not_move_is_zero_to_the_bit() -> None:
    """However its mean is rounded: 1e-7 of it would be made ten thousand times as large."""
    layer = BilinearNorm(12, 500)
    for one in (layer.row_scale, layer.row_shift):
        torch.nn.init.zeros_(one)
    still = (7 * torch.randn(1, 1, 500)).expand(1, 12, 500)
    assert not layer(still).any()


def test_a_quiet_book_is_normalised_to_finite_numbers_with_finite_gradients() -> None:
    book = torch.full((1, 5, 3), 0.7).requires_grad_()
    layer = BilinearNorm(5, 3)
    came = layer(book)
    assert came.abs().max() < 1e-2
    came.sum().backward()
    gradients = [book.grad, *(parameter.grad for parameter in layer.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", ["book_mlp", "dual_attention_tlob"])
def test_layers_act_on_the_numbers_of_the_book_and_on_time_in_turn(name: str) -> None:
    model, came = zoo.build(name, {"pairs": 2}, shapes=DOCUMENT_SHAPES).eval(), []
    for layer in model.trunk.layers:
        layer.register_forward_hook(
            lambda _, given, output: came.append((*given[0].shape[1:], output.shape[2]))
        )
    model(torch.randn(1, 100, 20, 4))
    assert came == [(100, 40, 40), (40, 100, 100), (100, 40, 10), (10, 100, 25)]
    assert [tuple(layer.weight.shape) for layer in model.trunk.reduce[::2]] == [(62, 250)]


@pytest.mark.parametrize("name", ["book_mlp", "dual_attention_tlob"])
def test_a_window_without_a_quarter_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="must be multiples of 4, got 50 and 40"):
        zoo.build(name, {}, shapes={"book": (50, 20, 4)})


@pytest.mark.parametrize("name", ["book_mlp", "dual_attention_tlob"])
@pytest.mark.parametrize(("snapshots", "width"), [(4, 40), (12, 4)])
def test_the_shortest_axis_still_tells_books_apart(name: str, snapshots: int, width: int) -> None:
    model = zoo.build(name, {"width": width}, shapes={"book": (snapshots, 20, 4)}).eval()
    assert model(torch.randn(16, snapshots, 20, 4))["probs"][:, 0, 0].std() > 1e-2
