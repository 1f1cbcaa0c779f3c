"""What the experiment counts, and when it says that something is wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from quantgod.gates import Gate
from quantgod.gates.zoo.figure import findings
from quantgod.gates.zoo.power import (
    MADE_FOR,
    RIVALS,
    Market,
    Sight,
    ZooPower,
    head,
    markets,
    network_settings,
    rows,
    sight_line,
)
from quantgod.models import zoo
from quantgod.settings import Kind, Settings, SettingsError, load_settings
from tests.evaluation.plots.overlaps import overlapping

CONFIG = Path("conf/zoo.yaml")
SETTINGS = load_settings(CONFIG)
OF_CANDLES = {"bilstm_attention", "causal_transformer"}  # judged on candles, not on these markets


def asked(**changes: object) -> Settings:
    return load_settings(CONFIG, {f"zoo.{key}": value for key, value in changes.items()})


def sight(
    network: str = "tlob",
    kind: Kind = "shape",
    seed: int = 500,
    *,
    is_null: bool = False,
    beaten: tuple[str, ...] = RIVALS,
    open_rival: str = "",
) -> Sight:
    gates = tuple(
        Gate(
            f"beats_{rival}_{score}",
            "0.1",
            "> 0",
            None if rival == open_rival else rival in beaten,
            "",
            unjudged=rival == open_rival,
        )
        for rival in RIVALS
        for score in ("macro_f1", "log_loss")
    )
    scores = {name: {"macro_f1": 0.5, "log_loss": 1.0} for name in (network, *RIVALS)}
    return Sight(
        kind=kind, is_null=is_null, seed=seed, network=network, gates=gates, scores=scores,
        effective_rows=900.0, best_epoch=3, seconds=12.3,
    )  # fmt: skip


def test_each_kind_has_its_markets_and_null_markets_take_kinds_in_turn() -> None:
    found = markets(asked(planted_markets=2, null_markets=6, first_seed=40).zoo)
    planted = [one for one in found if not one.is_null]
    assert [(one.kind, one.seed) for one in planted] == [
        (kind, seed) for seed in (40, 41) for kind in MADE_FOR
    ]
    null = [(one.kind, one.seed) for one in found if one.is_null]
    assert null == list(zip([*MADE_FOR, "lean"], range(1_040, 1_046), strict=True))
    assert len({one.name for one in found}) == 16


def test_a_part_that_is_asked_for_is_one_of_the_same_markets() -> None:
    whole = markets(asked(planted_markets=2, null_markets=10).zoo)
    part = markets(asked(planted_markets=1, null_markets=10, kinds="flow").zoo)
    assert part == [one for one in whole if one.kind == "flow" and (one.is_null or one.seed == 600)]
    assert len(part) == 3


def test_the_experiment_asks_for_ten_seeds_of_each_kind_and_twenty_null_markets() -> None:
    found = markets(SETTINGS.zoo)
    assert [len([one for one in found if one.is_null is null]) for null in (False, True)] == [
        50,
        20,
    ]
    assert set(SETTINGS.zoo.networks) == set(zoo.names()) - OF_CANDLES
    assert SETTINGS.zoo.looks == 20 * len(SETTINGS.zoo.networks)
    assert SETTINGS.gates == load_settings(Path("conf/full.yaml")).gates


@pytest.mark.parametrize("kind", MADE_FOR)
def test_a_market_has_the_settings_of_its_kind_and_a_null_one_differs_by_its_signal(
    kind: Kind,
) -> None:
    planted, null = (Market(kind, is_null, 7).settings(SETTINGS) for is_null in (False, True))
    assert (planted.simulate.planted, planted.simulate.seed) == (kind, 7)
    assert planted.simulate.signal > 0 == null.simulate.signal
    signal = {"signal": planted.simulate.signal}
    again = null.model_copy(update={"simulate": null.simulate.model_copy(update=signal)})
    assert again == planted
    assert planted.simulate.days == SETTINGS.zoo.of_kind.get(kind, {}).get("simulate.days", 10)


@pytest.mark.parametrize("network", SETTINGS.zoo.networks)
def test_a_network_gets_its_own_settings_and_none_of_another(network: str) -> None:
    own = network_settings(network, SETTINGS)
    assert own.model.name == network
    assert own.model.params == SETTINGS.zoo.of_network[network].get("model.params", {})
    zoo.architecture(network).settings_from(own.model.params)


def test_kinds_and_networks_may_be_given_as_text_and_unknown_kinds_are_refused() -> None:
    found = asked(kinds="shape,flow", networks="tlob").zoo
    assert (found.kinds, found.networks) == (("shape", "flow"), ("tlob",))
    with pytest.raises(SettingsError, match=r"zoo\.kinds.*smell"):
        asked(kinds="shape,smell")


def test_a_signal_is_found_where_every_rival_is_beaten_on_every_score() -> None:
    assert sight().found
    for rival in RIVALS:
        left = tuple(other for other in RIVALS if other != rival)
        assert not sight(beaten=left).found
        assert not sight(open_rival=rival).found, "too few rows to tell"
    assert sight(beaten=("majority",)).beats_majority
    assert not sight(beaten=("linear",)).beats_majority


def test_the_table_counts_by_network_and_kind() -> None:
    power = ZooPower(
        sights=(
            sight(),
            sight(seed=501, beaten=("majority",)),
            sight(seed=502, beaten=()),
            sight(kind="flow", beaten=()),
            sight("linear", "shape", beaten=()),
            sight(seed=510, is_null=True, beaten=()),
        )
    )
    assert head(power) == ["network", "shape", "flow", "null"]
    assert rows(power) == [
        ["tlob", "1 of 3 (2)", "0 of 1 (0)", "0 of 1 (0)"],
        ["linear", "0 of 1 (0)", "-", "-"],
    ]
    assert msgspec.convert(msgspec.to_builtins(power), ZooPower) == power


@pytest.mark.parametrize(("found", "is_wrong"), [(10, False), (9, False), (8, True)])
def test_who_was_made_for_a_kind_has_to_find_it_nine_times_of_ten(
    found: int, is_wrong: bool
) -> None:
    tries = [sight(seed=seed, beaten=RIVALS if seed < found else ()) for seed in range(10)]
    others = [sight("linear", seed=seed, beaten=()) for seed in range(10)]
    wrong = ZooPower(sights=(*tries, *others)).wrong
    assert wrong == (["tlob found shape in 8 of 10 markets"] if is_wrong else [])


def test_a_signal_found_where_there_is_none_is_named() -> None:
    (wrong,) = ZooPower(sights=(sight("linear", "lean", 511, is_null=True),)).wrong
    assert wrong == "linear found a signal in a lean market without one, seed 511"


def test_a_result_is_a_line() -> None:
    said = "shape 500: found, macro-F1 tlob 0.500 (majority 0.500, logistic_regression 0.500, "
    assert sight_line(sight()) == said + "linear 0.500), 12 s"
    null = sight_line(sight(is_null=True, beaten=()))
    assert null.startswith("shape without signal 500: not found, macro-F1 tlob 0.500")


def test_the_figure_has_a_cell_for_each_network_and_kind() -> None:
    sights = [sight(network, kind) for network in SETTINGS.zoo.networks for kind in MADE_FOR]
    figure = findings(ZooPower(sights=(*sights, sight(is_null=True, beaten=()))))
    assert overlapping(figure) == []
    (axes,) = figure.axes
    (mesh,) = axes.collections
    assert mesh.get_array().shape == (9, 6)
    texts = {text.get_text(): text.get_weight() for text in axes.texts}
    assert texts["0/1"] == "normal"
    assert [text.get_weight() for text in axes.texts].count("bold") == len(MADE_FOR)
