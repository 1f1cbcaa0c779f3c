"""Mask passwords and tokens of URLs in logs, tags and errors."""

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
"""Endings of the names of secrets, in lower case and without `_`, `-` and `.`."""

_ALONE: Final = frozenset({"pass", "pw", "auth", "sig"})


def _sign(plain: str) -> str:
    """Return a pattern of a character, plain or percent-encoded any number of times."""
    return f"(?:{plain}|%(?:25)*{ord(plain):02x})"


_PAIR = re.compile(rf"([\w.%+-]{{1,60}}?){_sign('=')}(?=([^&\s]*))", re.IGNORECASE)
_AUTHORITY = f"{_sign(':')}{_sign('/')}{_sign('/')}"
_USER = f"(?:(?!{_sign(':')})[^/\\s])*"
# An unencoded password may contain characters that end a URL's authority: mask to the last `@`.
_PASSWORD = re.compile(rf"{_AUTHORITY}{_USER}{_sign(':')}(\S*){_sign('@')}", re.IGNORECASE)
_TOKEN = re.compile(rf"{_AUTHORITY}([^:/?#\s]+){_sign('@')}", re.IGNORECASE)


def without_passwords(value: Any) -> Any:
    """Return the value with all passwords and tokens in its texts masked.

    This masks the part of a URL before `@` (but not the name of a user with a password), and the
    values of secrets in a query, a fragment or a connection string. In doubt it masks too much.
    Mappings and lists are searched recursively.

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
    """Yield where secrets begin and end; they may overlap."""
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
