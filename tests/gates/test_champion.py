"""Only minutes count that neither version has learned from, and of which both have spoken."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import pytest

from quantgod.auditor.auditor_input import AuditorInput
from quantgod.contracts import CLASSES, FEATURES, Forecast, Progress, silent
from quantgod.dataset.book_blocks import RowBlocks
from quantgod.dataset.labels import label
from quantgod.evaluation.evidence import EvidenceError
from quantgod.evaluation.scored_rows import columns_of
from quantgod.evaluation.subject import RawMaterial
from quantgod.gates import Duel
from quantgod.gates.champion import (
    BAR_COLUMNS,
    SIGNAL_COLUMNS,
    JournalTables,
    Labelling,
    on_live_rows,
    on_test_rows,
)
from quantgod.settings import LabelSettings
from tests.synthetic import synthetic_bars

HORIZON, BRIDGE, ROWS = 60, 5, 4_000
LABELLING = Labelling(
    LabelSettings(horizon_minutes=HORIZON, buy_above=0.008, sell_below=-0.004), BRIDGE
)
LEAST_ROWS = 10.0
BARS = synthetic_bars(ROWS, seed=4, signal=0.7)
TABLE = label(BARS, *LABELLING)
EVER = pd.Timestamp(0, tz="UTC")
OURS, THEIRS = 2, 1
GOOD, POOR = 1.5, -1.5
"""Trust in what is seen; who mistrusts it is wrong."""


class Oracle:
    """A subject that sees the imbalance, and trusts it by `skill`; it remembers what it was asked.

    Its meta-features are the features of the window's last row.
    """

    name = "quantgod/1"
    columns = FEATURES
    block = None
    base_weights = decision_weights = (2.0, 1.0, 2.0)

    def __init__(self, skill: float, window: int = 100) -> None:
        self.skill, self.window = skill, window
        self.asked = self.earlier = np.empty(0, np.int64)
        self.silent = slice(0)

    def ask(
        self, material: RawMaterial, rows: np.ndarray, progress: Progress = silent
    ) -> AuditorInput:
        """What it forecasts nobody asks: auditors are compared."""
        self.asked, self.earlier = rows, material.earlier
        meta = material.matrix[rows]
        meta[self.silent] = np.nan
        return AuditorInput(cast(Forecast, None), meta)

    def audited(self, meta: np.ndarray) -> np.ndarray:
        seen = meta[:, FEATURES.index("mean_deep_obi")]
        scores = np.stack([-self.skill * seen - 1, np.zeros(len(seen)), self.skill * seen - 2], 1)
        powers = np.exp(scores)
        return powers / powers.sum(axis=1, keepdims=True)

    def answer_times(
        self, table: pd.DataFrame, rows: np.ndarray, book: RowBlocks | None = None
    ) -> None:
        raise AssertionError("nobody is timed")


def scored(first: int = 2_000, stride: int = 1, skill: float = GOOD) -> pd.DataFrame:
    """The challenger's test rows: those from position `first` on that have a label."""
    place = np.arange(first, ROWS - HORIZON, stride)
    said = Oracle(skill).audited(TABLE[list(FEATURES)].to_numpy()[place])
    rows = pd.DataFrame(said, columns=columns_of("auditor"))
    return rows.assign(
        time=TABLE.index[place],
        label_end=TABLE["label_end"].to_numpy()[place],
        target=TABLE["target"].to_numpy()[place],
        auditor_class=np.argmax(said * Oracle.decision_weights, axis=1),
    ).astype({"label_end": rows_time()})


def rows_time() -> str:
    return str(TABLE["label_end"].dtype)


def is_better(found: Duel) -> bool:
    """By both scores; whether that shows anything of so few rows is `evaluation.duel`'s to tell."""
    assert found.log_loss is not None and found.macro_f1 is not None
    return found.log_loss.value < 0 < found.macro_f1.value


def test_a_challenger_with_better_eyes_beats_the_champion_on_its_test_rows() -> None:
    found = on_test_rows(scored(), TABLE, Oracle(POOR), EVER, LEAST_ROWS)
    assert found.rows == ROWS - HORIZON - 2_000 and is_better(found)
    back = on_test_rows(scored(skill=POOR), TABLE, Oracle(GOOD), EVER, LEAST_ROWS)
    assert not is_better(back) and not back.won


def test_the_champion_is_asked_of_the_challengers_very_rows() -> None:
    champion = Oracle(GOOD)
    found = on_test_rows(scored(stride=7), TABLE, champion, EVER, LEAST_ROWS)
    assert champion.asked.tolist() == list(range(2_000, ROWS - HORIZON, 7))
    assert found.log_loss is not None and found.log_loss.value == 0, "it says the same"


def test_rows_that_the_champion_has_learned_from_do_not_count() -> None:
    champion = Oracle(1.0)
    on_test_rows(scored(), TABLE, champion, TABLE.index[2_500], LEAST_ROWS)
    assert champion.asked.min() == 2_500 + HORIZON, "its newest label ends there"


def test_rows_that_all_are_old_to_the_champion_leave_nothing_to_win() -> None:
    found = on_test_rows(scored(), TABLE, Oracle(1.0), TABLE.index[-1], LEAST_ROWS)
    assert not found.won and "1940 are no news to the champion" in found.problem
    found = on_test_rows(scored(), TABLE, Oracle(1.0), TABLE.index[3_500], LEAST_ROWS)
    assert not found.won and "380 rows are left" in found.problem


def test_a_champion_with_a_longer_window_is_asked_where_it_has_one() -> None:
    broken = label(BARS.drop(BARS.index[2_400:2_410]), *LABELLING)
    rows = scored()
    rows = rows[rows["time"].isin(broken.index[broken["target"] >= 0])]
    champion = Oracle(1.0, window=1_000)
    on_test_rows(rows, broken, champion, EVER, LEAST_ROWS)
    times = broken.index[champion.asked]
    kept = set(times) & set(BARS.index[2_410:3_409])
    assert times.min() == BARS.index[2_000] and not kept, "the run begins anew after the hole"
    assert BARS.index[3_409] in times


def test_rows_that_the_champion_has_no_answer_to_do_not_count() -> None:
    """As an ensemble has none without a quorum: a booster would make something even of that."""
    silent = Oracle(POOR)
    silent.silent = slice(100, 300)
    found = on_test_rows(scored(), TABLE, silent, EVER, LEAST_ROWS)
    assert found.rows == ROWS - HORIZON - 2_000 - 200 and is_better(found)
    silent.silent = slice(None)
    found = on_test_rows(scored(), TABLE, silent, EVER, LEAST_ROWS)
    assert not found.won and found.problem == "the champion has no answer to any of 1940 rows"


def test_what_came_since_the_champion_was_made_moves_its_weights() -> None:
    champion = Oracle(GOOD)
    on_test_rows(scored(), TABLE, champion, TABLE.index[1_500], LEAST_ROWS)
    assert champion.earlier.tolist() == list(range(1_501, 2_000))
    on_test_rows(scored(), TABLE, champion, EVER, LEAST_ROWS)
    assert champion.earlier.tolist() == list(range(99, 2_000)), "the first whole window ends there"
    on_test_rows(scored(), TABLE, champion, TABLE.index[2_500], LEAST_ROWS)
    assert champion.earlier.min() == 2_501 and champion.earlier.max() < champion.asked.min()


def test_rows_of_another_table_are_refused() -> None:
    with pytest.raises(EvidenceError, match=r"2024-01-02 09:20:00.* is of another table"):
        on_test_rows(scored(), TABLE.drop(TABLE.index[2_000]), Oracle(1.0), EVER, LEAST_ROWS)


def test_rows_are_found_from_the_first_of_their_table_on() -> None:
    """A row of the first minute has no window, and is none of another table."""
    champion = Oracle(GOOD)
    found = on_test_rows(scored(first=0), TABLE, champion, EVER, LEAST_ROWS)
    assert found.rows == ROWS - HORIZON - 99 and champion.asked.min() == 99
    with pytest.raises(EvidenceError, match=r"of 2024-01-02 09:20:00.* is of another table"):
        on_test_rows(scored(first=0), TABLE.drop(TABLE.index[2_000]), champion, EVER, LEAST_ROWS)


def test_rows_without_probabilities_are_told_of_and_not_left_out() -> None:
    rows = scored()
    rows.loc[5:7, columns_of("auditor")] = np.nan
    found = on_test_rows(rows, TABLE, Oracle(POOR), EVER, LEAST_ROWS)
    assert not found.won and "the challenger gave no probabilities for 3" in found.problem


def signals(
    version: int, skill: float, minutes: range = range(2_000, ROWS), symbol: str = "BTCUSDT"
) -> pd.DataFrame:
    place = np.asarray(minutes)
    said = Oracle(skill).audited(BARS[list(FEATURES)].to_numpy()[place])
    columns = {f"prob_{name.lower()}": said[:, at] for at, name in enumerate(CLASSES)}
    decided = np.argmax(said * Oracle.decision_weights, axis=1)
    frame = pd.DataFrame({"minute": epoch_minutes()[place], "version": version, **columns})
    return frame.assign(symbol=symbol, **{"class": decided})[list(SIGNAL_COLUMNS)]


def epoch_minutes() -> np.ndarray:
    return np.asarray(BARS.index.as_unit("s").asi8 // 60)


def bars(symbol: str = "BTCUSDT") -> pd.DataFrame:
    return BARS.assign(minute=epoch_minutes(), symbol=symbol).reset_index()[list(BAR_COLUMNS)]


BOTH = pd.concat([signals(OURS, GOOD), signals(THEIRS, POOR)], ignore_index=True)


def live(said: pd.DataFrame = BOTH, known: pd.DataFrame | None = None, after=EVER):
    known = bars() if known is None else known
    return on_live_rows(JournalTables(said, known), (OURS, THEIRS), after, LABELLING, LEAST_ROWS)


def test_shadow_predictions_are_compared_where_both_spoke() -> None:
    found = live()
    assert found is not None and is_better(found) and found.rows == ROWS - HORIZON - 2_000
    parted = pd.concat([signals(OURS, GOOD, range(2_000, 3_000)), signals(THEIRS, POOR)])
    found = live(parted)
    assert found is not None and found.rows == 1_000
    turned = BOTH.assign(version=3 - BOTH["version"])
    lost = live(turned)
    assert lost is not None and not is_better(lost) and not lost.won


def test_live_and_test_rows_agree_on_the_same_minutes() -> None:
    in_test = on_test_rows(scored(), TABLE, Oracle(POOR), EVER, LEAST_ROWS)
    assert live() == in_test


def test_versions_that_never_spoke_of_the_same_minute_have_no_duel() -> None:
    apart = [signals(OURS, GOOD, range(2_000, 2_500)), signals(THEIRS, POOR, range(2_500, 3_000))]
    assert live(pd.concat(apart)) is None
    assert live(signals(OURS, GOOD)) is None
    assert live(BOTH.iloc[:0]) is None
    other = [signals(OURS, GOOD), signals(THEIRS, POOR, symbol="ETHUSDT")]
    assert live(pd.concat(other)) is None, "another symbol's minute"


def test_minutes_that_either_has_learned_from_do_not_count_live() -> None:
    found = live(after=BARS.index[2_500])
    assert found is not None and found.rows == ROWS - HORIZON - (2_500 + HORIZON)
    assert live(after=BARS.index[-1]) is None


def test_a_hole_in_the_journaled_bars_takes_the_labels_that_reach_across_it() -> None:
    holed = bars()
    holed.loc[2_400:2_409, [*FEATURES, "close"]] = None
    found = live(known=holed)
    # Ten minutes without a row, and the hour before them whose labels reach into or over the hole.
    assert found is not None and found.rows == ROWS - HORIZON - 2_000 - 10 - HORIZON
    bridged = bars().drop(range(2_400, 2_404))
    found = live(known=bridged)
    assert found is not None and found.rows == ROWS - HORIZON - 2_000 - 2 * 4


def test_of_a_minute_that_was_spoken_of_twice_the_first_answer_counts() -> None:
    again = BOTH[BOTH["version"] == OURS].assign(prob_sell=1.0, prob_neutral=0.0, prob_buy=0.0)
    assert live(pd.concat([BOTH, again])) == live()
    assert live(known=pd.concat([bars(), bars().assign(close=1.0)])) == live()


def test_symbols_are_labelled_by_their_own_prices() -> None:
    other = [
        signals(version, skill, symbol="ETHUSDT")
        for version, skill in ((OURS, GOOD), (THEIRS, POOR))
    ]
    both = pd.concat([BOTH, *other])
    found, alone = live(both, pd.concat([bars(), bars("ETHUSDT")])), live()
    assert found is not None and alone is not None and found.rows == 2 * alone.rows
    assert found.effective_rows == pytest.approx(alone.effective_rows)
    mixed = both.sample(frac=1, random_state=1)
    assert live(mixed, pd.concat([bars(), bars("ETHUSDT")])) == found, "whatever order they came in"
    assert live(both) == alone, "one whose bars are not there has no labels"


def test_predictions_whose_hour_is_not_over_are_none_to_judge_by() -> None:
    early = BOTH[BOTH["minute"] > epoch_minutes()[-HORIZON]]
    found = live(early)
    assert found is not None and not found.won and "none has a label yet" in found.problem
    found = live(known=bars().iloc[:0])
    assert found is not None and not found.won
