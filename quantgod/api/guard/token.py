"""Make the token of the management API, and keep its hash alone."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from quantgod.files import atomic_path
from quantgod.settings import command

TOKEN_FILE: Final = "token.sha256"
OWNER_ALONE: Final = 0o600
_BYTES: Final = 32
_DIGITS: Final = 64


class NoTokenError(ValueError):
    """There is no token, or others could have written its hash."""


def new_token(folder: Path) -> str:
    """Make a token, keep its hash in `folder`, and return the token, which is not kept.

    An earlier token is no longer valid.
    """
    token = secrets.token_urlsafe(_BYTES)
    with atomic_path(folder / TOKEN_FILE) as part:
        part.touch(OWNER_ALONE)
        part.chmod(OWNER_ALONE)
        part.write_text(f"{hash_of(token)}\n", encoding="ascii")
    return token


def kept_hash(folder: Path) -> str:
    """Return the hash of the token.

    Raises:
        NoTokenError: if there is none, or if others may read or write it.
    """
    path, again = folder / TOKEN_FILE, f"`{command('manage', '--new-token')}` makes one"
    try:
        found, text = path.stat(), path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise NoTokenError(
            f"{path}: the hash of a token expected, there is none; {again}"
        ) from None
    if (mode := stat.S_IMODE(found.st_mode)) & ~OWNER_ALONE or found.st_uid != os.getuid():
        raise NoTokenError(
            f"{path}: a file of this user's alone (mode 0600) expected, got mode {mode:04o} of "
            f"user {found.st_uid}; {again}"
        )
    if len(text) != _DIGITS or set(text) - set("0123456789abcdef"):
        raise NoTokenError(f"{path}: {_DIGITS} hexadecimal digits expected; {again}")
    return text


def hash_of(token: str) -> str:
    """Return the SHA-256 of a token, in hex; it has too many bits to be found by trying."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_token(came: str, kept: str) -> bool:
    """Return whether a text is the token of a hash, in a time that does not depend on the text."""
    return hmac.compare_digest(hash_of(came), kept)
