"""Split samples in time and purge: no training label may reach into the side that judges.

A sample at minute t looks back over its window and forward over its label, the minutes (t, t + 60].
At every border the older side trains and the newer side judges. The border is the first window end
of the newer side. A training sample is kept only if its label's last minute plus the embargo lies
strictly before the border: every close behind its label was then known before the first forecast.

Windows of the newer side do look back over rows that the older side was trained on. This is not a
leak: live forecasts do the same, since today's window covers yesterday's training rows. The sides
must not share the future that a label describes; they may share the past that an input shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantgod.contracts import MS_PER_MINUTE, Floats, Integers
from quantgod.dataset.samples import Samples
from quantgod.settings import SplitSettings


class EmptyPartError(ValueError):
    """One side of a split would have no samples."""


@dataclass(frozen=True, eq=False)
class Split:
    """Positions in a `Samples`: `train` is the older side, purged; `other` is the newer one."""

    train: Integers
    other: Integers


def split_test(samples: Samples, settings: SplitSettings) -> Split:
    """Split into dev (`train`) and test (`other`, the newest `test_fraction` of labelled minutes).

    The border is drawn on all labelled minutes, not on the samples, so it is the same minute for
    every window length, stride and network: no stage trains on what another keeps for the test.

    Raises:
        EmptyPartError: if a side would be empty.
    """
    border = _test_border(samples, settings)
    return _at_border(samples, np.arange(len(samples)), border, settings, "dev/test")


def split_dev(samples: Samples, settings: SplitSettings) -> Split:
    """Split dev into train and validation (`other`, its newest `validation_fraction`).

    The border is drawn on the samples that a network of bars has, so it is the same minute for all
    networks of this window length and stride, whatever they see.

    Raises:
        EmptyPartError: if a side would be empty.
    """
    dev = split_test(samples, settings).train
    reach = samples.bars_reach_ms + settings.embargo_minutes * MS_PER_MINUTE
    of_bars = samples.bars_ms[reach < _test_border(samples, settings)]
    border = of_bars[_cut(len(of_bars), settings.validation_fraction, "train/validation")]
    return _at_border(samples, dev, int(border), settings, "train/validation")


def split_validation(
    samples: Samples, index: Integers, fraction: float, settings: SplitSettings
) -> Split:
    """Split `index` (positions in order of time): the newest `fraction` becomes `other`.

    Used for the early-stopping part of each fold.

    Raises:
        EmptyPartError: if a side would be empty.
    """
    border = int(samples.time_ms[index[_cut(len(index), fraction, "train/validation")]])
    return _at_border(samples, index, border, settings, "train/validation")


def folds(samples: Samples, dev_index: Integers, settings: SplitSettings) -> list[Split]:
    """Return walk-forward folds over dev, as scikit-learn's `TimeSeriesSplit`, with purged borders.

    Raises:
        EmptyPartError: if dev is too short for the number of folds.
    """
    splits: list[Split] = []
    if len(dev_index) <= settings.folds:
        few = f"{len(dev_index)} samples of dev"
        raise EmptyPartError(f"{few} are too few for {settings.folds} folds")
    length = len(dev_index) // (settings.folds + 1)
    for begin in range(len(dev_index) - settings.folds * length, len(dev_index), length):
        border = int(samples.time_ms[dev_index[begin]])
        name = f"fold {len(splits) + 1}"
        older, newer = dev_index[:begin], dev_index[begin : begin + length]
        splits.append(_purged(samples, older, newer, border, settings, name))
    return splits


def uniqueness(samples: Samples) -> Floats:
    """Return the uniqueness of each sample's label: the mean of 1/concurrency over its minutes.

    The concurrency of a minute is the number of samples whose label (t, label_end] covers it: a
    sample alone has uniqueness 1, and each of sixty fully overlapping ones has 1/60. López de
    Prado, Advances in Financial Machine Learning (2018), section 4.4.

    Returns:
        (n,) weights in (0, 1], relative to the samples given.
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
    """Count the labels that cover each minute; entry k is the minute after minute k of `first`."""
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


def _test_border(samples: Samples, settings: SplitSettings) -> int:
    calendar = samples.calendar_ms
    return int(calendar[_cut(len(calendar), settings.test_fraction, "dev/test")])


def _at_border(
    samples: Samples, index: Integers, border_ms: int, settings: SplitSettings, name: str
) -> Split:
    """Split positions in order of time at a border, and purge the older side."""
    newer = samples.time_ms[index] >= border_ms
    return _purged(samples, index[~newer], index[newer], border_ms, settings, name)


def _purged(
    samples: Samples,
    older: Integers,
    newer: Integers,
    border_ms: int,
    settings: SplitSettings,
    name: str,
) -> Split:
    reach = samples.reach_ms[older] + settings.embargo_minutes * MS_PER_MINUTE
    train = older[reach < border_ms]
    if not len(train) or not len(newer):
        raise EmptyPartError(
            f"{name}: of {len(older)} older samples purging leaves {len(train)}, against "
            f"{len(newer)} newer ones; use more data, a shorter stride or fewer folds"
        )
    return Split(train, newer)
