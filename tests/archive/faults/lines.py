"""Faults within single lines: what a feed, a recorder or an editor can do to a message's text.

`message` counts the lines of a day from its snapshot, which is 0.
"""

from __future__ import annotations

import itertools
import json
import random
from codecs import BOM_UTF8
from collections.abc import Callable

from tests.archive.faults.fault import Fault, LineFault, Lines
from tests.archive.faults.message_editing import (
    Message,
    at_message,
    decoded,
    edit_message,
    encoded,
)

# Lines that are not messages


def corrupt_line(message: int) -> Fault:
    """A line that breaks off in the middle."""
    return Fault("corrupt_line", lines=at_message(message, lambda line: [_cut(line)]))


def corrupt_lines(fraction: float, seed: int = 0) -> Fault:
    """About `fraction` of the deltas break off in the middle; `seed` says which."""

    def fault(lines: Lines) -> Lines:
        chance = random.Random(seed)
        yield next(lines)
        for line in lines:
            yield _cut(line) if chance.random() < fraction else line

    return Fault("corrupt_lines", lines=fault)


def last_line_cut() -> Fault:
    """The file ends within its last line."""

    def fault(lines: Lines) -> Lines:
        for line, following in itertools.pairwise(itertools.chain(lines, [b""])):
            yield line if following else _cut(line).rstrip(b"\n")

    return Fault("last_line_cut", lines=fault)


def binary_line(message: int) -> Fault:
    """Bytes that are not text in the place of a line."""
    return Fault("binary_line", lines=at_message(message, lambda _: [b"\x00\xff\xfe{]\n"]))


def blank_line(message: int) -> Fault:
    """An empty line before a message; nothing is lost."""
    return Fault("blank_line", lines=at_message(message, lambda line: [b"\n", line]))


def long_line(message: int, size: int) -> Fault:
    """A line of more than `size` bytes: the message with an unknown key of that length."""

    def edit(content: Message) -> None:
        content["padding"] = "x" * size

    return Fault("long_line", lines=edit_message(message, edit))


def missing_key(message: int, key: str = "data") -> Fault:
    """A message without one of its keys, which may be one of `data`'s."""

    def edit(content: Message) -> None:
        (content if key in content else content["data"]).pop(key)

    return Fault("missing_key", lines=edit_message(message, edit))


def wrong_type(message: int) -> Fault:
    """A message that is neither snapshot nor delta."""

    def edit(content: Message) -> None:
        content["type"] = "update"

    return Fault("wrong_type", lines=edit_message(message, edit))


def bad_number(message: int, value: str, of: str = "size", side: str = "b") -> Fault:
    """A price or size (`of`) that reads `value`: nan, inf, -1, abc, 1e999 and so on."""

    def edit(content: Message) -> None:
        rows = content["data"][side]
        kept = [row for row in rows if float(row[1]) > 0]
        if not kept:
            kept = [[{"b": "0.10", "a": "9999999.00"}[side], "1.000"]]
            rows.append(kept[0])
        kept[0][{"price": 0, "size": 1}[of]] = value

    return Fault("bad_number", lines=edit_message(message, edit))


def wrong_symbol(symbol: str, message: int | None = None) -> Fault:
    """One message, or every one, is another symbol's."""

    def edit(line: bytes) -> list[bytes]:
        content = decoded(line)
        content["topic"] = content["topic"].rsplit(".", 1)[0] + "." + symbol
        content["data"]["s"] = symbol
        return [encoded(content)]

    def everywhere(lines: Lines) -> Lines:
        for line in lines:
            yield from edit(line)

    return Fault("wrong_symbol", lines=everywhere if message is None else at_message(message, edit))


# Other ways to write the same


def unknown_keys() -> Fault:
    """Every message holds keys that no one knows."""

    def edit(content: Message) -> Message:
        return {"extra": {"u": [1, {"ts": 2}]}, **content, "creationTime": 7}

    return Fault("unknown_keys", lines=_rewritten(edit, separators=(",", ":")))


def no_matching_time() -> Fault:
    """No message has `cts`, the matching engine's time, as in older recordings."""

    def edit(content: Message) -> Message:
        return {key: value for key, value in content.items() if key != "cts"}

    return Fault("no_matching_time", lines=_rewritten(edit, separators=(",", ":")))


def white_space() -> Fault:
    """Spaces after every colon and comma."""
    return Fault("white_space", lines=_rewritten(lambda content: content, separators=(", ", ": ")))


def reversed_keys() -> Fault:
    """Every key in the opposite order, inside `data` too."""

    def edit(content: Message) -> Message:
        turned = dict(reversed(content.items()))
        return turned | {"data": dict(reversed(content["data"].items()))}

    return Fault("reversed_keys", lines=_rewritten(edit, separators=(",", ":")))


def windows_line_ends() -> Fault:
    """Lines end in CR LF."""
    return Fault("windows_line_ends", lines=lambda lines: (line[:-1] + b"\r\n" for line in lines))


def byte_order_mark() -> Fault:
    """The text begins with UTF-8's byte order mark, as some programs write it."""

    def fault(lines: Lines) -> Lines:
        yield BOM_UTF8 + next(lines)
        yield from lines

    return Fault("byte_order_mark", lines=fault)


def no_last_line_end() -> Fault:
    """The last line is whole but has no line end."""

    def fault(lines: Lines) -> Lines:
        for line, following in itertools.pairwise(itertools.chain(lines, [b""])):
            yield line if following else line.rstrip(b"\n")

    return Fault("no_last_line_end", lines=fault)


def _cut(line: bytes) -> bytes:
    return line[: len(line) // 2] + b"\n"


def _rewritten(edit: Callable[[Message], Message], *, separators: tuple[str, str]) -> LineFault:
    def fault(lines: Lines) -> Lines:
        for line in lines:
            yield json.dumps(edit(decoded(line)), separators=separators).encode() + b"\n"

    return fault
