"""The model card says what a stranger must know, in the room that a registry has."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
import pytest

from quantgod.evaluation.drift import Shift
from quantgod.evaluation.scored_rows import MODELS
from quantgod.evaluation.wording import interval_text
from quantgod.report.card import CHARACTERS, model_card
from quantgod.settings import HorizonSettings
from tests.evaluation.evaluations import case
from tests.report.written import examined


def card(moved: int = 0) -> str:
    given = case()
    shifts = {f"column_{number}": Shift(0.9, 0.9) for number in range(moved)}
    result = msgspec.structs.replace(given.evaluated.result, forecast_shift=shifts)
    evaluated = replace(given.evaluated, result=result)
    return model_card(evaluated, examined(), given.table, given.settings)


def test_it_says_what_it_is_of_and_what_it_was_scored_on() -> None:
    result = case().evaluated.result
    text = card()
    found = interval_text(result.models["auditor"]["macro_f1"])
    first = f"BTCUSDT (linear, book), the next 60 minutes: macro-F1 {found} on the test part"
    assert text.startswith(f"{first}\n\n# quantgod/7\n"), (
        "a table of versions shows this line alone"
    )
    assert f"{result.rows:,} rows" in text and f"{result.effective_rows:.0f} independent" in text
    assert "BTCUSDT" in text and "60 minutes" in text and "+0.008" in text and "-0.004" in text
    for heading in ("Data", "On the test part", "When it is sure", "Weaknesses found", "Not for"):
        assert f"\n## {heading}\n" in text


def test_a_simulated_market_is_named_before_anything_else() -> None:
    given = case()
    text = model_card(given.evaluated, examined(), given.table, given.settings, "simulated market")
    assert text.splitlines()[0].endswith(" on the test part of a simulated market")
    assert "\n# quantgod/7\n\n**Of a simulated market: nothing here speaks of a real" in text
    assert "simulated market" not in card()


@pytest.mark.parametrize(
    ("objective", "further", "said"),
    [
        ("classes", (), None),
        ("direction", (), "learned the direction alone and never says NEUTRAL by itself."),
        ("multi_task", (), "confidence and the expected return. None of these is served: judged"),
        ("multi_task", (5, 30), "return, also of the next 5, 30 minutes. None of these is served"),
    ],
)
def test_what_its_network_learned_besides_is_said(
    objective: str, further: tuple[int, ...], said: str | None
) -> None:
    given = case()
    label, train = given.settings.label, given.settings.train
    ahead = [
        HorizonSettings(horizon_minutes=one, sell_below=-1e-3, buy_above=1e-3) for one in further
    ]
    changed = {
        "train": train.model_copy(update={"objective": objective}),
        "label": label.model_copy(update={"further": tuple(ahead)}),
    }
    settings = given.settings.model_copy(update=changed)
    text = model_card(given.evaluated, examined(), given.table, settings)
    assert said is None or said in text
    assert (text == card()) == (said is None)


def test_a_feature_that_never_moved_is_named() -> None:
    given = case()
    still = given.table.assign(log_volume=6.4)
    text = model_card(given.evaluated, examined(), still, given.settings)
    assert "- Never moved, so that nothing is learned of it: log_volume.\n" in text
    assert "Never moved" not in card() and "BTCUSDT (linear, book)" in card()
    last = given.table.index[given.evaluated.dev_row[-1]]
    for minute, is_still in ((last, False), (last + pd.Timedelta(minutes=1), True)):
        moving = still.copy()
        moving.loc[minute, "log_volume"] = 7.0
        text = model_card(given.evaluated, examined(), moving, given.settings)
        assert ("Never moved" in text) is is_still


def test_scores_stand_with_intervals_beside_those_of_the_baselines() -> None:
    models = case().evaluated.result.models
    for model in MODELS:
        line = next(line for line in card().splitlines() if line.startswith(f"| {model[:5]}"))
        assert interval_text(models[model]["macro_f1"]) in card()
        assert line.count("[") + line.count("(too few rows)") == 5


def test_it_tells_how_often_each_class_came() -> None:
    came = np.bincount(case().evaluated.rows["target"], minlength=3) / len(case().evaluated.rows)
    told = f"{came[0]:.1%} were SELL, {came[1]:.1%} NEUTRAL, {came[2]:.1%} BUY."
    assert f"- Of the test rows {told}\n" in card()


def test_it_leaves_out_no_weakness_that_it_has_room_for() -> None:
    for moved in (60, 61, 62):
        text = card(moved)
        longest = max(len(line) for line in text.splitlines() if "has moved" in line)
        assert CHARACTERS - longest - 10 <= len(text) <= CHARACTERS


def test_weaknesses_are_on_it() -> None:
    assert "The test part is short" in card()
    assert "Probability column 0 has moved" in card(1)


@pytest.mark.parametrize("moved", [0, 5, 50, 500])
def test_it_fits_a_registry_and_says_what_it_left_out(moved: int) -> None:
    text = card(moved)
    assert len(text) <= CHARACTERS
    kept = text.count("has moved")
    assert ("more: see the report" in text) == (kept < moved)
    assert kept or not moved
    assert "## Not for" in text
