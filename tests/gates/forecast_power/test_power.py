"""What the experiment counts, and when it says that something is wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from quantgod.gates.forecast_power.figure import skills
from quantgod.gates.forecast_power.power import (
    HEAD,
    SERIES_HEAD,
    Finding,
    ForecastPower,
    Kind,
    Series,
    finding_line,
    gate_rows,
    series_of,
    series_rows,
    summary_rows,
)
from quantgod.settings import Settings, SettingsError, load_settings
from tests.evaluation.plots.overlaps import overlapping
from tests.gates.forecast_power.findings import finding, look

CONFIG = Path("conf/forecast_power.yaml")


def asked(**changes: object) -> Settings:
    return load_settings(CONFIG, {f"forecast_power.{key}": value for key, value in changes.items()})


def power(*findings: Finding) -> ForecastPower:
    return ForecastPower(findings=findings, found_in=0.9)


def test_the_shipped_experiment_is_the_demand_with_the_shipped_gates_and_rules() -> None:
    own, full = load_settings(CONFIG), load_settings(Path("conf/full.yaml"))
    counts = [[one.kind for one in series_of(own)].count(kind) for kind in Kind.__args__]
    assert counts == [20, 10, 10] and own.forecast_power.found_in == 0.9
    assert own.forecast_power.looks == 20 * len(own.forecast.horizons)
    audited = {"leak_audit": True}  # `forecast` audits; the experiment is of the other gates
    assert own.forecast.gates.model_copy(update=audited) == full.forecast.gates
    for same in ("ensemble", "selection", "regimes", "horizons"):
        assert getattr(own.forecast, same) == getattr(full.forecast, same)


def test_series_have_seeds_of_their_own_and_who_asks_for_fewer_gets_a_part_of_the_same() -> None:
    settings = asked(null_series=3, momentum_series=2, clusters_series=1, first_seed=40)
    found = series_of(settings)
    names = ["null-40", "null-41", "null-42", "momentum-1040", "momentum-1041", "clusters-2040"]
    assert [one.name for one in found] == names
    part = series_of(asked(null_series=1, momentum_series=1, clusters_series=0, first_seed=40))
    assert set(part) < set(found) and len(part) == 2


def test_a_series_plants_its_own_structure_alone() -> None:
    settings = asked(momentum=0.7, clusters=0.6)
    for kind, planted in (("null", (0, 0)), ("momentum", (0.7, 0)), ("clusters", (0, 0.6))):
        own = Series(kind, 9).settings(settings).candles.simulate
        assert (own.momentum, own.clusters, own.regimes, own.seed) == (*planted, 0, 9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"looks": 59}, "at least 60 expected"), ({"clusters_series": 1001}, "at most 1000 series")],
)
def test_too_few_looks_and_too_few_seeds_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        series_of(asked(**changes))


@pytest.mark.parametrize("steps", [1, 7, 30])
def test_what_counts_as_found(steps: int) -> None:
    gated = steps != 30
    assert finding("null", mean=steps).found, "no horizon may claim anything"
    assert finding("momentum", mean=steps).found is gated
    assert finding("clusters", width=steps).found is gated
    others = finding("null", width=steps), finding("momentum", width=steps)
    assert not any(one.found for one in (*others, finding("clusters", mean=steps)))
    few = tuple(look(at, 0.1, 0.1, enough=False) for at in (1, 7, 30))
    for kind in Kind.__args__:
        assert not msgspec.structs.replace(finding(kind), looks=few).found


@pytest.mark.parametrize(("found", "is_wrong"), [(10, False), (9, False), (8, True)])
def test_nine_of_ten_must_be_found_and_nothing_claimed_where_nothing_is(
    found: int, is_wrong: bool
) -> None:
    for kind in ("momentum", "clusters"):
        tries = [finding(kind, n, *((1, 1) if n < found else ())) for n in range(10)]
        wrong = [f"{kind} found in 8 of 10 series, in a share of 0.9 expected"]
        assert power(finding(), *tries).wrong == (wrong if is_wrong else [])
    (wrong,) = power(finding(), finding(seed=1004, mean=30), finding("momentum", mean=1)).wrong
    assert wrong == "skill of the mean is claimed 30 days ahead of a null series, seed 1004"


def test_tables_count_by_kind_horizon_and_gate_and_survive_json() -> None:
    of = power(
        finding(width=1), finding(seed=1001), finding("momentum", 2000, mean=1),
        finding("momentum", 2001, mean=7, width=7),
    )  # fmt: skip
    assert msgspec.convert(msgspec.to_builtins(of), ForecastPower) == of
    assert of.headline == (
        "skill of the mean claimed of 0 of 2 null; momentum found in 2 of 2, clusters found in "
        "0 of 0"
    )
    rows = [dict(zip(HEAD, row, strict=True)) for row in summary_rows(of)]
    assert [(row["series"], row["ahead"]) for row in rows] == [
        (kind, ahead) for kind in ("null", "momentum") for ahead in ("1 day", "7 days", "30 days")
    ]
    assert [row["mean claimed"] for row in rows] == ["0", "0", "0", "1", "1", "0"]
    assert [row["width above 0"] for row in rows] == ["1", "0", "0", "0", "1", "0"]
    assert rows[3]["skill of the mean"] == "+2.0% (+1.0% to +3.0%)"
    assert rows[0]["in 80 %"] == "79.0%"
    assert gate_rows(of) == [
        ["pinball_skill_1", "1/2", "0/2", "-"],
        ["pinball_skill_7", "0/2", "1/2", "-"],
        ["pinball_skill_30", "-", "-", "-"],
    ]
    single = [dict(zip(SERIES_HEAD, row, strict=True)) for row in series_rows(of)]
    assert [row["found"] for row in single[::3]] == ["no", "no", "yes", "yes"]
    assert single[6]["mean, widened"] == "+3.00% [+1.00%, +5.00%]"


def test_a_result_is_a_line() -> None:
    said = finding_line(finding("momentum", 2003, mean=1))
    assert said.startswith("momentum 2003: found, mean +3.00% [+1.00%, +5.00%] 1 day ahead, mean ")
    assert said.endswith("7 days ahead, 12 s")
    assert finding_line(finding("clusters", 3000)).startswith("clusters 3000: nothing found, width")
    assert finding_line(finding(mean=7)).startswith("null 1000: claimed, mean")


def test_the_figure_has_a_bar_for_each_series_at_each_gated_horizon() -> None:
    of = power(*(finding(kind, n, mean=1) for kind in Kind.__args__ for n in range(4)))
    figure = skills(of)
    assert overlapping(figure) == []
    assert [axes.get_title() for axes in figure.axes] == ["1 day ahead", "7 days ahead", "", ""]
    for axes in figure.axes:
        assert sum(len(bars.lines[0].get_xdata()) for bars in axes.containers) == 12
