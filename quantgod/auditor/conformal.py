"""Conformal sets: the classes that cannot be ruled out without erring more often than promised.

Split conformal prediction with the score of Sadinle, Lei and Wasserman (2019), "Least ambiguous
set-valued classifiers with bounded error levels": a class is in the set if its probability reaches
a threshold, which is such that on rows kept back for this the class that came was in the set as
often as promised. Where new rows are exchangeable with those, it is so there too, whatever the
model. A model that is sure gives sets of one class; where its set has none or several, it abstains.

How the threshold is applied is `served/conformal.py`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from quantgod.contracts import Booleans, Floats, Integers
from quantgod.files import write_json
from quantgod.served.conformal import conformal_sets

FORMAT = 1
KIND = "least_ambiguous_set"


class ConformalError(ValueError):
    """A file of a threshold that does not say what this version expects."""


@dataclass(frozen=True)
class Conformal:
    """The threshold, and what it promises.

    Attributes:
        level: the share of rows whose set is to hold the class that comes.
        threshold: the probability from which on a class is in the set.
        rows: how many rows it was taken from.
        reason: why it rules nothing out, or None where it does.
    """

    level: float
    threshold: float
    rows: int
    reason: str | None = None

    def holds(self, calibrated: Floats) -> Booleans:
        """Which classes are in the set of each row of calibrated probabilities, (n, 3)."""
        return conformal_sets(calibrated, self.threshold)

    def save(self, path: Path) -> None:
        """Write `conformal.json`, atomically."""
        write_json(path, {"format": FORMAT, "kind": KIND, **asdict(self)})


def fit_conformal(target: Integers, calibrated: Floats, level: float) -> Conformal:
    """Take the threshold from rows that were kept back.

    It is the k-th largest of the probabilities that were given to what came, with k the ceiling of
    (rows + 1) times the level: then a new row's class lies at or above it in at least that share.
    With fewer than level / (1 - level) rows no threshold can promise the level. Then every set
    holds every class: the promise is kept by never saying anything.

    Args:
        target: (n,) classes of the rows kept back.
        calibrated: (n, 3) their probabilities.
        level: the share of rows whose set is to hold their class.
    """
    rows, promised = len(target), Fraction(str(level))  # a float's rounding would move the rank
    rank = math.ceil((rows + 1) * promised)
    if rank > rows:
        least = math.ceil(promised / (1 - promised))
        reason = (
            f"{rows} rows were kept back, and {level:g} cannot be promised by less than {least}"
        )
        return Conformal(level, 0.0, rows, reason)
    given = np.sort(calibrated[np.arange(rows), target])
    return Conformal(level, float(given[rows - rank]), rows)


def load_conformal(path: Path) -> Conformal:
    """Read what `Conformal.save` wrote.

    Raises:
        ConformalError: if it is not JSON, or a key or number is not as expected.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        kind = value.pop("kind"), value.pop("format")
        read = Conformal(**value)
        sound = 0 < read.level < 1 and 0 <= read.threshold <= 1 and read.rows >= 0
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConformalError(f"{path}: no conformal threshold: {error!r}") from None
    if kind != (KIND, FORMAT) or not sound:
        raise ConformalError(f"{path}: {KIND} of format {FORMAT} expected, got {kind}, {read}")
    return read
