"""What the members of an ensemble say, as its auditor is asked about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from quantgod.auditor.auditor_input import AuditorInput, Look, served_input, votes_of
from quantgod.contracts import Floats, Integers
from quantgod.evaluation.subject import RawMaterial


class Members(Protocol):
    """The members of an ensemble under their combiner, as trained or as served.

    What they return is of their own copy of `served.combiners`.
    """

    @property
    def combiner(self) -> Any:
        """Return what combines them."""
        ...

    def votes(self, said: list[Floats]) -> Any:
        """Return what they say as votes."""
        ...

    def combine(self, said: list[Floats], weights: Floats | None = None) -> Any:
        """Return the panel of what they say."""
        ...


def asked_rows(members: Members, material: RawMaterial, rows: Integers) -> Integers:
    """Return the rows that members are asked about: earlier ones that move weights, and these."""
    if members.combiner.online is None or material.outcomes is None:
        return rows
    minutes = material.outcomes.time_ms[material.earlier]
    earlier = material.earlier[members.combiner.moves_on(minutes)]
    return np.concatenate([earlier, rows])


def input_of_members(
    members: Members,
    looks: Mapping[str, Look],
    said: list[Floats],
    material: RawMaterial,
    asked: Integers,
    count: int,
) -> AuditorInput:
    """Return what an auditor is asked about the newest answers of an ensemble.

    Weights move with the outcomes of all asked rows that were known before each.

    Args:
        members: that have said it.
        looks: what each looks at, by name.
        said: of each, (asked, 14) or (asked, 16) as a graph gives it.
        material: whose outcomes move weights.
        asked: what `asked_rows` returned.
        count: of the newest rows that the auditor is asked about.
    """
    panel = members.combine(said, _moved(members, said, material, asked))
    panel = panel.at(np.arange(len(asked) - count, len(asked)))
    votes = votes_of(panel, members.combiner, looks)
    seen = served_input(panel.meta, members.combiner.rules.class_weights)
    return seen._replace(votes=votes)


def _moved(
    members: Members, said: list[Floats], material: RawMaterial, rows: Integers
) -> Floats | None:
    """Return the weights of each row, as outcomes known by then have moved them.

    None if they stay as they were at registration.
    """
    if members.combiner.online is None or material.outcomes is None:
        return None
    each = (part[rows] for part in material.outcomes)
    weights: Floats
    weights, _ = members.combiner.weights_over(members.votes(said), *each)
    return weights
