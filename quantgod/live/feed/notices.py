"""Notices about connections and requests, for logs, the journal and the status view."""

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
"""`silence`: messages stopped; `silent_stream`: opened without any message."""

RenewalCode = Literal["renewing", "renewed", "renewal_failed", "chains_apart", "took_over"]

SnapshotCode = Literal["snapshot_failed", "rate_limited", "weight_spent"]

Code = StreamCode | RenewalCode | SnapshotCode


class Notice(NamedTuple):
    """An event other than a book's message. The text has no credentials."""

    level: Level
    code: Code
    symbols: tuple[str, ...]
    text: str


Report = Callable[[Notice], None]


def address(url: str) -> str:
    """Return the URL without possible secrets: user, password and query.

    >>> address("wss://me:pw@fstream.binance.com:443/public/stream?key=1")
    'wss://fstream.binance.com:443/public/stream'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
