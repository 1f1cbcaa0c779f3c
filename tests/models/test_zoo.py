"""What holds of every architecture in the registry, whichever they are."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from operator import itemgetter
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from quantgod.contracts import CLASSES
from quantgod.models import zoo
from quantgod.models.attention import SelfAttention
from quantgod.models.base import DOCUMENT_SHAPES, register
from quantgod.models.heads import Heads
from quantgod.settings import Range, Section, SettingsError
from tests.later import later

SHAPES = {**DOCUMENT_SHAPES, "bars": (53, 9)}  # no layer is as wide as a view is long
LONGEST = {view: shape[0] for view, shape in SHAPES.items() if len(shape) > 1}
ASKED = {
    "classes": Heads(),
    "all": Heads(horizons=3, confidence=True, expected_return=True),
    "binary": Heads(binary=True, trend=True),
    "returns": Heads(horizons=3, expected_return=True, direction=False),
}
OF_CLASSES = [asked for asked, heads in ASKED.items() if heads.direction]

PAGE = Path(__file__).parents[2] / "docs" / "models.md"

every_architecture = pytest.mark.parametrize("name", zoo.names())
every_causal_architecture = pytest.mark.parametrize(
    "name", [name for name in zoo.names() if zoo.architecture(name).causal]
)


def network(name: str, heads: Heads = ASKED["classes"]) -> nn.Module:
    return deepcopy(_built(name, heads))


@cache
def _built(name: str, heads: Heads) -> nn.Module:
    return zoo.build(name, {}, shapes=SHAPES, heads=heads)


def moments(name: str, batch: int, seed: int = 1) -> dict[str, Tensor]:
    """Noise for what a network looks at; prices of a book are as far from its middle as its sizes
    are large, both of the order of one."""
    noise = torch.manual_seed(seed)
    views = zoo.architecture(name).views
    return {view: torch.randn(batch, *SHAPES[view], generator=noise) for view in views}


@every_architecture
def test_a_network_learns_as_many_numbers_as_its_file_says(name: str) -> None:
    model = zoo.build(name, {}, shapes=DOCUMENT_SHAPES)
    assert zoo.parameter_count(model) == zoo.architecture(name).parameters


@every_architecture
@pytest.mark.parametrize("asked", ASKED)
def test_a_network_answers_what_its_heads_ask_for_at_every_horizon(name: str, asked: str) -> None:
    heads = ASKED[asked]
    output = network(name, heads=heads).eval()(**moments(name, 4))
    others = {one for one in ("confidence", "expected_return", "trend") if getattr(heads, one)}
    assert output.keys() == {*others, *(("logits", "probs") if heads.direction else ())}
    for one in output.keys() - others:
        assert output[one].shape == (4, heads.horizons, len(CLASSES))
    assert all(output[one].shape == (4, heads.horizons) for one in others)
    assert all(
        ((output[one] > 0) & (output[one] < 1)).all() for one in others - {"expected_return"}
    )


@every_architecture
@pytest.mark.parametrize("asked", OF_CLASSES)
def test_probabilities_lie_on_the_simplex_and_are_the_softmax_of_the_logits(
    name: str, asked: str
) -> None:
    views = {view: 10 * one for view, one in moments(name, 4).items()}
    probs, logits = itemgetter("probs", "logits")(network(name, heads=ASKED[asked]).eval()(**views))
    assert (probs >= 0).all()
    torch.testing.assert_close(probs.sum(-1), torch.ones(probs.shape[:-1]))
    torch.testing.assert_close(probs, logits.softmax(-1))
    assert (probs[..., CLASSES.index("NEUTRAL")] == 0).all() == ASKED[asked].binary


@every_causal_architecture
@pytest.mark.parametrize("future", [1e6, float("nan")])
def test_no_inner_step_of_a_causal_network_sees_a_later_one(name: str, future: float) -> None:
    """The network returns its last step only, so every module inside is listened to.

    Whatever sequence a module puts out, the steps before the disturbed ones must keep every bit.
    """
    model, views, now = network(name).eval(), moments(name, 2), 37
    if math.isnan(future) and any(isinstance(one, SelfAttention) for one in model.modules()):
        future = -1e6  # attention gives later steps a weight of zero, and zero times NaN is NaN
    _let_batch_norm_matter(name, model)
    with heard_sequences(model) as calm:
        model(**views)
    for view in views.keys() & LONGEST.keys():
        views[view][:, now:] = future
    with heard_sequences(model) as disturbed:
        model(**views)
    assert calm.keys() == disturbed.keys()
    assert calm
    for module, steps in calm.items():
        assert torch.equal(steps[..., :now], disturbed[module][..., :now]), module
    assert any(not torch.equal(calm[module], disturbed[module]) for module in calm)


def _let_batch_norm_matter(name: str, model: nn.Module) -> None:
    model.train()
    model(**moments(name, 8, seed=2))
    model.eval()


@contextmanager
def heard_sequences(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Every module's outputs that have a time axis, with that axis moved last."""
    heard: dict[str, Tensor] = {}

    def listen(name: str):
        def hook(module: nn.Module, given: object, came: object) -> None:
            for place, tensor in enumerate(came if isinstance(came, tuple) else (came,)):
                lengths = set(LONGEST.values()) & set(getattr(tensor, "shape", ()))
                if isinstance(tensor, Tensor) and lengths:
                    axis = list(tensor.shape).index(lengths.pop())
                    heard[f"{name}[{place}]"] = tensor.detach().movedim(axis, -1).clone()

        return hook

    handles = [
        module.register_forward_hook(listen(name)) for name, module in model.named_modules() if name
    ]
    yield heard
    for handle in handles:
        handle.remove()


@every_architecture
def test_a_window_is_judged_alike_whoever_shares_its_batch(name: str) -> None:
    model, views = network(name).eval(), moments(name, 6)
    each = [{view: one[k : k + 1] for view, one in views.items()} for k in range(6)]
    alone = torch.cat([model(**one)["logits"] for one in each])
    torch.testing.assert_close(model(**views)["logits"], alone, rtol=1e-5, atol=1e-6)


@every_architecture
def test_the_same_seed_gives_the_same_network_and_another_seed_another(name: str) -> None:
    views = moments(name, 3)
    before = torch.get_rng_state()
    first, again, other = (zoo.build(name, {}, shapes=SHAPES, seed=seed) for seed in (0, 0, 5))
    assert torch.equal(before, torch.get_rng_state())
    outputs = [model.eval()(**views)["logits"] for model in (first, again, other)]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


@every_architecture
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = network(name, heads=ASKED["all"])
    output = model(**moments(name, 8))
    loss = nn.functional.cross_entropy(output["logits"].flatten(0, 1), torch.arange(24) % 3)
    (loss + output["expected_return"].square().mean() + output["confidence"].mean()).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@every_architecture
def test_a_network_can_be_built_with_every_value_of_its_search_space(name: str) -> None:
    for parameter, values in zoo.search_space(name).items():
        tried = [values.low, values.high] if isinstance(values, Range) else values
        for value in tried:
            with torch.device("meta"):  # allocates nothing
                zoo.build(name, {parameter: value}, shapes=DOCUMENT_SHAPES)


@every_architecture
def test_the_page_of_models_tells_of_a_network_what_the_registry_does(name: str) -> None:
    entry = zoo.architecture(name)
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    _, _, document, views, parameters, causal, _ = (cell.strip() for cell in row.split("|"))
    assert document.removeprefix("document ") in (sys.modules[entry.constructor.__module__].__doc__)
    assert views == ", ".join(f"`{view}`" for view in entry.views)
    assert parameters == f"{entry.parameters:,}"
    assert causal == ("yes" if entry.causal else "no")


def test_the_page_of_models_tells_of_no_network_that_is_not_there() -> None:
    table = PAGE.read_text().split("## The networks")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.M)) == list(zoo.names())


def test_an_unknown_architecture_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SettingsError, match=r"no architecture 'vivit' \(known: .*tcn_lstm"):
        zoo.build("vivit", {}, shapes=SHAPES)


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"tcn_lstm\.heads: unknown parameter \(allowed: drop"):
        zoo.build("tcn_lstm", {"heads": 8}, shapes=SHAPES)


def test_a_wrong_value_is_refused_with_what_came() -> None:
    with pytest.raises(SettingsError, match=r"tcn_lstm\.dropout: .*less than 1, got 1\.5"):
        zoo.build("tcn_lstm", {"dropout": 1.5}, shapes=SHAPES)


def test_a_view_that_is_not_there_is_refused_with_those_that_are() -> None:
    text = r"tcn_lstm looks at bars; bars is not among the views that are given \(features\)"
    with pytest.raises(SettingsError, match=text):
        zoo.build("tcn_lstm", {}, shapes={"features": (60, 112)})


@pytest.mark.parametrize("name", ["confidence", "expected_return"])
def test_the_confidence_head_does_not_move_the_trunk(name: str) -> None:
    model = network("tcn_lstm", heads=ASKED["all"])
    model(**moments("tcn_lstm", 8))[name].square().mean().backward()
    moved = {part for part, value in model.named_parameters() if value.grad is not None}
    assert all(part.startswith("heads.") for part in moved) == (name == "confidence")


@pytest.mark.parametrize(
    ("name", "asked_for"),
    [
        *[("tcn_lstm", "all"), ("linear", "classes"), ("linear", "binary")],
        *later(*((name, "all") for name in zoo.names() if name != "tcn_lstm")),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what the tracing exporter says of its own age
def test_an_exported_network_says_the_same_in_any_batch(
    name: str, asked_for: str, tmp_path: Path
) -> None:
    model, graph = network(name, heads=ASKED[asked_for]).eval(), tmp_path / "graph.onnx"
    example = moments(name, 2)
    asked = list(model(**example))
    axes = {one: {0: "batch"} for one in (*example, *asked)}
    torch.onnx.export(
        model, ({**example},), graph, input_names=list(example), output_names=asked,
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for batch in (1, 7, 64):
        given = moments(name, batch, seed=batch)
        served = session.run(asked, {view: one.numpy() for view, one in given.items()})
        with torch.inference_mode():
            trained = model(**given)
        for one, value in zip(asked, served, strict=True):
            torch.testing.assert_close(torch.from_numpy(value), trained[one], rtol=1e-4, atol=1e-5)


def test_a_name_is_registered_once_and_only_with_its_own_parameters() -> None:
    with pytest.raises(ValueError, match="two architectures are called 'tcn_lstm'"):
        register("tcn_lstm", Section, space={}, parameters=0)(nn.Linear)
    with pytest.raises(ValueError, match="search space of unknown parameters width"):
        register("other", Section, space={"width": [1]}, parameters=0)
