"""Log for live commands: text for people or JSON for machines, with masked passwords."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from quantgod.settings import without_passwords

LOGGER = logging.getLogger("quantgod.live")

OTHERS = ("mlflow", "alembic", "py.warnings")
"""Other loggers, written in the same format so that JSON output stays JSON."""


def say(level: int, code: str, text: str, **values: Any) -> None:
    """Log an event by its code; `values` become fields of the JSON line."""
    LOGGER.log(level, "%s: %s", code, text, extra={"code": code, "text": text, "values": values})


@contextmanager
def logging_to(kind: Literal["text", "json"], stream: TextIO | None = None) -> Iterator[None]:
    """Log to `stream` (standard error) while the block runs."""
    handler = _Lines(stream)
    handler.setFormatter(_Json() if kind == "json" else _Text())
    with ExitStack() as taken:
        taken.enter_context(_handled_by(handler, LOGGER, logging.INFO))
        for name in OTHERS:
            taken.enter_context(_handled_by(handler, logging.getLogger(name), logging.WARNING))
        logging.captureWarnings(True)
        taken.callback(logging.captureWarnings, False)
        yield


@contextmanager
def _handled_by(handler: logging.Handler, logger: logging.Logger, level: int) -> Iterator[None]:
    """Let a logger use only `handler`, from `level` on, during the block."""
    before = logger.handlers[:], logger.propagate, logger.level
    logger.handlers[:], logger.propagate = [handler], False  # MLflow has another one on the root
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = before[:2]
        logger.setLevel(before[2])


class _Lines(logging.Handler):
    """Looks up standard error for every line, because a terminal view replaces it."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        stream = self._stream or sys.stderr
        stream.write(self.format(record) + "\n")
        stream.flush()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = _time(record).strftime("%H:%M:%S")
        return str(without_passwords(f"{when} {record.levelname.lower():<7} {record.getMessage()}"))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "code": getattr(record, "code", record.name),
            "text": getattr(record, "text", record.getMessage()),
            **getattr(record, "values", {}),
        }
        # Mask passwords before escaping, or quotes and backslashes would hide them.
        clean = {key: without_passwords(value) for key, value in fields.items()}
        return json.dumps(clean, default=str)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
