"""What happens to connections and requests, by name: for logs, the journal and the status view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

Level = Literal["info", "warning", "error"]

StreamCode = Literal[
    "connected",
    "connection_closed",
    "connection_lost",
    "connect_failed",
    "connect_timeout",
    "dns_failed",
    "tls_failed",
    "handshake_failed",
    "protocol_error",
    "oversized_frame",
    "silence",
    "silent_stream",
    "silent_symbol",
    "stream_speaks",
    "unreadable_message",
    "unexpected_message",
]
"""`silence`: it spoke and stopped; `silent_stream`: opened, and never a message."""

RenewalCode = Literal["renewing", "renewed", "renewal_failed", "chains_apart", "took_over"]

SnapshotCode = Literal["snapshot_failed", "rate_limited", "weight_spent"]

Code = StreamCode | RenewalCode | SnapshotCode


class Notice(NamedTuple):
    """A happening that is no message of a book. The text holds no credentials."""

    level: Level
    code: Code
    symbols: tuple[str, ...]
    text: str


Report = Callable[[Notice], None]


def address(url: str) -> str:
    """The URL without what may be secret: user, password and query.

    >>> address("wss://me:pw@fstream.binance.com:443/public/stream?key=1")
    'wss://fstream.binance.com:443/public/stream'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
