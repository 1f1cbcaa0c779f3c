"""The linear model."""

from __future__ import annotations

import torch

from quantgod.models import zoo
from quantgod.models.base import DOCUMENT_SHAPES


def test_its_logits_are_a_weighted_sum_of_every_feature_of_every_minute() -> None:
    model = zoo.build("linear", {}, shapes=DOCUMENT_SHAPES)
    assert zoo.parameter_count(model) == 60 * 112 * 3 + 3
    first, second = torch.randn(2, 1, 60, 112)
    together, apart = model(first + second)["logits"], model(first)["logits"]
    bias = model(torch.zeros(1, 60, 112))["logits"]
    torch.testing.assert_close(together + bias, apart + model(second)["logits"])
