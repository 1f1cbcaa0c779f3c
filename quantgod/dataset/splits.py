"""Splits in time, purged: no label of the training side may reach into what it is judged on.

A sample at minute t looks back over its window and forward over its label, the minutes (t, t + 60].
At every border the older side trains and the newer side judges. A training sample is kept only if
its label's last minute, plus the embargo, lies strictly before the border, the first window end of
the newer side: every close that its label was made from was known before the first forecast.

The newer side's windows do look back over rows that the older side has trained on. That is no leak
but what happens live, where today's forecast looks at yesterday and the model was trained up to
then. What must not be shared is the future that a label describes, not the past an input shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import TimeSeriesSplit

from quantgod.contracts import MS_PER_MINUTE, Floats, Integers
from quantgod.dataset.windows import Samples
from quantgod.settings import SplitSettings


class EmptyPartError(ValueError):
    """A side of a split that would have no samples."""


@dataclass(frozen=True, eq=False)
class Split:
    """Positions into a `Samples`: `train` is the older side, already purged; `other` judges it."""

    train: Integers
    other: Integers


def split_test(samples: Samples, settings: SplitSettings) -> Split:
    """Dev (`train`) and test (`other`): the newest `test_fraction` of the table's labelled minutes.

    The border is drawn on every labelled minute and not on the samples, so that it is the same
    minute for every window length and stride: what one stage keeps for the test none trains on.

    Raises:
        EmptyPartError: if a side would be empty.
    """
    calendar = samples.calendar_ms
    border = calendar[_cut(len(calendar), settings.test_fraction, "dev/test")]
    newer = samples.time_ms >= border
    return _purged(
        samples, np.flatnonzero(~newer), np.flatnonzero(newer), int(border), settings, "dev/test"
    )


def split_validation(
    samples: Samples, index: Integers, fraction: float, settings: SplitSettings
) -> Split:
    """Cut `index` (positions in order of time) so that its newest `fraction` validates.

    Serves train/validation and the early-stopping tail of a fold's own training part alike.

    Raises:
        EmptyPartError: if a side would be empty.
    """
    cut = _cut(len(index), fraction, "train/validation")
    older, newer = index[:cut], index[cut:]
    border = int(samples.time_ms[newer[0]])
    return _purged(samples, older, newer, border, settings, "train/validation")


def folds(samples: Samples, dev_index: Integers, settings: SplitSettings) -> list[Split]:
    """Walk-forward folds over dev: scikit-learn's `TimeSeriesSplit`, each border purged.

    Raises:
        EmptyPartError: if dev is too short for so many folds.
    """
    splits: list[Split] = []
    if len(dev_index) <= settings.folds:
        few = f"{len(dev_index)} samples of dev"
        raise EmptyPartError(f"{few} are too few for {settings.folds} folds")
    for older, newer in TimeSeriesSplit(n_splits=settings.folds).split(dev_index):
        border = int(samples.time_ms[dev_index[newer[0]]])
        name = f"fold {len(splits) + 1}"
        splits.append(_purged(samples, dev_index[older], dev_index[newer], border, settings, name))
    return splits


def uniqueness(samples: Samples) -> Floats:
    """How much of each sample's label is its own: the mean of 1/concurrency over its minutes.

    Concurrency of a minute is the number of these samples whose label (t, label_end] covers it, so
    a sample alone weighs 1 and each of sixty in step a sixtieth. López de Prado, Advances in
    Financial Machine Learning (2018), section 4.4.

    Returns:
        (n,) weights in (0, 1], relative to exactly the samples given.
    """
    if not len(samples):
        return np.empty(0)
    origin = samples.time_ms.min() // MS_PER_MINUTE
    first = samples.time_ms // MS_PER_MINUTE - origin
    last = samples.label_end_ms // MS_PER_MINUTE - origin
    share = 1.0 / np.maximum(_concurrency(first, last), 1)
    running = np.concatenate([[0.0], np.cumsum(share)])
    mean: Floats = (running[last] - running[first]) / (last - first)
    return mean


def _concurrency(first: Integers, last: Integers) -> Integers:
    """Labels over each minute; minute k of the result is the one after minute k of `first`."""
    edges = np.bincount(first, minlength=int(last.max()) + 1)
    edges -= np.bincount(last, minlength=len(edges))
    return np.cumsum(edges)


def _cut(count: int, fraction: float, name: str) -> int:
    cut = count - round(count * fraction)
    if not 0 < cut < count:
        raise EmptyPartError(
            f"{name}: {count} samples cannot be cut at {fraction}; one side is empty"
        )
    return cut


def _purged(
    samples: Samples,
    older: Integers,
    newer: Integers,
    border_ms: int,
    settings: SplitSettings,
    name: str,
) -> Split:
    reach = samples.label_end_ms[older] + settings.embargo_minutes * MS_PER_MINUTE
    train = older[reach < border_ms]
    if not len(train) or not len(newer):
        raise EmptyPartError(
            f"{name}: of {len(older)} older samples purging leaves {len(train)}, against "
            f"{len(newer)} newer ones; use more data, a shorter stride or fewer folds"
        )
    return Split(train, newer)
