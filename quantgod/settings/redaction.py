"""Passwords that URLs carry stay out of logs, tags and errors."""

from __future__ import annotations

import re
from typing import Any

_PASSWORD = re.compile(r"(://[^:/@\s]*:)\S*@")


def without_passwords(value: Any) -> Any:
    """The value; where it is a text, with the password of every URL in it made unreadable.

    >>> without_passwords("see postgresql://me:secret@host/studies")
    'see postgresql://me:***@host/studies'
    >>> without_passwords("wss://me:p@ss@host/stream")
    'wss://me:***@host/stream'
    """
    return _PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value
