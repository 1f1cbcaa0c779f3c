"""Attention, the block around it, and fixed positions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quantgod.models.attention import (
    AdditiveAttention,
    PostNormBlock,
    SelfAttention,
    TransformerBlock,
    sinusoids,
)
from quantgod.settings import SettingsError


@pytest.mark.parametrize("heads", [1, 4])
def test_attention_equals_pytorch_s_own_with_the_same_weights(heads: int) -> None:
    ours, theirs = SelfAttention(16, heads).eval(), nn.MultiheadAttention(16, heads).eval()
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.projections.weight,
            "in_proj_bias": ours.projections.bias,
            "out_proj.weight": ours.output.weight,
            "out_proj.bias": ours.output.bias,
        }
    )
    steps = torch.randn(3, 7, 16)
    wanted, _ = theirs(*[steps.transpose(0, 1)] * 3)
    torch.testing.assert_close(ours(steps), wanted.transpose(0, 1))


def test_causal_attention_equals_pytorch_s_own_with_a_mask_of_later_steps() -> None:
    ours, theirs = SelfAttention(16, 4, causal=True).eval(), nn.MultiheadAttention(16, 4).eval()
    parts = [ours.projections.weight, ours.projections.bias, ours.output.weight, ours.output.bias]
    theirs.load_state_dict(dict(zip(dict(theirs.named_parameters()), parts, strict=True)))
    steps, later = torch.randn(7, 3, 16), torch.ones(7, 7, dtype=torch.bool).triu(1)
    wanted, _ = theirs(steps, steps, steps, attn_mask=later)
    torch.testing.assert_close(ours(steps.transpose(0, 1)), wanted.transpose(0, 1))


def test_a_block_of_the_first_transformer_normalises_what_it_has_added() -> None:
    block, steps = PostNormBlock(8, 2, 24, dropout=0.1).eval(), torch.randn(2, 5, 8)
    attended = block.attention_norm(steps + block.attention[0](steps))
    torch.testing.assert_close(block(steps), block.mlp_norm(attended + block.mlp(attended)))
    assert block.mlp[0].weight.shape == (24, 8)


def test_additive_attention_is_the_mean_of_steps_by_weights_that_add_up_to_one() -> None:
    layer, steps = AdditiveAttention(6, 4), torch.randn(3, 5, 6)
    first, _, last = layer.score
    energies = [
        [last.weight[0] @ torch.tanh(first.weight @ step + first.bias) for step in one]
        for one in steps
    ]
    wanted = torch.stack([torch.stack(one) for one in energies]).exp()
    wanted = wanted / wanted.sum(1, keepdim=True)
    torch.testing.assert_close(layer.weights(steps), wanted)
    torch.testing.assert_close(layer(steps), torch.einsum("bt,btw->bw", wanted, steps))


def test_heads_may_each_be_as_wide_as_the_steps() -> None:
    layer = SelfAttention(6, 4, head_width=6)
    assert layer.projections.weight.shape == (3 * 24, 6)
    assert layer(torch.randn(2, 5, 6)).shape == (2, 5, 6)


def test_heads_that_cannot_share_the_width_are_refused() -> None:
    with pytest.raises(SettingsError, match="a width of 10 cannot be shared by 4 heads"):
        SelfAttention(10, 4)


def test_a_block_adds_attention_and_then_an_mlp_to_what_came() -> None:
    block, steps = TransformerBlock(8, 2, dropout=0.1).eval(), torch.randn(2, 5, 8)
    attended = steps + block.attention[1](block.attention[0](steps))
    torch.testing.assert_close(block(steps), attended + block.mlp(attended))
    assert block.mlp[1].weight.shape == (32, 8)


def test_a_silent_block_changes_nothing() -> None:
    """Both residual connections pass by their layers, so depth costs no signal."""
    block, steps = TransformerBlock(8, 2, dropout=0.1).eval(), torch.randn(2, 5, 8)
    for layer in (block.attention[1].output, block.mlp[4]):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    assert torch.equal(block(steps), steps)


def test_positions_are_sines_and_cosines_of_falling_rates() -> None:
    positions = sinusoids(50, 6)
    for column, rate in enumerate((1, 10_000 ** (-1 / 3), 10_000 ** (-2 / 3))):
        angles = torch.arange(50) * rate
        torch.testing.assert_close(positions[:, 2 * column], angles.sin())
        torch.testing.assert_close(positions[:, 2 * column + 1], angles.cos())
