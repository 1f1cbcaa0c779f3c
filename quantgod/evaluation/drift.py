"""Measure how far live rows lie from those that a model was made on.

A `Reference` is stored with each version. For each feature and each class's probability it keeps
mean, standard deviation and a grid of quantiles that represents the rows.

Neighbouring minutes are similar, so a window of 240 minutes holds far fewer independent rows. A
p-value would be wrong by orders of magnitude, so there is none: statistics are compared with limits
that were measured on rows without drift.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from quantgod.contracts import CLASSES, FEATURE_SETS, FEATURES, Floats, Integers
from quantgod.files import write_json

REFERENCE_FILE: Final = "reference.json"
OUTPUTS: Final = tuple(f"prob_{name.lower()}" for name in CLASSES)
"""Names of the calibrated probabilities in a version's output."""

QUANTILES: Final = 501
BINS: Final = 10
FORMAT: Final = 1


class BadReferenceError(ValueError):
    """A reference file does not hold what this version expects."""


@dataclass(frozen=True, eq=False)
class Distribution:
    """The distribution of one column.

    Attributes:
        mean: of `count` values.
        std: standard deviation (ddof 0); 1 for a constant feature, as in the scaler.
        count: number of values.
        quantiles: (QUANTILES,) evenly spaced from the smallest to the largest value. Each is one of
            the values, so that ties stay ties; together they serve as a sample.
    """

    mean: float
    std: float
    count: int
    quantiles: Floats


@dataclass(frozen=True, eq=False)
class Reference:
    """The rows that a version was made on, described by distributions.

    Attributes:
        features: by name, all columns that the network takes, the nine features of the bars first;
            mean and standard deviation are those of the network's scaler.
        output: by name, the version's probabilities on rows that it was not fitted on.
        until: the newest minute used, ISO 8601.
    """

    features: Mapping[str, Distribution]
    output: Mapping[str, Distribution]
    until: str

    @cached_property
    def mean(self) -> Floats:
        """Return the means of the nine features, (9,)."""
        return np.asarray([self.features[name].mean for name in FEATURES])

    @cached_property
    def std(self) -> Floats:
        """Return the standard deviations of the nine features, (9,)."""
        return np.asarray([self.features[name].std for name in FEATURES])

    def save(self, folder: Path) -> None:
        """Write `reference.json` into `folder`, atomically."""
        parts = {"features": self.features, "output": self.output}
        said = {part: {name: _to_json(kept[name]) for name in kept} for part, kept in parts.items()}
        write_json(folder / REFERENCE_FILE, {"format": FORMAT, "until": self.until, **said})


def read_reference(folder: Path) -> Reference | None:
    """Read what `Reference.save` wrote; return None if there is no file, as in older versions.

    Raises:
        BadReferenceError: naming what is missing or not a number.
    """
    path = folder / REFERENCE_FILE
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadReferenceError(f"{path}: is not JSON: {error}") from None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise BadReferenceError(f"{path}: a reference of format {FORMAT} expected")
    features = _distributions(said, "features", *FEATURE_SETS.values())
    return Reference(features, _distributions(said, "output", OUTPUTS), str(said.get("until")))


def distribution(
    values: Floats, mean: float | None = None, std: float | None = None
) -> Distribution:
    """Describe one column.

    Args:
        values: (n,) values of the column.
        mean: stored instead of their mean, if given.
        std: stored instead of their standard deviation, if given.

    Raises:
        ValueError: if there are no values, or one is not finite.
    """
    still = _checked("values", values).min() == values.max()
    own = (values[0], 1.0) if still else (values.mean(), values.std())
    return Distribution(
        mean=float(own[0]) if mean is None else mean,
        std=float(own[1]) if std is None else std,
        count=len(values),
        quantiles=np.quantile(values, np.linspace(0, 1, QUANTILES), method="inverted_cdf"),
    )


def z_scores(reference: Reference, features: Floats) -> Floats:
    """Return each value's distance from its mean in standard deviations: `|value - mean| / std`.

    Args:
        reference: with the means and standard deviations.
        features: (..., 9), in the order of `FEATURES`.
    """
    return np.asarray(np.abs(features - reference.mean) / reference.std)


class Shift(NamedTuple):
    """The distance of one sample from another, by two statistics."""

    psi: float
    ks: float


def shift(reference: Floats, sample: Floats) -> Shift:
    """Return both statistics of `sample` (n,) against `reference` (m,), values or quantiles."""
    return Shift(psi(reference, sample), ks(reference, sample))


def psi(reference: Floats, sample: Floats) -> float:
    """Return the PSI: `sum((a - e) * ln(a / e))` over ten bins of equal reference mass.

    `e` and `a` are the shares of reference and sample in a bin. The sum is Jeffreys' divergence
    (1946), called population stability index in Siddiqi, Credit Risk Scorecards (2006). For
    independent rows without drift it is about `9 * (1 / n + 1 / m)` (Yurdakul, 2018); for
    neighbouring minutes it is larger.

    A value that fills more than a bin (a wick of zero, a constant feature) gets its own bin, and so
    do the values below and above it. A bin that is empty on one side counts as half a row there.

    Args:
        reference: (m,) values or quantiles that define the bins.
        sample: (n,) values.

    Raises:
        ValueError: if either is empty or has a non-finite value.
    """
    reference, sample = _checked("reference", reference), _checked("sample", sample)
    cuts = _cuts(reference)
    before, now = _counts(cuts, reference), _counts(cuts, sample)
    used = (before > 0) | (now > 0)
    expected = np.maximum(before[used], 0.5) / len(reference)
    actual = np.maximum(now[used], 0.5) / len(sample)
    return float(((actual - expected) * np.log(actual / expected)).sum())


def ks(reference: Floats, sample: Floats) -> float:
    """Return the Kolmogorov-Smirnov distance: the largest between the distribution functions.

    Raises:
        ValueError: if either is empty or has a non-finite value.
    """
    reference, sample = _checked("reference", reference), _checked("sample", sample)
    sides = np.sort(reference), np.sort(sample)
    values = np.concatenate(sides)  # in order, which `searchsorted` looks up several times as fast
    below = [np.searchsorted(side, values, "right") / len(side) for side in sides]
    return float(np.abs(below[0] - below[1]).max())


def _cuts(reference: Floats) -> Floats:
    """Return the upper ends of the bins but the last; a tied decile also begins a bin."""
    ranks = -(-np.arange(1, BINS) * len(reference) // BINS) - 1
    values, counts = np.unique(np.sort(reference)[ranks], return_counts=True)
    return np.union1d(values, np.nextafter(values[counts > 1], -np.inf))


def _counts(cuts: Floats, values: Floats) -> Integers:
    """Return how many values each bin holds; an end belongs to its bin."""
    upto = np.searchsorted(np.sort(values), cuts, side="right")
    return np.diff(upto, prepend=0, append=len(values))


def _checked(name: str, values: Floats) -> Floats:
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        finite = int(np.isfinite(values).sum())
        came = f"shape {values.shape} with {finite} finite ones"
        raise ValueError(f"{name}: one column of finite numbers expected, got {came}")
    return values


def _to_json(kept: Distribution) -> dict[str, Any]:
    return {**vars(kept), "quantiles": kept.quantiles.tolist()}


def _distributions(
    said: Mapping[str, Any], part: str, *known: tuple[str, ...]
) -> dict[str, Distribution]:
    """Return what is said of the columns of a part, which must be one of the `known` lists."""
    found = said.get(part)
    for names in known:
        if isinstance(found, dict) and found.keys() == set(names):
            return {name: _distribution(f"{part}: {name}", found[name]) for name in names}
    raise BadReferenceError(f"{part}: {', '.join(known[0])} expected, got {found!r:.200}")


def _distribution(name: str, said: Any) -> Distribution:
    try:
        kept = Distribution(
            float(said["mean"]),
            float(said["std"]),
            int(said["count"]),
            np.asarray(said["quantiles"], np.float64),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadReferenceError(
            f"{name}: mean, std, count and quantiles expected: {error}"
        ) from None
    numbers = np.asarray([kept.mean, kept.std, *kept.quantiles.ravel()])
    rising = kept.quantiles.shape == (QUANTILES,) and (np.diff(kept.quantiles) >= 0).all()
    if not (np.isfinite(numbers).all() and kept.std > 0 and kept.count > 0 and rising):
        raise BadReferenceError(
            f"{name}: {QUANTILES} rising quantiles, a count and a deviation above zero expected"
        )
    return kept
