"""What a version answers is believed only as far as it can be an answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantgod.live.deployment.loaded_model import LoadedModel, PredictionError, as_answer
from tests.live.engine.answering import said_of

BUYS = as_answer(said_of(28_401_120)).assign(
    datetime=pd.Timestamp(28_401_120 * 60, unit="s", tz="UTC")
)
NUMBERS = [f"{kind}_{name}" for kind in ("base", "prob") for name in ("sell", "neutral", "buy")]


def asked(answer: object) -> Any:
    """What a version that answers so is taken to say."""
    model: Any = SimpleNamespace(predict=lambda rows: answer)
    return LoadedModel("quantgod", 1, 2, Path("nowhere"), None, model).predict(pd.DataFrame())


def test_a_sound_answer_is_taken_as_it_is() -> None:
    assert asked(BUYS) == said_of(28_401_120)
    waits = {"in_set_neutral": True, "action": "NEUTRAL", "abstention": "several_classes"}
    expected = said_of(28_401_120, in_set=(False, True, True), **dict(list(waits.items())[1:]))
    assert asked(BUYS.assign(**waits)) == expected


WRONG: list[dict[str, Any]] = [
    *({name: value} for name in [*NUMBERS, "uncertainty"] for value in (np.nan, np.inf, -np.inf)),
    *({name: value} for name in ("prob_buy", "uncertainty") for value in ("much", None)),
    # From the end of the list of classes -1 is BUY as well.
    *({"class": value} for value in (-1, 3, 1, np.nan, None, "BUY")),
    {"class": -3, "signal": "SELL", "in_set_sell": True, "in_set_buy": False, "action": "SELL"},
    *({"signal": value} for value in ("SELL", "HOLD", 2, None)),
    *({"datetime": value} for value in (pd.NaT, "noon", None)),
    *({f"in_set_{name}": value} for name in ("sell", "buy") for value in (np.nan, 1, "true", None)),
    *({"action": value} for value in ("SELL", "NEUTRAL", "HOLD", 2, None)),
    {"in_set_sell": True},
    {"in_set_buy": False},
    {"abstention": "several_classes"},
    {"abstention": None},
    {"in_set_sell": True, "action": "NEUTRAL"},
    {"decided_by": np.nan},
]


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_an_answer_that_can_be_none_is_refused_with_what_it_was(changes: dict[str, Any]) -> None:
    with pytest.raises(PredictionError, match=r"expected|in \{|row expected"):
        asked(BUYS.astype(object).assign(**changes))


@pytest.mark.parametrize("name", BUYS.columns)
def test_an_answer_that_lacks_a_column_is_refused(name: str) -> None:
    with pytest.raises(PredictionError, match=name):
        asked(BUYS.drop(columns=name))


@pytest.mark.parametrize("answer", [pd.concat([BUYS, BUYS]), BUYS[:0], [1.0], None, "BUY"])
def test_one_row_is_expected(answer: object) -> None:
    with pytest.raises(PredictionError, match="one row expected"):
        asked(answer)
