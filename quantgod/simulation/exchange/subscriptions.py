"""Track a client's subscriptions, and answer its requests over the socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from quantgod.simulation.exchange.wire import answer, unanswerable


class Subscriptions:
    """The streams of one client; only depth is served, and only if `has_depth`.

    `audience` is set once there is any. Unknown names are accepted and stay silent, as at the
    venue.
    """

    def __init__(self, names: Sequence[str], audience: asyncio.Event, *, has_depth: bool) -> None:
        self._audience, self._has_depth = audience, has_depth
        self._names: list[str] = []
        self._set([*dict.fromkeys(names)])

    @property
    def depth(self) -> Mapping[str, list[bytes]]:
        """Return the names of depth streams by symbol."""
        return self._depth

    def answer(self, text: str) -> bytes:
        """Execute a request and return its acknowledgement, or an error."""
        try:
            request = json.loads(text)
            method, names = request["method"], request.get("params", [])
            request_id = request.get("id")
        except (ValueError, KeyError, TypeError, AttributeError):
            return unanswerable(None, "an object with method, params and id expected")
        if method == "LIST_SUBSCRIPTIONS":
            return answer(request_id, self._names)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return unanswerable(request_id, "params: a list of stream names expected")
        return self._change(method, names, request_id)

    def _change(self, method: Any, names: list[str], request_id: Any) -> bytes:
        if method == "SUBSCRIBE":
            self._set([*dict.fromkeys([*self._names, *names])])
        elif method == "UNSUBSCRIBE":
            self._set([name for name in self._names if name not in names])
        else:
            return unanswerable(request_id, f"unknown method {method}")
        return answer(request_id)

    def _set(self, names: list[str]) -> None:
        self._names = names
        self._depth: dict[str, list[bytes]] = {}
        for name in names if self._has_depth else []:
            symbol, _, kind = name.partition("@")
            if kind.partition("@")[0] == "depth":
                self._depth.setdefault(symbol.upper(), []).append(name.encode())
                self._audience.set()
