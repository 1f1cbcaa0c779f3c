"""A network comes back from its folder as it was, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quantgod.contracts import FEATURES, Horizon, Target
from quantgod.dataset.inputs import Inputs
from quantgod.dataset.scaling import Scaler
from quantgod.forecasters.forecaster import Card, Forecaster
from quantgod.forecasters.network import Network, NetworkError, load_network
from quantgod.models import zoo
from quantgod.models.heads import Heads
from quantgod.served.features import sets
from quantgod.training.predict import predict
from tests.training.problems import SMALL, WINDOW, Problem, network


@pytest.fixture
def saved(small: Problem, tmp_path: Path) -> Network:
    scaler = small.material.scaler
    weights, until = (2.0, 1.0, 2.0), "2024-01-03T05:00:00+00:00"
    one = Network(network(seed=8), "tcn_lstm", SMALL, WINDOW, scaler, weights, until)
    one.save(tmp_path / "network")
    return one


def test_a_network_of_several_heads_comes_back_with_them(saved: Network, tmp_path: Path) -> None:
    heads = Heads(horizons=3, confidence=True, expected_return=True)
    model = zoo.build("tcn_lstm", SMALL, shapes=Inputs(WINDOW).shapes, heads=heads, seed=2).eval()
    replace(saved, model=model, heads=heads).save(tmp_path / "several")
    back = load_network(tmp_path / "several")
    windows = torch.randn(2, WINDOW, 9, generator=torch.manual_seed(0))
    said, again = model(bars=windows), back.model(bars=windows)
    assert back.heads == heads
    assert said["expected_return"].shape == (2, 3)
    assert all(torch.equal(said[name], again[name]) for name in said)


def test_a_saved_network_says_the_same_to_the_bit(
    small: Problem, saved: Network, tmp_path: Path
) -> None:
    back = load_network(tmp_path / "network")
    rows, views = small.validation.row, small.material.views
    np.testing.assert_array_equal(
        predict(back.model, views, rows, 32, None).tilted,
        predict(saved.model, views, rows, 32, None).tilted,
    )
    assert (back.name, back.params, back.window) == ("tcn_lstm", SMALL, WINDOW)
    assert (back.class_weights, back.trained_until) == (saved.class_weights, saved.trained_until)
    np.testing.assert_array_equal(back.scaler.std, saved.scaler.std)


def test_the_card_states_what_the_network_is(saved: Network, tmp_path: Path) -> None:
    card = json.loads((tmp_path / "network" / "network.json").read_text())
    assert card["features"] == list(FEATURES)
    assert card["parameters"] == sum(p.numel() for p in saved.model.parameters())


def test_a_network_is_a_forecaster_that_scales_what_it_is_asked_of(
    small: Problem, saved: Network, tmp_path: Path
) -> None:
    target = Target("minute", (Horizon(60, 0.008, -0.004),), 0)
    one: Forecaster = replace(saved, target=target)
    one.save(tmp_path / "again")
    back = load_network(tmp_path / "again")
    rows, card = small.validation.row, back.card
    said = back.forecast(small.table, rows, batch_size=32, device="cpu")
    expected = predict(saved.model, small.material.views, rows, 32, (2.0, 1.0, 2.0), device="cpu")
    for name in ("probabilities", "tilted", "confidence"):
        assert getattr(said, name).tobytes() == getattr(expected, name).tobytes()
    written = json.loads((tmp_path / "again" / "network.json").read_text())
    digests = {"weights": written["weights_sha256"]}
    assert card == Card("book", ("bars",), target, back.trained_until, digests) == one.card
    assert load_network(tmp_path / "network").card.target is None, "an old card says none"


def wide(until: str = "2024-01-03T05:00:00+00:00") -> Network:
    """A network of the 112 features, one of which never moved."""
    of = Inputs(WINDOW, ("features",))
    scaler = Scaler(np.zeros(121), np.where(np.arange(121) == 30, 0.0, 1.0))
    model = zoo.build("linear", {}, shapes=of.shapes, seed=3).eval()
    return Network(model, "linear", {}, WINDOW, scaler, (2.0, 1.0, 2.0), until)


def test_a_network_of_the_112_comes_back_with_its_columns_and_views(tmp_path: Path) -> None:
    one = wide()
    one.save(tmp_path / "network")
    back = load_network(tmp_path / "network")
    card = json.loads((tmp_path / "network" / "network.json").read_text())
    assert card["views"] == ["features"]
    assert card["features"] == [*FEATURES, *sets.NAMES]
    assert back.inputs == one.inputs == Inputs(WINDOW, ("features",))
    assert back.silent == (sets.NAMES[21],)
    windows = torch.randn(2, WINDOW, 112, generator=torch.manual_seed(0))
    assert torch.equal(back.model(features=windows)["probs"], one.model(features=windows)["probs"])


def test_a_folder_from_before_views_is_of_a_network_of_bars(saved: Network, tmp_path: Path) -> None:
    path = tmp_path / "network" / "network.json"
    card = json.loads(path.read_text())
    assert card.pop("views") == ["bars"]
    path.write_text(json.dumps(card))
    assert load_network(tmp_path / "network").inputs == Inputs(WINDOW)


@pytest.mark.parametrize("other", [{"views": ["bars"]}, {"features": list(FEATURES)}])
def test_a_card_whose_views_are_not_its_architectures_is_refused(
    other: dict[str, list[str]], tmp_path: Path
) -> None:
    wide().save(tmp_path)
    path = tmp_path / "network.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | other))
    with pytest.raises(NetworkError, match=r"a network for body, .*; this program knows body"):
        load_network(tmp_path)


def test_a_flipped_byte_of_the_weights_is_refused(saved: Network, tmp_path: Path) -> None:
    weights = tmp_path / "network" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(NetworkError, match=r"weights\.safetensors: missing or not the weights"):
        load_network(tmp_path / "network")


def test_a_network_of_other_features_is_refused(saved: Network, tmp_path: Path) -> None:
    path = tmp_path / "network" / "network.json"
    card = json.loads(path.read_text())
    card["features"] = card["features"][::-1]
    path.write_text(json.dumps(card))
    with pytest.raises(NetworkError, match="a network for log_volume"):
        load_network(tmp_path / "network")


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"network\.json: cannot be read"):
        load_network(tmp_path)
