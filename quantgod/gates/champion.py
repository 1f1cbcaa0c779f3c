"""A challenger against the version in place: on its own test rows, and on what both said live.

Only minutes count that neither has learned from. The champion's reference says how far its dev part
reaches; the labels in it reach a horizon further.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.contracts import CLASSES, FEATURES, MS_PER_MINUTE, Integers, Progress, silent
from quantgod.dataset.labels import NO_TARGET, label
from quantgod.dataset.windows import samples
from quantgod.evaluation.comparison import ModelOutput
from quantgod.evaluation.evidence import EvidenceError
from quantgod.evaluation.scored_rows import probabilities_of
from quantgod.evaluation.subject import Subject
from quantgod.gates.duel import Truth, duel
from quantgod.gates.report import Duel
from quantgod.served.calibration import decide
from quantgod.settings import LabelSettings

SIGNAL_COLUMNS: Final = (
    "minute",
    "symbol",
    "version",
    *(f"prob_{name.lower()}" for name in CLASSES),
    "class",
)
"""What is read of a journal's signals."""

BAR_COLUMNS: Final = ("minute", "symbol", *FEATURES, "close")
"""What is read of a journal's bars."""

_PLACE: Final = ["minute", "symbol"]
_MINUTE: Final = pd.Timedelta("1min")


class JournalTables(NamedTuple):
    """What live sessions left behind.

    `signals` are rows of SIGNALS with `SIGNAL_COLUMNS`, `bars` rows of BARS with `BAR_COLUMNS`, and
    nulls where a minute has no row.
    """

    signals: pd.DataFrame
    bars: pd.DataFrame


class Labelling(NamedTuple):
    """How journaled bars become labels: as `dataset.labels` does it."""

    settings: LabelSettings
    max_bridge_minutes: int


def on_test_rows(
    rows: pd.DataFrame,
    table: pd.DataFrame,
    champion: Subject,
    until: pd.Timestamp,
    least_rows: float,
    progress: Progress = silent,
) -> Duel:
    """Let the champion forecast the challenger's scored rows, and compare.

    Rows count that begin after every label that the champion has learned from, and of which it has
    a whole window, which may be longer than the challenger's.

    Args:
        rows: scored rows of the challenger.
        table: the labelled table that they were scored on.
        champion: the version in place.
        until: newest row of its dev part.
        least_rows: how many effective rows a verdict takes at least.
        progress: how far it is.

    Raises:
        EvidenceError: if the rows are of another table.
    """
    place = _places(rows, table)
    is_new = (rows["time"] >= until + (rows["label_end"] - rows["time"])).to_numpy()
    is_whole = np.isin(place, samples(table, champion.window, 1).row)
    kept = is_new & is_whole
    if not kept.any():
        reach = f"{int((~is_new).sum())} are no news to the champion"
        return Duel(problem=f"of {len(rows)} rows none is left: {reach}")
    taken = rows.loc[kept]
    matrix = table.loc[:, list(FEATURES)].to_numpy(np.float64)
    theirs = champion.audited(champion.meta_features(matrix, place[kept], progress))
    return _compared(
        Truth(
            taken["target"].to_numpy(np.int64),
            _epoch_ms(taken["time"]),
            _epoch_ms(taken["label_end"]),
        ),
        ModelOutput(probabilities_of(taken, "auditor"), taken["auditor_class"].to_numpy(np.int64)),
        ModelOutput(theirs, decide(theirs, champion.decision_weights)),
        least_rows,
    )


def on_live_rows(
    journaled: JournalTables,
    versions: tuple[int, int],
    after: pd.Timestamp,
    labelling: Labelling,
    least_rows: float,
) -> Duel | None:
    """Compare what two versions said side by side in live sessions.

    The price that decides is that of the journaled bars, and a label needs its hour in one run of
    them. Where a version spoke of a minute twice, as after a restart, the first answer counts: it
    is the one that was acted on.

    Args:
        journaled: of those sessions.
        versions: challenger and champion.
        after: newest row of either's dev part.
        labelling: how bars become labels.
        least_rows: how many effective rows a verdict takes at least.

    Returns:
        None where they never spoke of the same minute that was new to both.
    """
    challenger, champion = (_spoken(journaled.signals, version) for version in versions)
    both = challenger.add_suffix("_ours").join(champion.add_suffix("_theirs"), how="inner")
    reach = after + labelling.settings.horizon_minutes * _MINUTE
    both = both[both.index.get_level_values("minute") >= reach.timestamp() // 60]
    if both.empty:
        return None
    symbols = both.index.get_level_values("symbol").unique()
    labelled = [_labels(journaled.bars, symbol, labelling) for symbol in symbols]
    known = both.join(pd.concat(labelled), how="inner").sort_index()
    if known.empty:
        return Duel(problem=f"of {len(both)} shadow predictions none has a label yet")
    minute = known.index.get_level_values("minute").to_numpy(np.int64)
    horizon = labelling.settings.horizon_minutes
    return _compared(
        Truth(
            known["target"].to_numpy(np.int64),
            minute * MS_PER_MINUTE,
            (minute + horizon) * MS_PER_MINUTE,
        ),
        _said(known, "_ours"),
        _said(known, "_theirs"),
        least_rows,
    )


def _compared(
    truth: Truth, challenger: ModelOutput, champion: ModelOutput, least_rows: float
) -> Duel:
    """A duel; a side that gave no probabilities is told of and not left out of the rows."""
    for whose, said in (("challenger", challenger), ("champion", champion)):
        rows, wrong = len(truth.target), int((~np.isfinite(said.probabilities).all(axis=1)).sum())
        if wrong:
            missing = f"of {rows} rows the {whose} gave no probabilities for {wrong}"
            return Duel(rows=rows, problem=missing)
    return duel(truth, challenger, champion, least_rows)


def _places(rows: pd.DataFrame, table: pd.DataFrame) -> Integers:
    """Positions of scored rows in the table that they were scored on."""
    place = pd.DatetimeIndex(table.index).get_indexer(pd.DatetimeIndex(rows["time"]))
    if (place < 0).any():
        first = rows["time"].iloc[int((place < 0).argmax())]
        raise EvidenceError(f"the scored row of {first} is of another table: it has no such minute")
    return place.astype(np.int64)


def _spoken(signals: pd.DataFrame, version: int) -> pd.DataFrame:
    """What a version said, once a minute and symbol, by these."""
    said = signals.loc[signals["version"] == version, list(SIGNAL_COLUMNS)]
    return said.drop(columns="version").drop_duplicates(_PLACE).set_index(_PLACE)


def _said(known: pd.DataFrame, side: str) -> ModelOutput:
    columns = [f"prob_{name.lower()}{side}" for name in CLASSES]
    decided = known[f"class{side}"].to_numpy(np.int64)
    return ModelOutput(known[columns].to_numpy(np.float64), decided)


def _labels(bars: pd.DataFrame, symbol: str, labelling: Labelling) -> pd.DataFrame:
    """Classes of a symbol's minutes, by minute and symbol; those without a label are left out."""
    whole = bars.loc[bars["symbol"] == symbol, list(BAR_COLUMNS)].dropna()
    whole = whole.drop_duplicates("minute").sort_values("minute")
    index = pd.to_datetime(whole["minute"] * 60, unit="s", utc=True)
    table = label(whole.set_index(pd.DatetimeIndex(index)), *labelling)
    place = pd.MultiIndex.from_product([whole["minute"], [symbol]], names=_PLACE)
    target = table[["target"]].set_axis(place)
    return target.loc[target["target"] != NO_TARGET]


def _epoch_ms(times: pd.Series) -> Integers:
    milliseconds: Integers = pd.DatetimeIndex(times).as_unit("ms").asi8
    return milliseconds
