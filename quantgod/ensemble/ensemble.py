"""An ensemble: networks of one target and their combiner, which make one forecaster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from quantgod.contracts import PRIMARY, Forecast, Integers, Source, Target, forecast_of
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.inputs import Inputs
from quantgod.dataset.scaling import Scaler
from quantgod.files import write_json
from quantgod.forecasters.forecaster import Card
from quantgod.forecasters.network import Network, load_network
from quantgod.served.calibration import tilt
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.consensus import Consensus
from quantgod.served.combiners.votes import Votes

COMBINER: Final = "combiner.json"
MEMBERS: Final = "members"


class UnlikeMembersError(ValueError):
    """Members forecast different things, or look at books of different shapes."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several networks under one combiner: a `Forecaster`.

    Attributes:
        members: networks by name, in the order of the combiner's.
        combiner: of them.
    """

    members: Mapping[str, Network]
    combiner: Combiner

    def __post_init__(self) -> None:
        """Check that the members can be combined.

        Raises:
            UnlikeMembersError: naming two members and what differs.
            ValueError: if the combiner is of others.
        """
        if tuple(self.members) != self.combiner.members:
            raise ValueError(
                f"members {', '.join(self.combiner.members)} expected, got "
                f"{', '.join(self.members)}"
            )
        check_alike({name: network.card.target for name, network in self.members.items()})
        books = {name: one.book for name, one in self.members.items() if one.book is not None}
        if len(set(books.values())) > 1:
            raise UnlikeMembersError(f"members look at books of different shapes: {books}")

    @property
    def widest(self) -> Network:
        """Return the member that takes most columns; all others take some of them."""
        return max(self.members.values(), key=lambda one: len(one.inputs.columns))

    @property
    def window(self) -> int:
        """Return the rows of the longest window."""
        return max(one.window for one in self.members.values())

    @property
    def context(self) -> str:
        """Return the member with the longest window, whose context the auditor sees."""
        return max(self.members, key=lambda name: self.members[name].window)

    @property
    def inputs(self) -> Inputs:
        """Return what all members together take."""
        each = [one.inputs for one in self.members.values()]
        views = tuple(dict.fromkeys(view for one in each for view in one.views))
        return replace(self.widest.inputs, window=self.window, views=views, book=self._book)

    @property
    def book(self) -> tuple[int, int] | None:
        """Return the snapshots of a block and levels a side, if a member looks at the book."""
        return next((one.book for one in self.members.values() if one.book is not None), None)

    @property
    def _book(self) -> tuple[int, int]:
        return self.book or self.widest.inputs.book

    @property
    def scaler(self) -> Scaler:
        """Return the scaler of all columns, that of the member that takes most."""
        return self.widest.scaler

    @property
    def silent(self) -> tuple[str, ...]:
        """Return the columns that were constant in training."""
        return self.widest.silent

    @property
    def class_weights(self) -> tuple[float, ...]:
        """Return the weights by which it decides."""
        return self.combiner.rules.class_weights

    @property
    def source(self) -> Source:
        """Return the source of its rows."""
        return self.widest.source

    @property
    def target(self) -> Target | None:
        """Return what it forecasts."""
        return self.widest.target

    @property
    def trained_until(self) -> str:
        """Return the last label end that any member learned from."""
        return max((one.trained_until for one in self.members.values()), key=pd.Timestamp)

    @property
    def card(self) -> Card:
        """Return what it is; its digests are those of its members."""
        digests = {name: one.card.digests["weights"] for name, one in self.members.items()}
        return Card(self.source, self.inputs.views, self.target, self.trained_until, digests)

    def forecast(
        self, table: pd.DataFrame, rows: Integers, blocks: BookBlocks | None = None
    ) -> Forecast:
        """Return what it says of moments with the weights that it was registered with.

        Only the primary horizon is combined.
        """
        each = [
            one.forecast(table, rows, blocks if one.book is not None else None)
            for one in self.members.values()
        ]
        return forecast_of_consensus(
            self.combiner.combine(votes_in(each)), self.combiner.rules.class_weights
        )

    def save(self, folder: Path) -> None:
        """Write each member into a folder of its own, and `combiner.json`."""
        for name, network in self.members.items():
            network.save(folder / MEMBERS / name)
        write_json(folder / COMBINER, self.combiner.to_json())


def load_ensemble(folder: Path) -> Ensemble:
    """Read what `Ensemble.save` wrote.

    Raises:
        NetworkError: naming the file that is missing or damaged.
        ValueError: if the combiner is of another kind or of other members.
    """
    content = json.loads((folder / COMBINER).read_text(encoding="utf-8"))
    combiner = Combiner.from_json(content)
    members = {name: load_network(folder / MEMBERS / name) for name in combiner.members}
    return Ensemble(members, combiner)


def check_alike(targets: Mapping[str, Target | None]) -> None:
    """Refuse members that forecast different things.

    Raises:
        UnlikeMembersError: naming two members, and their step, horizons and thresholds.
    """
    (first, theirs), *others = targets.items()
    for name, target in others:
        if target != theirs:
            raise UnlikeMembersError(
                f"{first} forecasts {theirs} and {name} {target}: members with the same step, "
                "horizons and thresholds expected"
            )


def votes_in(forecasts: list[Forecast]) -> Votes:
    """Return forecasts of the same moments as votes at the primary horizon, all present."""
    return Votes(
        np.stack([one.probabilities[:, PRIMARY] for one in forecasts]),
        np.stack([one.confidence[:, PRIMARY] for one in forecasts]),
        np.stack([one.expected_return[:, PRIMARY] for one in forecasts]),
        np.ones((len(forecasts), len(forecasts[0])), np.bool_),
    )


def forecast_of_consensus(said: Consensus, class_weights: tuple[float, ...]) -> Forecast:
    """Return an ensemble's answers as a forecast of the primary horizon, tilted as it decides."""
    return forecast_of(
        tilt(said.probabilities, class_weights)[:, None],
        class_weights,
        confidence=said.confidence[:, None],
        expected_return=said.expected_return[:, None],
    )
