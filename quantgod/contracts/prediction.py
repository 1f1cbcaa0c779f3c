"""The answer of a version to one minute."""

from __future__ import annotations

from typing import NamedTuple


class Prediction(NamedTuple):
    """The answer of a version to one minute. Probabilities are in the order of `CLASSES`.

    Attributes:
        minute: epoch minute that ends the window.
        base: probabilities of the base network.
        audited: probabilities of the auditor.
        label: number of the decided class.
        signal: its name.
        uncertainty: entropy of `audited` over its largest value, in [0, 1].
        decided_by: the weights that decided against the likeliest class; empty if none did.
        in_set: which classes are in the conformal set.
        action: the class to act on: `signal` if it is alone in the set, else NEUTRAL.
        abstention: why `signal` is not acted on; empty if it is.
        confidence: how likely the class that the base network decides on is right; None from a
            version that does not tell.
    """

    minute: int
    base: tuple[float, ...]
    audited: tuple[float, ...]
    label: int
    signal: str
    uncertainty: float
    decided_by: str
    in_set: tuple[bool, ...]
    action: str
    abstention: str
    confidence: float | None = None
