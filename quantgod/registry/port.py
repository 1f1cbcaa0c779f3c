"""Take a port of the loopback before anything is loaded for it, or say who has it."""

from __future__ import annotations

import errno
import shlex
import socket
from contextlib import suppress
from typing import Final

import psutil

HOST: Final = "127.0.0.1"
WIDTH: Final = 120
"""How much of another program's command an error shows."""


class PortInUseError(OSError):
    """Another program listens on the port."""


def listening_on(port: int) -> socket.socket:
    """Return a socket that listens; who connects waits until it is served.

    Raises:
        PortInUseError: naming the program that has the port, if the system tells.
    """
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((HOST, port))
        own.listen()
    except OSError as error:
        own.close()
        if error.errno != errno.EADDRINUSE:
            raise
        text = f"port {port} is in use{_by_whom(port)}: choose another with --port"
        raise PortInUseError(text) from None
    return own


def _by_whom(port: int) -> str:
    """Return the command and the process that listen on a port, as far as one may see them."""
    with suppress(psutil.Error):
        for one in psutil.net_connections("tcp"):
            is_here = one.status == psutil.CONN_LISTEN and tuple(one.laddr)[1:] == (port,)
            if is_here and one.pid:
                command = shlex.join(psutil.Process(one.pid).cmdline())
                return f" by `{command[:WIDTH]}` (process {one.pid})"
    return ""
