"""TLOB of document 001, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quantgod.models import zoo
from quantgod.models.base import DOCUMENT_SHAPES
from quantgod.models.tlob import TLOB, LevelEncoder, ScaleEncoder

SMALL = {"width": 32, "layers": 1}


def network(**params: int) -> TLOB:
    model = zoo.build("tlob", params, shapes=DOCUMENT_SHAPES)
    assert isinstance(model, TLOB)
    return model.eval()


def test_the_document_s_sizes_give_1_271_619_parameters() -> None:
    """The document estimates 5 million."""
    convolutions = 3 * (4 * 32 + 32 * 64 + 64 * 128) + 32 + 64 + 128
    levels = 20 * 32 + 20 * 128 * 128 + 128 + 2 * 128
    scales = (3 + 5 + 7) * 128 * 32 + 3 * 32 + 96 * 128 + 128
    features, positions = 112 * 128 + 128 + 128 * 128 + 128, 101 * 128
    block = 4 * (128 * 128 + 128) + 2 * 128 * 512 + 512 + 128 + 4 * 128
    others = features + positions + 2 * 128 + 128 * 3 + 3
    assert convolutions + levels + scales + 4 * block + others == 1_271_619
    model = network()
    assert zoo.parameter_count(model) == 1_271_619
    assert len(model.blocks) == 5
    assert {layer.attention[1].number for layer in model.blocks[:-1]} == {4}


def test_nothing_in_it_normalises_over_a_batch() -> None:
    assert not any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network().modules()
    )


@pytest.mark.parametrize("level", [0, 9, 19])
def test_the_convolutions_over_levels_reach_three_levels_to_each_side(level: int) -> None:
    encoder, book = LevelEncoder(20, 4, 16), torch.randn(1, 3, 20, 4, requires_grad=True)
    encoder.by_level(book)[0, :, 1, level].sum().backward()
    reached = book.grad[0].abs().sum(2) > 0
    assert not reached[[0, 2]].any(), "a snapshot is encoded without its neighbours"
    wanted = [*range(max(0, level - 3), min(20, level + 4))]
    assert reached[1].nonzero().flatten().tolist() == wanted


def bump(level: int) -> torch.Tensor:
    book = torch.zeros(1, 1, 20, 4)
    book[0, 0, level] = torch.tensor([1.0, -2.0, 0.5, 3.0])
    return book


def test_embeddings_tell_the_convolutions_at_which_level_they_are() -> None:
    encoder = LevelEncoder(20, 4, 16)
    near, far = (encoder.by_level(bump(level))[..., level] for level in (5, 12))
    assert (near - far).abs().max() > 1e-4
    nn.init.zeros_(encoder.embedding)
    near, far = (encoder.by_level(bump(level))[..., level] for level in (5, 12))
    torch.testing.assert_close(near, far)


def test_nothing_is_pooled_over_levels() -> None:
    """Without embeddings, a pooled book would look alike wherever its one bump lies."""
    encoder = LevelEncoder(20, 4, 16)
    nn.init.zeros_(encoder.embedding)
    near, far = (encoder(bump(level)) for level in (5, 12))
    assert (near - far).abs().max() > 1e-2
    assert encoder.projection[0].in_features == 20 * 128


def test_the_scales_see_3_5_and_7_snapshots_around_each() -> None:
    encoder, snapshots = ScaleEncoder(16), torch.randn(1, 40, 16, requires_grad=True)
    for reach, scale in zip((1, 2, 3), encoder.scales, strict=True):
        seen = scale(snapshots.transpose(1, 2))[0, :, 20].sum()
        (gradient,) = torch.autograd.grad(seen, snapshots)
        reached = (gradient[0].abs().sum(1) > 0).nonzero().flatten().tolist()
        assert reached == [*range(20 - reach, 20 + reach + 1)]


def test_the_features_are_one_token_more_and_the_newest_snapshot_is_read() -> None:
    model, came = network(**SMALL), []
    model.blocks.register_forward_hook(lambda *given: came.append((given[1][0], given[2])))
    book, aux = torch.randn(2, 100, 20, 4), torch.randn(2, 112)
    logits = model(book, aux)["logits"]
    ((tokens, seen),) = came
    torch.testing.assert_close(tokens[:, 0], model.features(aux) + model.positions[0])
    assert tokens.shape == (2, 1 + 100, 32)
    torch.testing.assert_close(logits, model.heads(seen[:, -1])["logits"])


def test_the_newest_snapshot_hears_of_the_features_and_of_the_oldest_snapshot() -> None:
    book, aux = (
        torch.randn(1, *DOCUMENT_SHAPES[view], requires_grad=True) for view in ("book", "aux")
    )
    network(**SMALL)(book, aux)["logits"][0, 0, 0].backward()
    assert (aux.grad.abs() > 0).all()
    assert (book.grad[0, 0].abs() > 0).all()
