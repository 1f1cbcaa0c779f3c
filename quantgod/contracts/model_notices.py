"""Notices about models and their answers, for logs, the journal and the status view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

Level = Literal["info", "warning", "error"]
Kind = Literal["swap", "signal"]

SwapCode = Literal[
    "loaded",
    "loaded_copy",
    "unjudged",
    "ready",
    "swapped",
    "refused",
    "withdrawn",
    "alias_removed",
    "registry_away",
    "registry_back",
    "copy_failed",
    "members_disabled",
]
"""`loaded_copy`: loaded at the start without the registry; `withdrawn`: the alias has moved;
`members_disabled`: other members of the version abstain from now on."""

SignalCode = Literal[
    "prediction_failed",
    "late",
    "no_block",
    "abstains",
    "no_quorum",
    "not_journaled",
    "row_hook_failed",
    "old_minute",
]
"""`late`: newer candles filled the queue while this one waited, so it gets no signal.

`no_block`: nor does one whose snapshots of the book are not whole, from a version that takes them.

`abstains`: members of an ensemble say nothing of a minute, with the reasons; `no_quorum`: too few
are left, so it gets no signal.
"""


class ModelNotice(NamedTuple):
    """One event; `symbol` is empty if it concerns no single symbol."""

    level: Level
    kind: Kind
    code: SwapCode | SignalCode
    symbol: str
    text: str


Report = Callable[[ModelNotice], None]
"""Called in the event loop."""
