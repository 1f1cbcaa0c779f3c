"""Passwords and tokens that URLs carry stay out of logs, tags and errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

MASK: Final = "***"

_SECRETS: Final = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "secret",
    "apikey",
    "accesskey",
    "credential",
    "credentials",
    "signature",
)
"""How the name of a secret ends, in small letters and without `_`, `-` and `.`."""

_ALONE: Final = frozenset({"pass", "pw", "auth", "sig"})


def _sign(plain: str) -> str:
    """A pattern of a sign as it is, or percent-encoded any number of times."""
    return f"(?:{plain}|%(?:25)*{ord(plain):02x})"


_PAIR = re.compile(rf"([\w.%+-]{{1,60}}?){_sign('=')}(?=([^&\s]*))", re.IGNORECASE)
_AUTHORITY = f"{_sign(':')}{_sign('/')}{_sign('/')}"
_USER = f"(?:(?!{_sign(':')})[^/\\s])*"
# What ends the authority of a URL may stand in a password that nobody encoded: up to the last `@`.
_PASSWORD = re.compile(rf"{_AUTHORITY}{_USER}{_sign(':')}(\S*){_sign('@')}", re.IGNORECASE)
_TOKEN = re.compile(rf"{_AUTHORITY}([^:/?#\s]+){_sign('@')}", re.IGNORECASE)


def without_passwords(value: Any) -> Any:
    """The value, with every password and token in its texts made unreadable.

    Masked are what stands before the `@` of a URL, but for the name of a user who has a password,
    and what a query, a fragment or a connection string gives under a secret's name. Rather too much
    is masked than too little. Mappings and lists are gone through.

    >>> without_passwords("see postgresql://me:secret@host/studies")
    'see postgresql://me:***@host/studies'
    >>> without_passwords("wss://me:p@ss@host/stream, https://token@host")
    'wss://me:***@host/stream, https://***@host'
    >>> without_passwords("postgresql://h/db?user=me&PASSWD=secret&sslmode=require")
    'postgresql://h/db?user=me&PASSWD=***&sslmode=require'
    """
    if isinstance(value, str):
        return _masked(value)
    if isinstance(value, Mapping):
        return {key: without_passwords(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_passwords(one) for one in value]
    return value


def _masked(text: str) -> str:
    parts: list[str] = []
    end = 0
    for first, last in sorted(_secrets(text)):
        if first > end or not parts:
            parts += [text[end:first], MASK]
        end = max(end, last)
    return "".join([*parts, text[end:]])


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets begin and end; they may overlap."""
    for pattern in (_PASSWORD, _TOKEN):
        yield from (found.span(1) for found in pattern.finditer(text))
    for found in _PAIR.finditer(text):
        if _is_secret(found[1]):
            yield found.span(2)


def _is_secret(name: str) -> bool:
    while (decoded := unquote(name)) != name:
        name = decoded
    plain = re.sub(r"[^a-z0-9]", "", re.split(r"[^\w.-]", name)[-1].lower())
    return plain in _ALONE or plain.endswith(_SECRETS)
