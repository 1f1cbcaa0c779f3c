"""Read and write the scored rows of the test part, which backtest and gates use.

One row per scored minute, in order of time. Columns:

- `time`: the window's last minute (its start, UTC); its forecast is known a minute later.
- `label_end`, `target`, `forward_return`: of the label.
- `MODEL_sell`, `MODEL_neutral`, `MODEL_buy`: probabilities of `auditor`, `base`, and each baseline.
- `auditor_class`, `base_class`: decided classes.
- `in_set_sell`, `in_set_neutral`, `in_set_buy`: the auditor's conformal set.
- `action`: the auditor's class if it is alone in the set, else NEUTRAL (the model abstains).
- `base_confidence`: how likely `base_class` is right; NaN of a model that does not tell.

Rows of an ensemble have more columns behind these:

- `equal_weights_sell`, ...: what its members say together with equal weights.
- `MEMBER_sell`, ..., `MEMBER_weight` of each member: its probabilities, no numbers where it is
  absent, and its share of all weights.
- `vote`, `agreement`, `consent`: class of their answer, share of the speaking members that say it,
  and the class that they would trade on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, get_args

import numpy as np
import pandas as pd

from quantgod.contracts import CLASSES, Floats
from quantgod.evaluation.evidence import EvidenceError
from quantgod.files import atomic_path
from quantgod.settings import Baseline

ROWS_FILE: Final = "rows.parquet"
CONFIDENCE: Final = "base_confidence"
BASELINES: Final[tuple[str, ...]] = get_args(Baseline)
MODELS: Final = ("auditor", "base", *BASELINES)


def columns_of(model: str) -> list[str]:
    """Return the three probability columns of a model (or of `in_set`)."""
    return [f"{model}_{name.lower()}" for name in CLASSES]


COLUMNS: Final = (
    "time",
    "label_end",
    "target",
    "forward_return",
    *(column for model in MODELS for column in columns_of(model)),
    "auditor_class",
    "base_class",
    *columns_of("in_set"),
    "action",
    CONFIDENCE,
)


EQUAL_WEIGHTS: Final = "equal_weights"
"""The members of an ensemble under its strategy, none weighing more than another."""

VOTE: Final = ("vote", "agreement", "consent")
"""The last columns of an ensemble's rows."""


def member_columns(members: Iterable[str]) -> list[str]:
    """Return the columns of an ensemble's rows behind `COLUMNS`."""
    own = [[*columns_of(name), f"{name}_weight"] for name in members]
    return [*columns_of(EQUAL_WEIGHTS), *chain.from_iterable(own), *VOTE]


def members_in(rows: pd.DataFrame) -> list[str]:
    """Return the members of the ensemble that was scored; none of a single network."""
    told = list(rows.columns[len(COLUMNS) + len(CLASSES) : -len(VOTE)])
    return [name.removesuffix("_weight") for name in told[len(CLASSES) :: len(CLASSES) + 1]]


def probabilities_of(rows: pd.DataFrame, model: str) -> Floats:
    """Return a model's or member's probabilities of scored rows, (n, 3)."""
    said: Floats = rows[columns_of(model)].to_numpy(np.float64)
    return said


def write_scored(folder: Path, rows: pd.DataFrame) -> None:
    """Write `rows.parquet` into `folder`, atomically.

    Raises:
        EvidenceError: if the rows are not scored rows.
    """
    _check(folder, rows)
    with atomic_path(folder / ROWS_FILE) as part:
        rows.to_parquet(part, compression="zstd")


def read_scored(folder: Path) -> pd.DataFrame:
    """Read what `write_scored` wrote; rows of earlier code have no confidence.

    Raises:
        EvidenceError: if there is no file, or its rows are not scored rows in order of time.
    """
    try:
        rows = pd.read_parquet(folder / ROWS_FILE)
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{folder / ROWS_FILE}: cannot be read: {error}") from None
    if tuple(rows.columns) == COLUMNS[: COLUMNS.index(CONFIDENCE)]:
        rows[CONFIDENCE] = np.nan
    _check(folder, rows)
    return rows


def _check(folder: Path, rows: pd.DataFrame) -> None:
    for problem in _problems(rows):
        raise EvidenceError(f"{folder / ROWS_FILE}: {problem}")


def _problems(rows: pd.DataFrame) -> Iterator[str]:
    came = list(rows.columns)
    if came != [*COLUMNS, *_further(rows)]:
        yield (
            f"scored rows hold {', '.join(COLUMNS)}, and of an ensemble "
            f"{', '.join(member_columns(['MEMBER']))}; got {', '.join(map(str, came))}"
        )
    elif not len(rows):
        yield "at least one scored row expected"
    elif not rows["time"].is_monotonic_increasing or rows["time"].duplicated().any():
        yield "times must rise strictly"


def _further(rows: pd.DataFrame) -> list[str]:
    """Return the columns that rows of so many columns have behind `COLUMNS`."""
    return member_columns(members_in(rows)) if len(rows.columns) > len(COLUMNS) else []
