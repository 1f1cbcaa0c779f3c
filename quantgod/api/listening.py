"""How the server listens: on loopback alone, and without a word on who it is."""

from __future__ import annotations

import socket
from threading import Event
from typing import Final

from uvicorn import Config, Server

from quantgod.api.guard.guard import Guard

HOST: Final = "127.0.0.1"
MOST_CONNECTIONS: Final = 100
GRACE_SECONDS: Final = 2
"""How long answers may take when the server ends."""


class Listening(Server):
    """A server whose streams end when it does.

    Args:
        app: what it serves.
        port: on loopback.
        ending: set when it ends, for streams to see.
    """

    def __init__(self, app: Guard, port: int, ending: Event) -> None:
        super().__init__(listening(app, port))
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell streams, and end."""
        self._ending.set()
        await super().shutdown(sockets)


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
