"""The combiner of an ensemble, kept as `combiner.json`: how members' forecasts become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .consensus import Consensus, consensus
from .online import OnlineWeights, weights_over
from .outcome import Outcome
from .votes import Booleans, Floats, Integers, Rules, Votes
from .weights import Adaptive, Hedge

MS_PER_MINUTE = 60_000
FORMAT = 1
RULES_OF_WEIGHTS: dict[str, type[Adaptive | Hedge]] = {"adaptive": Adaptive, "hedge": Hedge}


@dataclass(frozen=True)
class Combiner:
    """How the forecasts of several members become one.

    Attributes:
        members: names, in the order of all arrays.
        strategy: of `STRATEGIES`.
        weights: of each member, before any outcome.
        rules: when members make an answer.
        min_confidence: of each member; below it, it is not heard.
        online: how outcomes move the weights; None if they do not.
        every: outcomes of minutes whose epoch minute is divisible by this move the weights, so that
            a batch of every n-th minute has the weights that live has.
        outcome: what those outcomes are; None where weights do not move.
        state: of the weights at registration; None before any outcome.
    """

    members: tuple[str, ...]
    strategy: str
    weights: tuple[float, ...]
    rules: Rules = field(default_factory=Rules)
    min_confidence: tuple[float, ...] = ()
    online: Adaptive | Hedge | None = None
    every: int = 1
    outcome: Outcome | None = None
    state: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check that everything is of the same members.

        Raises:
            ValueError: naming what differs.
        """
        counts = {len(self.members), len(self.weights), len(self.least)}
        if len(counts) != 1 or len(set(self.members)) != len(self.members):
            raise ValueError(
                f"a weight and a least confidence for each of {', '.join(self.members)} expected, "
                f"got {self.weights} and {self.min_confidence}"
            )

    @property
    def least(self) -> tuple[float, ...]:
        """Return the least confidence of each member; 0 where none was given."""
        return self.min_confidence or (0.0,) * len(self.members)

    def combine(self, votes: Votes, weights: Floats | None = None) -> Consensus:
        """Return the answer to each moment.

        Args:
            votes: of all members, in order.
            weights: (members,) or (members, moments); None for those of `now`.
        """
        used = self.now if weights is None else weights
        return consensus(self.strategy, votes.barred(self.least), used, self.rules)

    @property
    def now(self) -> Floats:
        """Return the weights (members,) at registration."""
        if self.online is None:
            return np.asarray(self.weights, np.float64)
        return self.started().weights

    def started(self, state: Mapping[str, Any] | None = None) -> OnlineWeights:
        """Return weights that outcomes move, from a state on; None for that at registration.

        Raises:
            ValueError: if outcomes do not move them.
        """
        if self.online is None:
            raise ValueError(f"the weights of {self.strategy} are fixed")
        return OnlineWeights(
            self.online, np.asarray(self.weights), self.state if state is None else state
        )

    def moves_on(self, time_ms: Integers) -> Booleans:
        """Return whether the outcome of each minute (n,) moves the weights."""
        return np.asarray((time_ms // MS_PER_MINUTE) % self.every == 0)

    def weights_over(
        self, votes: Votes, time_ms: Integers, label_end_ms: Integers, target: Integers
    ) -> tuple[Floats, Mapping[str, Any] | None]:
        """Return the weights at each moment, (members, moments), and the state behind the last.

        Each is moved only by outcomes that were known at the moment; see `weights_over` of `online`
        for the arguments. The state has only matured outcomes.
        """
        if self.online is None:
            return np.repeat(self.now[:, None], len(time_ms), axis=1), None
        online = self.started()
        counts = self.moves_on(time_ms)
        found = weights_over(
            online, votes.probabilities, votes.present, time_ms, label_end_ms, target, counts
        )
        return found, online.state

    def to_json(self) -> dict[str, Any]:
        """Return the contents of `combiner.json`."""
        online = {name: kind for name, kind in RULES_OF_WEIGHTS.items() if self.online is not None}
        named = [name for name, kind in online.items() if isinstance(self.online, kind)]
        state = None if self.state is None else _lists(self.state)
        moved = {"rule": named[0], **asdict(self.online)} if self.online is not None else None
        return asdict(self) | {
            "kind": "consensus",
            "format": FORMAT,
            "online": moved,
            "state": state,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Combiner:
        """Read what `to_json` returned.

        Raises:
            ValueError: for another kind or format.
        """
        said = dict(content)
        if (came := (said.pop("kind", None), said.pop("format", None))) != ("consensus", FORMAT):
            raise ValueError(f"consensus of format {FORMAT} expected, got {came}")
        if (online := said["online"]) is not None:
            kind = RULES_OF_WEIGHTS[online["rule"]]
            online = kind(**{name: value for name, value in online.items() if name != "rule"})
        outcome = Outcome(**said["outcome"]) if said.get("outcome") is not None else None
        state = None if said["state"] is None else _arrays(said["state"])
        tuples = {name: tuple(said[name]) for name in ("members", "weights", "min_confidence")}
        rules = Rules(**said["rules"] | {"class_weights": tuple(said["rules"]["class_weights"])})
        read = {"rules": rules, "online": online, "outcome": outcome, "state": state}
        return cls(**said | tuples | read)


def _lists(state: Mapping[str, Floats]) -> dict[str, Sequence[float]]:
    return {name: np.asarray(value).tolist() for name, value in state.items()}


def _arrays(state: Mapping[str, Sequence[float]]) -> dict[str, Floats]:
    return {name: np.asarray(value, np.float64) for name, value in state.items()}
