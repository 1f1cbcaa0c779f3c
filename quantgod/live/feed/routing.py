"""Find the symbol of a message without decoding all of it; only the book does that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

_START: Final = b'{"stream":"'


class Router:
    """Finds a message's symbol by its stream name."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self._all = tuple(symbols)
        self._of_stream = {
            f"{symbol.lower()}@depth@100ms".encode(): (symbol,) for symbol in self._all
        }
        self._of_symbol = {symbol: (symbol,) for symbol in self._all}

    def symbols_of(self, data: bytes) -> tuple[str, ...]:
        """Return the symbols of a message: one, all if it is unknown, none for other messages.

        The symbol of an undecodable message is unknown, unless it begins with its stream's name.
        """
        if data.startswith(_START):
            end = data.find(b'"', len(_START))
            found = self._of_stream.get(data[len(_START) : end])
            if found is not None:
                return found
        return self._look_inside(data)

    def _look_inside(self, data: bytes) -> tuple[str, ...]:
        try:
            message = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._all
        found = self._of_stream.get(message.stream.encode())
        if found is not None:
            return found
        inner = message.data if isinstance(message.data, _Bare) else message
        return self._of_symbol.get(inner.s, ()) if inner.e == "depthUpdate" else ()


class _Bare(msgspec.Struct):
    e: str = ""
    s: str = ""


class _Message(msgspec.Struct):
    e: str = ""
    s: str = ""
    stream: str = ""
    data: _Bare | None = None


_decode = msgspec.json.Decoder(_Message).decode
