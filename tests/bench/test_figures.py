"""The tables of the docs come from the store, and stand between their markers."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from bench.figures import (
    FILES,
    TABLES,
    NoRunError,
    demo,
    demo_times,
    ensembles,
    forecast_power,
    intervals,
    power,
    power_curve,
    put,
    zoo,
)
from bench.forecast_tables import forecast_lines
from quantgod.evaluation.interval_power import DESIGNS, DesignOutcome, IntervalCoverage
from quantgod.gates.forecast_power.power import ForecastPower
from quantgod.gates.interval_proof import Proof
from quantgod.gates.power import Cell, Power, Rehearsal
from quantgod.gates.zoo.power import ZooPower
from quantgod.settings import load_settings
from quantgod.tracking.stage import MACHINE_TAG, stage
from quantgod.tracking.store import connect
from tests.gates.forecast_power.findings import finding
from tests.gates.test_power import ensemble
from tests.gates.zoo.test_power import sight
from tests.stores import fresh_store

MCC = DesignOutcome(
    design=DESIGNS[0].name,
    score="mcc, model 1",
    effective_rows=DESIGNS[0].independent,
    cases=1_000,
    judged=1.0,
    held=IntervalCoverage(0.94, 0.2),
    needed=0.15,
    bootstrap=IntervalCoverage(0.85, 0.1),
)
PROJECT = Path(__file__).parents[2]


def test_every_table_has_a_place_and_no_other_has_one() -> None:
    tables = [*TABLES, "speed", "soak", "every"]
    text = "".join((PROJECT / name).read_text() for name in FILES)
    assert sorted(re.findall(r"<!-- figures: (.+) -->", text)) == sorted(tables)
    assert text.count("<!-- end -->") == len(tables)


def test_a_table_takes_the_place_of_the_one_before_it_and_of_nothing_else() -> None:
    text = "a\n<!-- figures: x -->\nold\n<!-- end -->\nb\n<!-- figures: y -->\n<!-- end -->\n"
    once = put(text, {"x": r"| \1 |"})
    assert once == text.replace("old", r"| \1 |")
    assert put(once, {"x": r"| \1 |"}) == once
    assert put(text, {"z": "nowhere"}) == text


def test_tables_say_what_was_found_and_on_what_and_refuse_to_make_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    own = {
        "tracking.uri": fresh_store(tmp_path),
        "tracking.artifacts": str(tmp_path / "artifacts"),
        "tracking.outbox": str(tmp_path / "outbox"),
        "data.work": str(tmp_path / "work"),
    }
    settings = load_settings(Path("conf/power.yaml"), own)
    client = connect(settings.tracking)
    for table in (demo, demo_times, intervals, power, power_curve, zoo, forecast_power):
        with pytest.raises(NoRunError):
            table(client)
    rehearsals = tuple(
        Rehearsal(kind=kind, seed=seed, gates=(), figures={}, seconds=1.0)
        for kind in ("null", "planted")
        for seed in range(3)
    )
    with stage("power", settings) as run:
        run.json("power", msgspec.to_builtins(Power(rehearsals=rehearsals, planted_passes=1)))
    said = power(client)
    assert "| gate | null, of 3 | planted, of 3 |" in said
    assert client.get_run(run.run_id).data.tags[MACHINE_TAG] in said
    with pytest.raises(NoRunError, match=r"ensemble_power\.yaml"):
        ensembles(client)
    both = (ensemble(1, 0.8, 1.1), ensemble(2, 0.95, 1.3))
    with stage("power", settings) as run:
        run.json("power", msgspec.to_builtins(Power(rehearsals=both, planted_passes=1)))
    assert "| null, of 3 | planted, of 3 |" in power(client)
    said = ensembles(client)
    assert "| planted-1 | 0.800 | 1.000 | 0.900 | 0.500 | 0.850 | 1.200 | 1.100 | 1.000 |" in said
    assert "| planted | 1/2 | 1/2 | 2/2 |" in said
    figures = {"effective_rows": 460.0, "macro_f1": 0.4, "trades": 3.0, "net_pnl": -7.0}
    placed = tuple(
        Rehearsal(kind="null", seed=3, gates=(), figures=figures, seconds=1.0, cell=cell)
        for cell in (Cell(0.0, 4), Cell(0.0, 4, trades=True))
    )
    with stage("power_curve", settings) as run:
        run.json("power_curve", msgspec.to_builtins(Power(rehearsals=placed, planted_passes=1)))
    said = power_curve(client)
    assert "| signal | 4 days |\n| --- | --- |\n| 0 | 0 of 1 |" in said
    assert "| null that trade | 0 of 1 | 95.00% | 3 (3 to 3) | -7 (-7 to -7) | - |" in said
    with stage("intervals", settings) as run:
        run.json("intervals", msgspec.to_builtins(Proof(cases=10, found=(MCC,))))
    said = intervals(client)
    assert "| MCC | 1.00; 0.940; 0.200 (0.150); 0.85, 0.100 |" in said
    assert client.get_run(run.run_id).data.tags[MACHINE_TAG] in said
    sights = (sight(), sight("linear", beaten=()))
    with stage("zoo_power", settings) as run:
        run.json("zoo_power", msgspec.to_builtins(ZooPower(sights=sights)))
    said = zoo(client)
    assert "| network | shape | null |\n| --- | --- | --- |\n| tlob | 1 of 1 (1) | - |" in said
    assert "| linear | 0 of 1 (0) | - |" in said
    assert client.get_run(run.run_id).data.tags[MACHINE_TAG] in said
    found = ForecastPower(findings=(finding(), finding("momentum", mean=1)), found_in=0.9)
    with stage("forecast_power", settings) as run:
        run.json("forecast_power", msgspec.to_builtins(found))
    said = forecast_power(client)
    assert "| momentum | 1 day | 1 | 1 | +3.0% (+3.0% to +3.0%) | 0 |" in said
    assert "| pinball_skill_1 | 0/1 | 0/1 | - |" in said and "momentum found in 1 of 1" in said
    assert client.get_run(run.run_id).data.tags[MACHINE_TAG] in said


def test_forecasts_of_real_candles_are_told_with_their_intervals_and_coin_by_coin():
    def told(value: float, enough: bool = True) -> list[object]:
        return [value, value - 0.01, value + 0.01, enough, ""]

    one = {
        "mse_skill": {"zero": told(-0.002)},
        "pinball_skill": {"random_walk": told(0.01), "garch": told(0.02, False)},
        "coverage": [{"issued": told(0.5), "raw": told(0.6)}, {"issued": told(0.8), "raw": None}],
        "prices": {"forecast": {"r2": 0.9712}, "naive": {"r2": 0.973}},
    }
    scores = {
        ahead: {
            "steps": steps, "first": "2020-01-01", "last": "2021-01-01",
            "models": {"drift": one, "ensemble": one}, "coins": {"BTCUSDT": one},
        }
        for ahead, steps in (("30 days", 30), ("1 day", 1))
    }  # fmt: skip
    record = {"subject": "ensemble", "scores": scores, "verdict": ["None is shown."]}
    lines = list(forecast_lines(record))
    rows = [line for line in lines if line.startswith(("| 1 day", "| 30"))]
    assert rows[0] == (
        "| 1 day | ensemble | -0.20 [-1.20, 0.80] | 1.00 [0.00, 2.00] | 2.00 [1.00, 3.00] (few) | "
        "60.0 → 50.0 | 80.0 |"
    )
    assert [row.split(" | ")[1] for row in rows] == [
        "ensemble", "drift", "ensemble", "drift", "BTCUSDT", "BTCUSDT",
    ]  # fmt: skip
    assert rows[-1].endswith("| 0.971 (0.973) |") and lines[-1] == "- None is shown."
