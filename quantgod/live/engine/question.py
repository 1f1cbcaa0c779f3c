"""A closed minute that a version is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from quantgod.contracts import BookShape, Floats
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.contracts.panel import Member, Panel
from quantgod.contracts.prediction import Prediction
from quantgod.evaluation.drift import Reference

Role = Literal["Production", "Challenger"]

Audit = Callable[[], Prediction]
"""Asks the auditor about votes."""


class Model(Protocol):
    """The interface of a loaded version; `LoadedModel` implements it."""

    @property
    def name(self) -> str:
        """Return the registered model's name."""

    @property
    def version(self) -> int:
        """Return its number."""

    @property
    def window(self) -> int:
        """Return the rows that one prediction needs."""

    @property
    def features(self) -> tuple[str, ...]:
        """Return their columns: those of one of `FEATURE_SETS`."""

    @property
    def book(self) -> BookShape | None:
        """Return what it takes of the book, if it does."""

    @property
    def reference(self) -> Reference | None:
        """Return its reference, if it has one."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Return its members; none of one network."""

    @property
    def quorum(self) -> int:
        """Return how many members have to speak."""

    @property
    def disabled(self) -> Mapping[str, str]:
        """Return why members are not asked, by name."""

    @property
    def combiner(self) -> Any:
        """Return the combiner of its members, by its own code; None of one network."""

    def predict(self, rows: Any) -> Prediction:
        """Predict the newest minute; called in a worker thread."""

    def vote(
        self, rows: Any, weights: Floats | None = None, lacks: str = ""
    ) -> tuple[Panel, Audit | None]:
        """Ask its members about the newest minute; called in a worker thread."""


class Seen(NamedTuple):
    """What a version takes of a minute.

    Attributes:
        rows: of its window; of an ensemble those that there are.
        books: the snapshots before the close, for a version that looks at the book.
        lacks: why there are none for an ensemble with a member that looks at the book.
    """

    rows: MinuteRows
    books: Floats | None = None
    lacks: str = ""


class Question(NamedTuple):
    """A closed minute to predict, with the model, and the challenger's question if there is one."""

    symbol: str
    minute: int
    features: Floats
    received: float
    role: Role
    model: Model
    seen: Seen
    shadow: list[Question]
