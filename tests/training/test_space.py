"""Every shipped settings file fits the architecture it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantgod.models import zoo
from quantgod.settings import SettingsError, load_settings
from quantgod.training.space import (
    check_members,
    check_network,
    current_values,
    joined_space,
    longest_window,
)

CONF = [
    path
    for path in sorted((Path(__file__).parents[2] / "conf").glob("*.yaml"))
    if path.name != "power.yaml"  # which searches nothing
]


@pytest.mark.parametrize("path", CONF, ids=lambda path: path.name)
def test_the_settings_own_network_lies_in_the_space_that_is_searched(path: Path) -> None:
    chosen = load_settings(path)
    zoo.architecture(chosen.model.name).settings_from(chosen.model.params)
    space = joined_space(chosen.model, chosen.optimize.space)
    assert current_values(chosen, space).keys() == space.keys()
    assert longest_window(chosen, space) >= chosen.window.length


def test_all_that_was_inherited_from_another_network_is_named_at_once() -> None:
    demo = CONF[[path.name for path in CONF].index("demo.yaml")]
    check_network(load_settings(demo))
    other = load_settings(demo, {"model.name": "linear"})
    with pytest.raises(SettingsError) as refused:
        check_network(other)
    said = str(refused.value)
    assert "model.params: linear.tcn_channels: unknown parameter" in said
    assert "leak_audit.params: linear." in said
    assert "; optimize.space: " in said and "optimize.space: optimize" not in said
    own = {"model.params": {}, "leak_audit.params": {}, "optimize.space": {"batch_size": [64]}}
    whole = load_settings(demo, {"model.name": "linear"} | own)
    check_network(whole)
    check_members({"whole": whole})
    of_book = {"model.name": "tlob"} | own | {"leak_audit.params": {"depth": 1}}
    check_network(load_settings(demo, of_book | {"window.length": 60}))  # whose leaks differ
    short = load_settings(demo, of_book | {"window.length": 30})
    with pytest.raises(SettingsError, match=r"member brief: window\.length: tlob .* got 30"):
        check_members({"whole": whole, "brief": short})
    with pytest.raises(SettingsError, match=r"member one: model\.params.*; member two: model"):
        check_members({"one": other, "whole": whole, "two": other})


def test_the_full_settings_search_the_document_s_space() -> None:
    chosen = load_settings(CONF[[path.name for path in CONF].index("full.yaml")])
    space = joined_space(chosen.model, chosen.optimize.space)
    assert space["tcn_channels"] == [32, 64, 128]
    assert space["lstm_hidden"] == [128, 256, 512]
    assert space["lstm_layers"] == [1, 2]
    assert space["batch_size"] == [128, 256]
    assert space["window_length"] == [720, 1440]
    ends = {name: (space[name].low, space[name].high) for name in ("learning_rate", "dropout")}
    assert ends == {"learning_rate": (5e-5, 1e-3), "dropout": (0.2, 0.5)}
