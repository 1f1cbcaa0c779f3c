"""Compare a challenger with the champion on the challenger's test rows and on live signals.

Only minutes that neither has learned from count. The champion's reference names the end of its dev
part; the labels in it reach a horizon further.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.contracts import CLASSES, FEATURES, MS_PER_MINUTE, Integers, Progress, silent
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.labels import NO_TARGET, label
from quantgod.dataset.samples import samples
from quantgod.evaluation.comparison import ModelOutput
from quantgod.evaluation.evidence import EvidenceError
from quantgod.evaluation.scored_rows import probabilities_of
from quantgod.evaluation.subject import Subject, material_of
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
"""Columns read from a journal's signals."""

BAR_COLUMNS: Final = ("minute", "symbol", *FEATURES, "close")
"""Columns read from a journal's bars."""

_PLACE: Final = ["minute", "symbol"]
_MINUTE: Final = pd.Timedelta("1min")


class JournalTables(NamedTuple):
    """Journal tables of live sessions.

    `signals` are rows of SIGNALS with `SIGNAL_COLUMNS`; `bars` are rows of BARS with `BAR_COLUMNS`,
    with nulls where a minute has no row.
    """

    signals: pd.DataFrame
    bars: pd.DataFrame


class Labelling(NamedTuple):
    """The settings by which `dataset.labels` labels journaled bars."""

    settings: LabelSettings
    max_bridge_minutes: int


def on_test_rows(
    rows: pd.DataFrame,
    table: pd.DataFrame,
    champion: Subject,
    until: pd.Timestamp,
    least_rows: float,
    progress: Progress = silent,
    blocks: BookBlocks | None = None,
) -> Duel:
    """Let the champion forecast the challenger's scored rows, and compare both.

    A row counts if it begins after all labels that the champion learned from, and if the champion
    has a whole window for it, which may be longer than the challenger's, and an answer: an ensemble
    may have none. Its weights are those that it would have, had it spoken since it was made.

    Args:
        rows: scored rows of the challenger.
        table: the labelled table of these rows, with the columns that the champion takes.
        champion: the present champion.
        until: newest row of the champion's dev part.
        least_rows: minimal number of effective rows for a verdict.
        progress: called after batches.
        blocks: of the book, for a champion that looks at it; each seen row has a whole one.

    Raises:
        EvidenceError: if the rows are from another table.
    """
    place = _places(rows, table)
    is_new = (rows["time"] >= until + (rows["label_end"] - rows["time"])).to_numpy()
    whole = samples(table, champion.window, 1).row
    is_whole = np.isin(place, whole)
    kept = is_new & is_whole
    if not kept.any():
        reach = f"{int((~is_new).sum())} are no news to the champion"
        return Duel(problem=f"of {len(rows)} rows none is left: {reach}")
    since = int(pd.DatetimeIndex(table.index).searchsorted(until, side="right"))
    earlier = whole[(whole >= since) & (whole < place[kept][0])]
    material = material_of(champion, table, blocks)._replace(earlier=earlier)
    meta = champion.ask(material, place[kept], progress).meta
    has_answer = np.asarray(np.isfinite(meta).all(axis=1))
    if not has_answer.any():
        return Duel(problem=f"the champion has no answer to any of {len(meta)} rows")
    taken, theirs = rows.loc[kept].loc[has_answer], champion.audited(meta[has_answer])
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
    """Compare the signals of two versions in the same live sessions.

    Labels are made from the prices of the journaled bars and need an hour within one stretch. If a
    version answered a minute twice, as after a restart, the first answer counts, because it was
    acted on.

    Args:
        journaled: tables of the sessions.
        versions: challenger and champion.
        after: newest row of either's dev part.
        labelling: settings of the labels.
        least_rows: minimal number of effective rows for a verdict.

    Returns:
        The comparison, or None if they share no minute that was new to both.
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
    """Return a duel; if a side has rows without probabilities, the duel reports this problem."""
    for whose, said in (("challenger", challenger), ("champion", champion)):
        rows, wrong = len(truth.target), int((~np.isfinite(said.probabilities).all(axis=1)).sum())
        if wrong:
            missing = f"of {rows} rows the {whose} gave no probabilities for {wrong}"
            return Duel(rows=rows, problem=missing)
    return duel(truth, challenger, champion, least_rows)


def _places(rows: pd.DataFrame, table: pd.DataFrame) -> Integers:
    """Return the positions of scored rows in their table."""
    place = pd.DatetimeIndex(table.index).get_indexer(pd.DatetimeIndex(rows["time"]))
    if (place < 0).any():
        first = rows["time"].iloc[int((place < 0).argmax())]
        raise EvidenceError(f"the scored row of {first} is of another table: it has no such minute")
    return place.astype(np.int64)


def _spoken(signals: pd.DataFrame, version: int) -> pd.DataFrame:
    """Return a version's signals, one per minute and symbol, indexed by these."""
    said = signals.loc[signals["version"] == version, list(SIGNAL_COLUMNS)]
    return said.drop(columns="version").drop_duplicates(_PLACE).set_index(_PLACE)


def _said(known: pd.DataFrame, side: str) -> ModelOutput:
    columns = [f"prob_{name.lower()}{side}" for name in CLASSES]
    decided = known[f"class{side}"].to_numpy(np.int64)
    return ModelOutput(known[columns].to_numpy(np.float64), decided)


def _labels(bars: pd.DataFrame, symbol: str, labelling: Labelling) -> pd.DataFrame:
    """Return the classes of a symbol's labelled minutes, indexed by minute and symbol."""
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
