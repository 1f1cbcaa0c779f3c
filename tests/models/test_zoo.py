"""What holds of every architecture in the registry, whichever they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from quantgod.contracts import CLASSES, FEATURES
from quantgod.models import zoo
from quantgod.models.base import register
from quantgod.settings import Range, Section, SettingsError

WINDOW = 53  # prime and unlike any layer's width, so that an axis this long is the time axis

every_architecture = pytest.mark.parametrize("name", zoo.names())


def network(name: str, seed: int = 0) -> nn.Module:
    return zoo.build(name, {}, features=len(FEATURES), window=WINDOW, seed=seed)


def some_windows(batch: int, seed: int = 1) -> Tensor:
    return torch.randn(batch, WINDOW, len(FEATURES), generator=torch.manual_seed(seed))


@every_architecture
def test_logits_and_probabilities_have_one_column_a_class(name: str) -> None:
    output = network(name).eval()(some_windows(4))
    assert output["logits"].shape == output["probs"].shape == (4, len(CLASSES))


@every_architecture
def test_probabilities_lie_on_the_simplex_and_are_the_softmax_of_the_logits(name: str) -> None:
    output = network(name).eval()(10 * some_windows(4))
    assert (output["probs"] >= 0).all()
    torch.testing.assert_close(output["probs"].sum(1), torch.ones(4))
    torch.testing.assert_close(output["probs"], output["logits"].softmax(1))


@every_architecture
@pytest.mark.parametrize("future", [1e6, float("nan")])
def test_no_inner_step_of_a_causal_network_sees_a_later_one(name: str, future: float) -> None:
    """The network returns its last step only, so every module inside is listened to.

    Whatever sequence a module puts out, the steps before the disturbed ones must keep every bit.
    """
    if not zoo.architecture(name).causal:
        pytest.skip(f"{name} looks both ways inside its window, and says so")
    model, windows, now = network(name).eval(), some_windows(2), 37
    _let_batch_norm_matter(model)
    with heard_sequences(model) as calm:
        model(windows)
    windows[:, now:] = future
    with heard_sequences(model) as disturbed:
        model(windows)
    assert calm.keys() == disturbed.keys()
    assert len(calm) >= 2
    for module, steps in calm.items():
        assert torch.equal(steps[..., :now], disturbed[module][..., :now]), module
    assert any(not torch.equal(calm[module], disturbed[module]) for module in calm)


def _let_batch_norm_matter(model: nn.Module) -> None:
    model.train()
    model(some_windows(8, seed=2))
    model.eval()


@contextmanager
def heard_sequences(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Every module's outputs that have a time axis, with that axis moved last."""
    heard: dict[str, Tensor] = {}

    def listen(name: str):
        def hook(module: nn.Module, given: object, came: object) -> None:
            for place, tensor in enumerate(came if isinstance(came, tuple) else (came,)):
                if isinstance(tensor, Tensor) and WINDOW in tensor.shape:
                    axis = list(tensor.shape).index(WINDOW)
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
    model, windows = network(name).eval(), some_windows(6)
    alone = torch.cat([model(window[None])["logits"] for window in windows])
    torch.testing.assert_close(model(windows)["logits"], alone, rtol=1e-5, atol=1e-6)


@every_architecture
def test_the_same_seed_gives_the_same_network_and_another_seed_another(name: str) -> None:
    windows = some_windows(3)
    before = torch.get_rng_state()
    first, again, other = network(name), network(name), network(name, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    outputs = [model.eval()(windows)["logits"] for model in (first, again, other)]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


@every_architecture
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = network(name)
    loss = nn.functional.cross_entropy(model(some_windows(8))["logits"], torch.arange(8) % 3)
    loss.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@every_architecture
def test_the_search_space_holds_values_the_settings_accept(name: str) -> None:
    entry = zoo.architecture(name)
    for parameter, values in zoo.search_space(name).items():
        tried = [values.low, values.high] if isinstance(values, Range) else values
        for value in tried:
            entry.settings_from({parameter: value})


def test_an_unknown_architecture_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SettingsError, match=r"no architecture 'vivit' \(known: .*tcn_lstm"):
        zoo.build("vivit", {}, features=9, window=WINDOW)


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"tcn_lstm\.heads: unknown parameter \(allowed: drop"):
        zoo.build("tcn_lstm", {"heads": 8}, features=9, window=WINDOW)


def test_a_wrong_value_is_refused_with_what_came() -> None:
    with pytest.raises(SettingsError, match=r"tcn_lstm\.dropout: .*less than 1, got 1\.5"):
        zoo.build("tcn_lstm", {"dropout": 1.5}, features=9, window=WINDOW)


def test_a_name_is_registered_once_and_only_with_its_own_parameters() -> None:
    with pytest.raises(ValueError, match="two architectures are called 'tcn_lstm'"):
        register("tcn_lstm", Section, space={})(nn.Linear)
    with pytest.raises(ValueError, match="search space of unknown parameters width"):
        register("other", Section, space={"width": [1]})
