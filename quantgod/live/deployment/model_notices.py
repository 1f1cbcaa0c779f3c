"""What happens to models and their answers, by name: for logs, the journal and the status view."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from quantgod.live.engine.row_sink import RowSink
from quantgod.settings import without_passwords

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
]
"""`loaded_copy`: at the start, without the registry; `withdrawn`: the alias moved on or back."""

SignalCode = Literal["prediction_failed", "late", "not_journaled", "row_hook_failed", "old_minute"]
"""`late`: a candle that waited until newer ones filled the line, and gets no signal."""


class ModelNotice(NamedTuple):
    """A happening; `symbol` is empty where it is about no symbol alone."""

    level: Level
    kind: Kind
    code: SwapCode | SignalCode
    symbol: str
    text: str


Report = Callable[[ModelNotice], None]
"""Called in the event loop."""


def journaled(journal: RowSink, then: Report) -> Report:
    """Keep every notice as a row of EVENTS, then hand it on."""

    def report(notice: ModelNotice) -> None:
        journal.append(
            "EVENTS",
            {
                "received_ns": time.time_ns(),
                "ts_ms": None,
                "symbol": notice.symbol,
                "kind": notice.kind,
                "code": notice.code,
                "detail": without_passwords(notice.text),
            },
        )
        then(notice)

    return report
