"""The members of a loaded version: what each takes, and what it says of the newest minute."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from quantgod.contracts import CLASSES, Floats
from quantgod.contracts.panel import NOBODY, Member, Panel, Vote
from quantgod.registry.chain import BOOK, COMBINER, MEMBERS, Answered

CONTRACT_FILE = "labels.json"


@dataclass(frozen=True, eq=False)
class LoadedMembers:
    """The members of a version, and its own code, which asks them.

    Attributes:
        members: in the order of the combiner's.
        chain: the version's, made by its own copy of `chain.py`.
    """

    members: tuple[Member, ...]
    chain: Any

    @property
    def combiner(self) -> Any:
        """Return the version's own combiner."""
        return self.chain.ensemble.combiner

    @property
    def quorum(self) -> int:
        """Return how many members have to speak."""
        return int(self.combiner.rules.quorum)

    def hear(
        self,
        rows: pd.DataFrame,
        weights: Floats | None,
        lacks: str,
        disabled: Mapping[str, str] = NOBODY,
    ) -> tuple[Panel, Answered | None]:
        """Ask all members about the newest minute of `rows`; see `LoadedModel.vote`.

        Args:
            rows: of the windows.
            weights: (members,); None for those at registration.
            lacks: what the book lacks.
            disabled: why some are not asked, by name.

        Returns:
            Their votes, and what the auditor is asked about; None below the quorum.
        """
        if self.chain.contract.book is not None and BOOK not in rows:
            rows = rows.assign(**{BOOK: pd.Series([None] * len(rows), rows.index, dtype=object)})
        minute = int(rows["datetime"].iloc[-1].timestamp()) // 60
        heard = self._without(disabled).hear(rows, weights)
        absent = [
            f"no_book: {lacks}" if lacks and why.startswith("no_book") else why
            for why in heard.absent
        ]
        absent = [
            f"disabled: {disabled[member.name]}" if member.name in disabled else why
            for member, why in zip(self.members, absent, strict=True)
        ]
        panel = _panel(minute, heard.panel, absent)
        if not panel.direction:
            return panel, None
        return panel, Answered(np.array([minute]), heard.panel.meta, heard.panel)

    def _without(self, disabled: Mapping[str, str]) -> Any:
        """Return the chain, or one that asks no disabled member: versions know of none."""
        if not disabled:
            return self.chain
        chain, ensemble = copy.copy(self.chain), copy.copy(self.chain.ensemble)
        chain.ensemble, names = ensemble, [member.name for member in self.members]
        ensemble.graphs = [
            _Disabled(graph.contract) if name in disabled else graph
            for name, graph in zip(names, ensemble.graphs, strict=True)
        ]
        return chain


class _Disabled:
    """Stands for the graph of a member that is not to be asked: it fails, and so abstains."""

    def __init__(self, contract: Any) -> None:
        self.contract = contract

    def meta_features(self, *_: Any) -> NoReturn:
        raise RuntimeError("disabled")


def member_names(package: Path) -> tuple[str, ...]:
    """Return the members that a package names; none of one network."""
    file = package / COMBINER
    return tuple(_read(file)["members"]) if file.is_file() else ()


def members_in(package: Path) -> tuple[Member, ...]:
    """Return what the members of a package take."""
    contracts = {
        name: _read(package / MEMBERS / name / CONTRACT_FILE) for name in member_names(package)
    }
    return tuple(
        Member(name, said["window"], len(said["features"]), said["book"] is not None)
        for name, said in contracts.items()
    )


def _panel(minute: int, heard: Any, absent: list[str]) -> Panel:
    said = heard.consensus
    direction = CLASSES[int(said.direction[0])] if heard.speaks[0] else ""
    votes = tuple(_vote(heard, place, why) for place, why in enumerate(absent))
    agreement, meta = float(said.agreement[0]), float(said.meta_confidence[0])
    return Panel(minute, votes, direction, agreement, meta, bool(said.should_trade[0]))


def _vote(heard: Any, place: int, why: str) -> Vote:
    votes = heard.votes
    told = [*votes.probabilities[place, 0], votes.confidence[place, 0]]
    told.append(votes.expected_return[place, 0])
    *chances, confidence, expected = [float("nan") if why else float(value) for value in told]
    weight = float(heard.weights[place, 0])
    part = float(heard.consensus.contributions[place, 0])
    return Vote(heard.members[place], tuple(chances), confidence, expected, weight, part, why)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
