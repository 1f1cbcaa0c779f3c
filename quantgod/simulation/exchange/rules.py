"""Define the venue's limits for clients."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """The venue's limits. Pings and pongs follow exchange time, all else real time.

    If exchange time runs fast, a client still has `pong_patience` real seconds for its pong.

    A client is cut off with more than `outbox_frames` unsent frames, or if it stalls for
    `stall_seconds` while the market waits for its clients.
    """

    weight_a_minute: int = 2400
    ping_seconds: float = 180.0
    pong_seconds: float = 600.0
    pong_patience: float = 5.0
    outbox_frames: int = 10_000
    stall_seconds: float = 30.0
    closing_seconds: float = 5.0
    lifetime_seconds: float = 86_400.0
    request_bytes: int = 65_536


def hurried(weight_a_minute: int, speed: float) -> int:
    """Return the weight per real minute if exchange time runs at `speed`."""
    return int(weight_a_minute * max(1.0, speed))
