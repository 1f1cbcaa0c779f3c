"""CNN-LSTM v2 of document 001, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quantgod.models import zoo
from quantgod.models.base import DOCUMENT_SHAPES
from quantgod.models.cnn_lstm import CNNLSTM, ResidualBlock


def document_network() -> CNNLSTM:
    model = zoo.build("cnn_lstm", {}, shapes=DOCUMENT_SHAPES)
    assert isinstance(model, CNNLSTM)
    return model.eval()


def test_its_sizes_give_424_739_parameters() -> None:
    convolutions = 112 * 32 * 3 + 32 * 64 * 5 + 64 * 128 * 7
    norms = 2 * (32 + 64 + 128)
    skips = 112 * 32 + 32 + 32 * 64 + 64 + 64 * 128 + 128
    lstm = 2 * 4 * 128 * (128 + 128 + 2)
    attention = 8 * 128 + 4 * (128 * 128 + 128) + 2 * 128
    assert convolutions + norms + skips + lstm + attention + 128 * 3 + 3 == 424_739
    assert zoo.parameter_count(document_network()) == 424_739


def test_the_layers_are_three_blocks_an_lstm_and_attention_of_four_heads() -> None:
    model = document_network()
    assert [
        (block.skip.in_channels, block.skip.out_channels, *block.convolution[0].kernel_size)
        for block in model.blocks
    ] == [(112, 32, 3), (32, 64, 5), (64, 128, 7)]
    kinds = [nn.Conv1d, nn.BatchNorm1d, nn.GELU, nn.Dropout]
    assert all([type(layer) for layer in block.convolution] == kinds for block in model.blocks)
    lstm = model.lstm
    assert (lstm.input_size, lstm.hidden_size, lstm.num_layers, lstm.dropout) == (128, 128, 2, 0.3)
    assert model.attention.number == 4


def test_a_block_is_its_convolution_beside_its_skip_pooled_by_two() -> None:
    block, steps = ResidualBlock(3, 5, 3, dropout=0.3).eval(), torch.randn(2, 3, 8)
    wanted = (block.convolution(steps) + block.skip(steps)).unflatten(2, (4, 2)).amax(3)
    assert torch.equal(block(steps), wanted)


@pytest.mark.parametrize("steps", [15, 7, 1])
def test_pooling_loses_no_minute_at_either_end(steps: int) -> None:
    seen = torch.randn(1, 3, steps, requires_grad=True)
    block = ResidualBlock(3, 64, 1, dropout=0.0).eval()
    block(seen).sum().backward()
    assert (seen.grad.abs().sum((0, 1)) > 0).all()


def test_the_heads_read_the_mean_step_plus_the_last() -> None:
    model, features = document_network(), torch.randn(2, 60, 112)
    came: list[torch.Tensor] = []
    model.norm.register_forward_hook(lambda *given: came.append(given[2]))
    logits = model(features)["logits"]
    (steps,) = came
    assert steps.shape == (2, 8, 128)
    read = steps.mean(1) + steps[:, -1]
    torch.testing.assert_close(logits, model.heads(read)["logits"])
