"""The network of document 000, section 3, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quantgod.dataset.inputs import Inputs
from quantgod.models import zoo
from quantgod.models.tcn_lstm import CausalConv1d, HybridTCNLSTM, TCNBlock, TCNLSTMSettings


def document_network() -> HybridTCNLSTM:
    model = zoo.build("tcn_lstm", {}, shapes=Inputs(720).shapes)
    assert isinstance(model, HybridTCNLSTM)
    return model


def test_the_document_s_network_has_929_347_parameters() -> None:
    """By hand: convolutions 38,848, norms 512, residual 640, LSTM 856,064, head 33,283."""
    assert zoo.parameter_count(document_network()) == 929_347


def test_the_layers_are_those_of_the_document() -> None:
    model = document_network()
    assert [block.convolution.convolution.dilation for block in model.tcn] == [
        (1,),
        (2,),
        (4,),
        (8,),
    ]
    assert [type(block.residual) for block in model.tcn] == [nn.Conv1d, *[nn.Identity] * 3]
    lstm = model.lstm
    assert (lstm.input_size, lstm.hidden_size, lstm.num_layers, lstm.dropout) == (64, 256, 2, 0.2)
    assert [type(layer) for layer in model.head] == [nn.Linear, nn.GELU, nn.Dropout]
    assert model.head[2].p == 0.4


def test_a_causal_convolution_equals_its_sum_written_out() -> None:
    layer = CausalConv1d(2, 1, dilation=4)
    steps = torch.randn(1, 2, 20)
    weight, bias = layer.convolution.weight[0], layer.convolution.bias[0]
    past = torch.zeros(2, 20 + 8)
    past[:, 8:] = steps[0]
    wanted = [
        bias + sum((weight[:, tap] * past[:, t + 4 * tap]).sum() for tap in range(3))
        for t in range(20)
    ]
    torch.testing.assert_close(layer(steps)[0, 0], torch.stack(wanted))


def test_the_convolutions_reach_exactly_31_steps_back() -> None:
    model = document_network().eval()
    steps = torch.randn(1, 9, 64, requires_grad=True)
    model.tcn(steps)[0, :, -1].sum().backward()
    reached = steps.grad[0].abs().sum(0) > 0
    assert reached[-31:].all()
    assert not reached[:-31].any()


def test_spatial_dropout_silences_whole_channels() -> None:
    block = TCNBlock(4, 4, 1, TCNLSTMSettings(spatial_dropout=0.5))
    steps = torch.randn(8, 4, 30)
    added = (block(steps) - steps).abs()
    silent = (added < 1e-6).all(-1)
    assert 0 < silent.sum() < silent.numel()
    assert (added[~silent] > 0).float().mean() > 0.9


@pytest.mark.parametrize("window", [720, 1440])
def test_one_set_of_weights_serves_every_window_length(window: int) -> None:
    small = {"tcn_channels": 8, "lstm_hidden": 8, "lstm_layers": 1}
    model = zoo.build("tcn_lstm", small, shapes=Inputs(window).shapes).eval()
    assert model(torch.randn(2, window, 9))["probs"].shape == (2, 1, 3)


@pytest.mark.parametrize(("rows", "least", "most"), [(0, 0.0, 1e-6), (160, 1e-3, 10.0)])
def test_rows_to_remember_let_a_network_learn_of_the_first_of_160_rows(
    rows: int, least: float, most: float
) -> None:
    """The gradient at the first row over that at the last: gates of one half leave nothing."""
    model = zoo.build("tcn_lstm", {"memory_rows": rows}, shapes=Inputs(160).shapes).eval()
    bars = torch.randn(4, 160, 9, requires_grad=True)
    model(bars)["logits"].square().sum().backward()
    first, last = (bars.grad[:, at].norm() for at in (0, -1))
    assert least <= float(first / last) <= most


def test_weights_are_those_of_before_where_nothing_is_to_be_remembered() -> None:
    plain, told = (
        zoo.build("tcn_lstm", {"memory_rows": rows}, shapes=Inputs(20).shapes).state_dict()
        for rows in (0, 100)
    )
    assert plain.keys() == told.keys()
    assert {name for name in plain if not torch.equal(plain[name], told[name])} == {
        f"lstm.bias_{of}_l{layer}" for of in ("ih", "hh") for layer in (0, 1)
    }
