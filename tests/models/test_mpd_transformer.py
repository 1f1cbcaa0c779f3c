"""MPDTransformer of document 001, and what the order of its features means to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quantgod.models import zoo
from quantgod.models.base import DOCUMENT_SHAPES
from quantgod.models.mpd_transformer import MPDTransformer
from quantgod.settings import SettingsError

SMALL = {"width": 32, "layers": 2}
BANDS, COLUMNS = 8, 14


def network(**params: int) -> MPDTransformer:
    model = zoo.build("mpd_transformer", params, shapes=DOCUMENT_SHAPES)
    assert isinstance(model, MPDTransformer)
    return model.eval()


def test_the_document_s_sizes_give_5_041_411_parameters_with_a_projection_a_band() -> None:
    """One projection for all patches would leave 4,788,739. The document estimates 8 million."""
    block = 4 * (256 * 256 + 256) + 2 * 256 * 1024 + 1024 + 256 + 4 * 256
    projection = 10 * 14 * 256 + 256
    others = 256 + 49 * 256 + 2 * 256 + 256 * 3 + 3
    assert 6 * block + projection + others == 4_788_739
    model = network()
    assert zoo.parameter_count(model) == 6 * block + 8 * projection + others == 5_041_411
    assert len(model.blocks) == 7
    assert {layer.attention[1].number for layer in model.blocks[:-1]} == {8}


def test_48_patches_and_the_class_token_go_through_the_blocks_and_the_token_is_read() -> None:
    model, came = network(**SMALL), []
    model.blocks.register_forward_hook(lambda *given: came.append(given[2]))
    logits = model(torch.randn(2, 60, 112))["logits"]
    assert came[0].shape == (2, 1 + 48, 32)
    torch.testing.assert_close(logits, model.heads(came[0][:, 0])["logits"])


def test_a_patch_is_its_ten_minutes_of_fourteen_features_by_the_projection_of_its_band() -> None:
    layer, features = network(**SMALL).patches, torch.randn(1, 60, 112)
    weight = layer.projections.weight.unflatten(0, (BANDS, 32))
    bias = layer.projections.bias.unflatten(0, (BANDS, 32))
    for number, patch in enumerate(layer(features)[0]):
        ten, band = divmod(number, BANDS)
        cut = features[0, 10 * ten : 10 * (ten + 1), COLUMNS * band : COLUMNS * (band + 1)]
        wanted = torch.einsum("tc,wct->w", cut, weight[band]) + bias[band]
        torch.testing.assert_close(patch, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("of", ["columns within bands", "bands"])
def test_the_order_of_columns_within_bands_and_of_bands_is_undone_by_permuted_weights(
    of: str,
) -> None:
    """So a network can learn as much from either order, and from as many examples: its initial
    weights are drawn alike. The order does not matter."""
    order = torch.arange(112).reshape(BANDS, COLUMNS)
    bands = torch.randperm(BANDS) if of == "bands" else torch.arange(BANDS)
    columns = torch.arange(COLUMNS) if of == "bands" else torch.randperm(COLUMNS)
    model, features = network(**SMALL), torch.randn(4, 60, 112)
    logits = model(features)["logits"]
    shuffled = features[..., order[bands][:, columns].flatten()]
    assert (model(shuffled)["logits"] - logits).abs().max() > 0.01
    permute_weights(model, bands, columns)
    torch.testing.assert_close(model(shuffled)["logits"], logits, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def permute_weights(model: MPDTransformer, bands: Tensor, columns: Tensor) -> None:
    layer = model.patches.projections
    layer.weight.copy_(layer.weight.unflatten(0, (BANDS, -1))[bands][:, :, columns].flatten(0, 1))
    layer.bias.copy_(layer.bias.unflatten(0, (BANDS, -1))[bands].flatten(0, 1))
    placed = model.positions[1:].unflatten(0, (-1, BANDS))[:, bands].flatten(0, 1)
    model.positions.copy_(torch.cat([model.positions[:1], placed]))


def test_which_columns_share_a_band_matters() -> None:
    """No weights undo this: a patch of one band cannot see a column of another at all."""
    layer = network(**SMALL).patches
    features = torch.randn(1, 60, 112, requires_grad=True)
    for band in range(BANDS):
        (gradient,) = torch.autograd.grad(layer(features)[0, band].sum(), features)
        seen = gradient[0].abs().amax(0) > 0
        assert seen.nonzero().flatten().tolist() == [*range(14 * band, 14 * (band + 1))]


def test_patches_that_do_not_divide_the_view_are_refused() -> None:
    with pytest.raises(SettingsError, match="patches of 7 x 14 do not divide a view of 60 x 112"):
        network(patch_minutes=7)
