"""How the server listens: on loopback alone, and without a word on who it is."""

from __future__ import annotations

from typing import Final

from uvicorn import Config

from quantgod.api.guard.guard import Guard

HOST: Final = "127.0.0.1"
MOST_CONNECTIONS: Final = 100
GRACE_SECONDS: Final = 2
"""How long streams may go on when the server ends."""


def listening(app: Guard, port: int) -> Config:
    """Return what uvicorn is to do: no log of requests, no WebSocket, no trust in a proxy."""
    return Config(
        app,
        host=HOST,
        port=port,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
