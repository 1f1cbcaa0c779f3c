"""Attention, the block around it, and fixed positions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quantgod.models.attention import SelfAttention, TransformerBlock, sinusoids
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
