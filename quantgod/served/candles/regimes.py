"""The regime that a market is in: trending, mean-reverting, volatile or ranging.

Filtered: the regime of a candle depends on it and on the REACH - 1 before it, on nothing else, and
so on no later candle. It is told by rules (`regime_rules`) or by a fitted model (`jump_model`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..rolling import Floats
from .jump_model import JumpModel
from .regime_rules import NAMES, REACH, Integers, Rules

__all__ = ["NAMES", "NEEDS", "REACH", "compute", "teller"]

NEEDS = ("close",)


def compute(columns: Mapping[str, Floats]) -> Integers:
    """Return the regime of each candle of a gap-free stretch by the usual rules, (rows,).

    It is its place in NAMES, and -1 in the first REACH - 1 rows.
    """
    return Rules().compute(columns)


def teller(
    content: Mapping[str, Any] | None = None,
) -> Callable[[Mapping[str, Floats]], Integers]:
    """Return `compute` of the rules or the jump model whose `to_json` said this; None: usual rules.

    Raises:
        ValueError: for another kind.
    """
    kinds: dict[Any, type[Rules] | type[JumpModel]] = {"rules": Rules, "jump": JumpModel}
    if content is None:
        return compute
    if (kind := content.get("kind")) not in kinds:
        raise ValueError(f"regimes of kind {' or '.join(kinds)} expected, got {kind!r}")
    return kinds[kind].from_json(content).compute
