"""Find the minutes that members of one target forecast in common, on which they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Final

import numpy as np
import pandas as pd

from quantgod.contracts import Integers
from quantgod.dataset.enough import enough_rows
from quantgod.dataset.samples import samples
from quantgod.dataset.splits import folds, split_test
from quantgod.settings import Settings
from quantgod.training.material import train_and_validation

VALIDATION: Final = "validation"
OUT_OF_FOLD: Final = "out_of_fold"
WORDS: Final = {OUT_OF_FOLD: "out of fold", VALIDATION: "of the validation part"}


class NoCommonRowError(ValueError):
    """Members have no forecast minute in common."""


def forecast_minutes(table: pd.DataFrame, settings: Settings) -> dict[str, Integers]:
    """Return the minutes that a member forecasts in each part, in epoch milliseconds.

    Args:
        table: what it learns from, as `learning_table` returns it.
        settings: window, split, train and audit are read.

    Raises:
        TooFewRowsError: if the table has too few rows for a part.
    """
    window, split, audit = settings.window, settings.split, settings.audit
    _, validation = train_and_validation(table, window.length, window.stride, split)
    found = {VALIDATION: validation.time_ms}
    if settings.train.out_of_fold:
        with enough_rows(table, window.length, audit.stride, split, audit):
            taken = samples(table, window.length, audit.stride)
            walked = folds(taken, split_test(taken, split).train, split)
        found[OUT_OF_FOLD] = taken.time_ms[np.concatenate([fold.other for fold in walked])]
    return found


def check_common(members: Mapping[str, Mapping[str, Integers]]) -> dict[str, int]:
    """Return how many minutes members forecast in common, by part.

    Args:
        members: result of `forecast_minutes` by member; a part counts for those that have it.

    Raises:
        NoCommonRowError: if there is none in a part.
    """
    counts = {}
    for part in (OUT_OF_FOLD, VALIDATION):
        each = {name: pd.Index(of[part]) for name, of in members.items() if part in of}
        if each:
            counts[part] = len(common(each, part))
    return counts


def common(times: Mapping[str, pd.Index], part: str) -> pd.Index:
    """Return the times that all members have.

    Raises:
        NoCommonRowError: if there is none.
    """
    shared = reduce(pd.Index.intersection, times.values())
    if not len(shared):
        stride = {OUT_OF_FOLD: "audit.stride", VALIDATION: "window.stride"}[part]
        raise NoCommonRowError(
            f"{', '.join(times)} forecast no minute {WORDS[part]} in common: a sample is taken "
            f"every `{stride}` minutes, so give them strides that divide each other, or more "
            "minutes"
        )
    return shared
