"""Fit the threshold of conformal sets: classes that cannot be ruled out at the promised level.

Split conformal prediction with the score of Sadinle, Lei and Wasserman (2019), "Least ambiguous
set-valued classifiers with bounded error levels". A class is in the set if its probability reaches
a threshold, chosen so that on rows kept back for this purpose the true class was in the set as
often as promised. If new rows are exchangeable with those, the promise holds for them too, whatever
the model. The model acts on sets of one class and abstains on empty sets and sets of several.

`served/conformal.py` applies the threshold.
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
    """A threshold file does not hold what this version expects."""


@dataclass(frozen=True)
class Conformal:
    """The threshold and the level it promises.

    Attributes:
        level: the share of rows whose set shall hold the true class.
        threshold: a class is in the set if its probability is at least this.
        rows: number of rows it was computed on.
        reason: why it rules nothing out; None if it does rule out classes.
    """

    level: float
    threshold: float
    rows: int
    reason: str | None = None

    def holds(self, calibrated: Floats) -> Booleans:
        """Return which classes are in the set of each row of calibrated probabilities, (n, 3)."""
        return conformal_sets(calibrated, self.threshold)

    def save(self, path: Path) -> None:
        """Write `conformal.json`, atomically."""
        write_json(path, {"format": FORMAT, "kind": KIND, **asdict(self)})


def fit_conformal(target: Integers, calibrated: Floats, level: float) -> Conformal:
    """Compute the threshold on rows that were kept back.

    It is the k-th largest of the probabilities given to the true classes, with k the ceiling of
    (rows + 1) times the level: a new row's true class then reaches it with at least that frequency.
    With fewer than level / (1 - level) rows no threshold can promise the level; then every set
    holds every class, and the model always abstains.

    Args:
        target: (n,) classes of the rows kept back.
        calibrated: (n, 3) their probabilities.
        level: the share of rows whose set shall hold the true class.
    """
    rows, promised = len(target), Fraction(str(level))  # float rounding would shift the rank
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
