"""Define the tables of a journal and of a recording as Arrow schemas.

The first column of each is its time, used by `read_table(since=…)`. Minutes are epoch
minutes; `ts` is exchange time in ms; `received_ns` is the local clock, in ns since 1970.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from quantgod.contracts import FEATURES, SECOND_FIGURES

UNITS: Final = {"minute": (60, "s"), "ts": (1, "ms"), "received_ns": (1, "ns")}
"""How each first column becomes a time: a factor, and the unit of the product."""

BARS: Final = pa.schema(
    [
        ("minute", pa.int64()),
        ("symbol", pa.string()),
        *((name, pa.float64()) for name in FEATURES),
        ("close", pa.float64()),
        *((name, pa.float64()) for name in SECOND_FIGURES),
        ("book", pa.list_(pa.float64())),
        ("reason", pa.string()),
    ]
)
"""Every closed minute: its row, or nulls and the reason why it has none.

`book` holds the values of `BOOK_COLUMNS` (an absent level: NaN price, zero size). It is no list
of fixed size, because Parquet reads none back that may be null. Rows of sessions from before the
kernel told figures of seconds lack them.
"""

VOTES: Final = pa.schema(
    [
        ("minute", pa.int64()),
        ("symbol", pa.string()),
        ("role", pa.string()),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("members", pa.list_(pa.string())),
        ("absent", pa.list_(pa.string())),
        *((name, pa.list_(pa.float64())) for name in ("sell", "neutral", "buy")),
        ("confidence", pa.list_(pa.float64())),
        ("expected_return", pa.list_(pa.float64())),
        ("weight", pa.list_(pa.float64())),
        ("contribution", pa.list_(pa.float64())),
        ("vote", pa.string()),
        ("agreement", pa.float64()),
        ("meta_confidence", pa.float64()),
        ("should_trade", pa.bool_()),
        ("state", pa.string()),
    ]
)
"""What the members of an ensemble say of a minute; it is written before the signal is.

Lists are by member, in the order of `members`. `absent` holds why a member says nothing, and is
empty of one that speaks; what an absent one says is NaN. `weight` is what it was heard with,
`contribution` its share in the probability of `vote`, which is empty below the quorum. `state` is
that of the weights at this minute, as JSON: a session that starts again goes on from it, and from
the votes whose outcome was not known yet. It is null of weights that outcomes do not move.
"""

SIGNALS: Final = pa.schema(
    [
        ("minute", pa.int64()),
        ("symbol", pa.string()),
        ("role", pa.string()),
        ("model", pa.string()),
        ("version", pa.int64()),
        *((f"base_{name}", pa.float64()) for name in ("sell", "neutral", "buy")),
        *((f"prob_{name}", pa.float64()) for name in ("sell", "neutral", "buy")),
        ("class", pa.int64()),
        ("signal", pa.string()),
        ("decided_by", pa.string()),
        *((f"in_set_{name}", pa.bool_()) for name in ("sell", "neutral", "buy")),
        ("action", pa.string()),
        ("abstention", pa.string()),
        ("uncertainty", pa.float64()),
        ("base_confidence", pa.float64()),
        ("latency_ms", pa.float64()),
    ]
)
"""Every answer of a model: `role` is Production or Challenger, the rest as the chain returns it.

`model` is the registered model of `version`. It is null in older rows.

`action` is what a session acts on. It is null in rows from before versions abstained.

`base_confidence` is null of versions that do not tell it, and in older rows.

`latency_ms` is from the arrival of the message that closed the minute to this row.
"""

DRIFT: Final = pa.schema(
    [
        ("minute", pa.int64()),
        ("symbol", pa.string()),
        ("name", pa.string()),
        ("value", pa.float64()),
        ("z", pa.float64()),
        ("psi_reference", pa.float64()),
        ("ks_reference", pa.float64()),
        ("psi_past", pa.float64()),
        ("ks_past", pa.float64()),
        ("trained", pa.float64()),
        ("verdict", pa.string()),
    ]
)
"""Findings of `live.drift` on a feature or probability `name`: an outlier, or an hourly verdict.

`value` is the candle's value for an outlier, else the window's mean; `trained` is the reference's
mean. Unknown values are null.
"""

EVENTS: Final = pa.schema(
    [
        ("received_ns", pa.int64()),
        ("ts_ms", pa.int64()),
        ("symbol", pa.string()),
        ("kind", pa.string()),
        ("code", pa.string()),
        ("detail", pa.string()),
    ]
)
"""Events: gaps, resyncs, connections, swaps. `ts_ms` is null if no message has it."""

RAW: Final = pa.schema(
    [
        ("received_ns", pa.int64()),
        ("symbol", pa.string()),
        ("kind", pa.string()),
        ("data", pa.binary()),
    ]
)
"""Every message as passed to the book: `kind` is opened, closed, stream or snapshot."""


def levels_schema(levels: int) -> pa.Schema:
    """Return the LEVELS table: the best `levels` per side at the end of each interval.

    `ts` is the interval's start. `levels` holds bid price, bid size, ask price, ask size of the
    best level, then of the next (a missing level: NaN price, zero size).
    """
    best = pa.field("levels", pa.list_(pa.float64(), 4 * levels), nullable=False)
    return pa.schema([("ts", pa.int64()), ("symbol", pa.string()), best])
