"""What heads may be asked together."""

from __future__ import annotations

import pytest
import torch

from quantgod.models.heads import HeadLayers, Heads, HorizonHeads


def test_a_network_without_classes_answers_numbers_alone() -> None:
    layers = HeadLayers(4, Heads(horizons=2, expected_return=True, trend=True, direction=False))
    assert sorted(layers(torch.randn(3, 4))) == ["expected_return", "trend"]
    assert {name.split(".")[0] for name in layers.state_dict()} == {"others"}


@pytest.mark.parametrize(
    "asked", [{}, {"binary": True, "trend": True}, {"confidence": True, "trend": True}]
)
def test_without_a_direction_nothing_about_classes_can_be_asked(asked: dict[str, bool]) -> None:
    with pytest.raises(ValueError, match="without a direction, and so without classes"):
        Heads(direction=False, **asked)


def test_heads_of_each_horizon_are_side_by_side() -> None:
    heads = Heads(horizons=3, confidence=True, expected_return=True)
    layers, seen = HorizonHeads(4, 6, 0.1, heads).eval(), torch.randn(2, 4)
    said = layers(seen)
    assert {name: tuple(one.shape) for name, one in said.items()} == {
        "logits": (2, 3, 3),
        "probs": (2, 3, 3),
        "confidence": (2, 3),
        "expected_return": (2, 3),
    }
    for k, horizon in enumerate(layers.each):
        for name, one in horizon(seen).items():
            assert torch.equal(said[name][:, k], one[:, 0])
