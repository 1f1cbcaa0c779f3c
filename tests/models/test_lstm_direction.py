"""LSTMDirectionModel of document 003."""

from __future__ import annotations

import pytest
import torch

from quantgod.models import zoo
from quantgod.models.base import DOCUMENT_SHAPES
from quantgod.models.heads import Heads


def test_the_layers_are_those_of_the_document() -> None:
    lstm = zoo.build("lstm_direction", {}, shapes=DOCUMENT_SHAPES).lstm
    assert (lstm.input_size, lstm.hidden_size, lstm.num_layers, lstm.dropout) == (112, 64, 2, 0.2)
    assert not lstm.bidirectional


def test_a_binary_network_of_the_document_has_78_913_parameters() -> None:
    layers = 4 * 64 * (112 + 64 + 2) + 4 * 64 * (64 + 64 + 2)
    model = zoo.build("lstm_direction", {}, shapes=DOCUMENT_SHAPES, heads=Heads(binary=True))
    assert zoo.parameter_count(model) == layers + 64 + 1 == 78_913


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_heads_read_the_final_state_of_each_direction(bidirectional: bool) -> None:
    """Forwards it is the state at the newest minute, backwards that at the oldest."""
    model = zoo.build(
        "lstm_direction", {"bidirectional": bidirectional}, shapes=DOCUMENT_SHAPES
    ).eval()
    features = torch.randn(3, 60, 112)
    steps, _ = model.lstm(features)
    final = torch.cat([steps[:, -1, :64], steps[:, 0, 64:]], dim=1)
    torch.testing.assert_close(model(features)["logits"], model.heads(final)["logits"])
