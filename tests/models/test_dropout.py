"""Dropout with masks of its own or given ones, and recurrent dropout without a loop."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quantgod.models import zoo
from quantgod.models.dropout import Dropout, DroppedLSTM, dropouts, mask_shapes, masked

BOTH = pytest.mark.parametrize("bidirectional", [False, True])


def plain(layer: DroppedLSTM, masks: torch.Tensor | None = None) -> nn.LSTM:
    """A plain LSTM with the weights of a layer, of which columns are dropped."""
    lstm = nn.LSTM(
        layer.lstm.input_size, layer.lstm.hidden_size, batch_first=True,
        bidirectional=layer.lstm.bidirectional,
    )  # fmt: skip
    lstm.load_state_dict(layer.lstm.state_dict())
    if masks is not None:
        with torch.no_grad():
            lstm.weight_hh_l0 *= masks[0]
            if lstm.bidirectional:
                lstm.weight_hh_l0_reverse *= masks[1]
    return lstm


@BOTH
def test_an_lstm_that_drops_is_a_plain_one_in_eval_mode_and_at_a_rate_of_zero(
    bidirectional: bool,
) -> None:
    steps = torch.randn(3, 7, 5)
    layer = DroppedLSTM(5, 4, 0.3, bidirectional=bidirectional).eval()
    assert torch.equal(layer(steps), plain(layer)(steps)[0])
    layer.train().p = 0.0
    assert torch.equal(layer(steps), plain(layer)(steps)[0])


@BOTH
def test_in_training_columns_of_the_recurrent_weights_are_dropped_once_a_forward_pass(
    bidirectional: bool,
) -> None:
    """With a mask given it is an LSTM of such weights, to the bit; each pass draws another one."""
    layer, steps = DroppedLSTM(5, 4, 0.5, bidirectional=bidirectional), torch.randn(3, 7, 5)
    masks = torch.tensor([[0.0, 2.0, 2.0, 0.0], [2.0, 0.0, 2.0, 2.0]])[: layer.shape[0]]
    with masked(layer, {"": masks}):
        assert torch.equal(layer(steps), plain(layer, masks)(steps)[0])
    assert layer.mask is None
    passes = [layer(steps) for _ in range(4)]
    assert not any(torch.equal(passes[0], other) for other in passes[1:])
    drawn = torch.stack([layer._mask() for _ in range(500)])
    assert set(drawn.unique().tolist()) == {0.0, 2.0}
    assert abs(float(drawn.mean()) - 1) < 0.1


def test_a_gradient_reaches_the_recurrent_weights_that_are_trained() -> None:
    """That of the dropped columns is zero, that of the others is that of a plain LSTM, scaled."""
    layer, steps = DroppedLSTM(5, 4, 0.5, bidirectional=True), torch.randn(3, 7, 5)
    masks = torch.tensor([[0.0, 2.0, 2.0, 0.0], [2.0, 0.0, 2.0, 2.0]])
    other = plain(layer, masks)
    with masked(layer, {"": masks}):
        layer(steps).square().sum().backward()
    other(steps)[0].square().sum().backward()
    for name, weight in layer.lstm.named_parameters():
        wanted = other.get_parameter(name).grad
        if name.startswith("weight_hh"):
            wanted = wanted * masks[int(name.endswith("reverse"))]
        torch.testing.assert_close(weight.grad, wanted)
    before = layer.lstm.weight_hh_l0.detach().clone()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    moved = (layer.lstm.weight_hh_l0 != before).any(0)
    assert moved.tolist() == [False, True, True, False]
    assert torch.equal(layer.eval()(steps), plain(layer)(steps)[0]), "it forecasts with them"


def test_dropout_is_pytorch_s_unless_a_mask_is_given() -> None:
    ours, theirs, given = Dropout(0.4), nn.Dropout(0.4), torch.randn(6, 5)
    torch.manual_seed(3)
    wanted = theirs(given)
    torch.manual_seed(3)
    assert torch.equal(ours(given), wanted)
    assert torch.equal(ours.eval()(given), given)
    mask = torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0])
    with masked(ours, {"": mask}):
        assert torch.equal(ours(given), given * mask)
    assert torch.equal(ours(given), given)


def test_masks_are_of_one_moment_and_of_the_layers_that_drop() -> None:
    params = {"hidden": 8, "recurrent_dropout": 0.2}
    model = zoo.build("bilstm_attention", params, shapes={"features": (6, 3)}).eval()
    shapes = mask_shapes(model, {"features": torch.randn(2, 6, 3)})
    assert list(shapes.values()) == [(2, 8), (6, 16), (1, 4), (6, 4), (1, 2), (4,), (2,)]
    assert list(shapes) == list(dropouts(model))
    still = zoo.build("lstm_direction", {"dropout": 0.0}, shapes={"features": (6, 3)})
    with pytest.raises(ValueError, match="a network with dropout expected"):
        mask_shapes(still, {"features": torch.randn(2, 6, 3)})
