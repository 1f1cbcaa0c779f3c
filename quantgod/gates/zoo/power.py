"""Count which network has found which planted signal.

A network has found a signal if it beats always saying the majority, a logistic regression of the
nine features and the network `linear`, on rows that none of them has seen: the differences on each
score of `gates.beats_on` exclude zero, as for the gates of a version. An experiment looks at many
null markets, and one of twenty intervals of 95 % misses the truth; so intervals are widened until
all looks together find a signal that is not there with a chance of at most 5 % (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from scipy.special import ndtri

from quantgod.evaluation.intervals import LEVEL
from quantgod.gates.report import Gate, all_passed
from quantgod.settings import Kind, Settings, ZooSettings, with_values

MAJORITY: Final = "majority"
LINEAR: Final = "linear"
RIVALS: Final = (MAJORITY, "logistic_regression", LINEAR)

MADE_FOR: Final[Mapping[Kind, str]] = {
    "lean": "tcn_lstm",
    "shape": "tlob",
    "flow": "dual_attention_tlob",
    "candles": "cnn_lstm",
    "memory": "tcn_lstm",
}
"""The network that has to find each kind."""

NULL_SEEDS: Final = 1_000
"""How far the seeds of null markets lie behind those of planted ones."""

LEAST_FOUND: Final = 0.9
"""In this share of the markets of its kind."""


def widening(looks: int) -> float:
    """Return how many times as wide intervals are for that many looks as for one.

    Each is then one of the level 1 - 0.05 / looks, of a normal error.

    >>> round(widening(1), 2), round(widening(180), 2)
    (1.0, 1.85)
    """
    missed = 1 - LEVEL
    return float(ndtri(1 - missed / looks / 2) / ndtri(1 - missed / 2))


class Market(NamedTuple):
    """A market of the experiment."""

    kind: Kind
    is_null: bool
    seed: int

    @property
    def name(self) -> str:
        """Return a name like `shape-null-510`."""
        return f"{self.kind}-{'null' if self.is_null else 'planted'}-{self.seed}"

    def settings(self, settings: Settings) -> Settings:
        """Return the experiment's settings with this market's own."""
        own = {
            **settings.zoo.of_kind.get(self.kind, {}),
            "simulate.planted": self.kind,
            "simulate.seed": self.seed,
        }
        return with_values(settings, own | ({"simulate.signal": 0.0} if self.is_null else {}))


def markets(settings: ZooSettings) -> list[Market]:
    """Return all markets: of each seed one of every kind, then the null ones, kinds in turn.

    Who asks for fewer kinds or markets gets a part of the same markets.
    """
    first, kinds = settings.first_seed, tuple(MADE_FOR)
    planted = [
        Market(kind, False, seed)
        for seed in range(first, first + settings.planted_markets)
        for kind in kinds
    ]
    null = [
        Market(kinds[place % len(kinds)], True, first + NULL_SEEDS + place)
        for place in range(settings.null_markets)
    ]
    return [market for market in (*planted, *null) if market.kind in settings.kinds]


def network_settings(network: str, settings: Settings) -> Settings:
    """Return a market's settings with a network and what is the network's own."""
    own = settings.zoo.of_network.get(network, {})
    return with_values(settings, {"model.name": network, "model.params": {}} | own)


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a network has found in one market.

    Attributes:
        kind: of the market's signal.
        is_null: True if the market has none.
        seed: of the market.
        network: by name.
        gates: that the network beats each rival on each score.
        scores: by model, the network first, and score.
        effective_rows: independent rows among those judged.
        best_epoch: of the training.
        seconds: of the training.
    """

    kind: Kind
    is_null: bool
    seed: int
    network: str
    gates: tuple[Gate, ...]
    scores: dict[str, dict[str, float]]
    effective_rows: float
    best_epoch: int
    seconds: float

    @property
    def found(self) -> bool:
        """Return whether it beats every rival."""
        return all_passed(self.gates)

    @property
    def beats_majority(self) -> bool:
        """Return whether it beats the majority."""
        return all_passed(gate for gate in self.gates if f"_{MAJORITY}_" in gate.name)


class Count(NamedTuple):
    """In how many markets a network found the signal, or did but beat the majority, of how many."""

    found: int
    beat_majority: int
    judged: int

    @property
    def text(self) -> str:
        """Return `7 of 10 (9)`, the markets in which it beats the majority in brackets."""
        return f"{self.found} of {self.judged} ({self.beat_majority})" if self.judged else "-"


class ZooPower(msgspec.Struct, frozen=True, kw_only=True):
    """The results of the experiment so far, one for each network and market."""

    sights: tuple[Sight, ...]

    @property
    def networks(self) -> tuple[str, ...]:
        """Return the networks that were judged, in order of their first result."""
        return tuple(dict.fromkeys(sight.network for sight in self.sights))

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Return the kinds that were judged."""
        return tuple(kind for kind in MADE_FOR if any(one.kind == kind for one in self.sights))

    def planted(self, network: str, kind: Kind) -> Count:
        """Return the count of a network on the markets with a signal of this kind."""
        return _count([one for one in self._of(network) if one.kind == kind and not one.is_null])

    def null(self, network: str) -> Count:
        """Return the count of a network on the markets without a signal."""
        return _count([one for one in self._of(network) if one.is_null])

    @property
    def wrong(self) -> list[str]:
        """Return what was found where there is nothing, and what was not found by who should."""
        wrong = [
            f"{one.network} found a signal in a {one.kind} market without one, seed {one.seed}"
            for one in self.sights
            if one.is_null and one.found
        ]
        for kind, network in MADE_FOR.items():
            count = self.planted(network, kind)
            if count.found < LEAST_FOUND * count.judged:
                wrong.append(f"{network} found {kind} in {count.found} of {count.judged} markets")
        return wrong

    def _of(self, network: str) -> list[Sight]:
        return [one for one in self.sights if one.network == network]


def _count(sights: Sequence[Sight]) -> Count:
    return Count(
        sum(one.found for one in sights), sum(one.beats_majority for one in sights), len(sights)
    )


def head(power: ZooPower) -> list[str]:
    """Return the head of the table."""
    return ["network", *power.kinds, "null"]


def rows(power: ZooPower) -> list[list[str]]:
    """Return a row for each network: its counts by kind, and on null markets."""
    return [
        [
            network,
            *(power.planted(network, kind).text for kind in power.kinds),
            power.null(network).text,
        ]
        for network in power.networks
    ]


def sight_line(sight: Sight) -> str:
    """Return `shape 600: found, macro-F1 tlob 0.661 (majority 0.172, ...), 31 s`."""
    own, *rivals = (f"{name} {one['macro_f1']:.3f}" for name, one in sight.scores.items())
    kind = f"{sight.kind}{' without signal' if sight.is_null else ''} {sight.seed}"
    verdict = "found" if sight.found else "not found"
    return f"{kind}: {verdict}, macro-F1 {own} ({', '.join(rivals)}), {sight.seconds:.0f} s"
