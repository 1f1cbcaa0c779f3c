"""Keep the previews of changes: each is a look at the test part, and looks are counted."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.api.lines import append_line, lines_of
from quantgod.registry.preview import PreviewResult, WhatIf, kept_of, preview

PREVIEWS_FILE: Final = "previews.jsonl"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A preview that was shown.

    Attributes:
        model: registered model.
        version: that was to be changed.
        change: that was asked for.
        result: what it would do.
    """

    model: str
    version: int
    change: WhatIf
    result: PreviewResult


class Looked(NamedTuple):
    """A preview, and how many different ones the version's test part has been used for."""

    result: PreviewResult
    looks: int


def look(client: MlflowClient, folder: Path, found: ModelVersion, change: WhatIf) -> Looked:
    """Return what a change would do: kept from before, or made now and kept.

    Raises:
        PreviewError: if it cannot be told.
    """
    number = int(found.version)
    each = [
        one
        for one in _looks(folder / PREVIEWS_FILE)
        if (one.model, one.version) == (found.name, number)
    ]
    known = next((one.result for one in each if one.change == change), None)
    if known is not None:
        return Looked(known, _different(each))
    with tempfile.TemporaryDirectory() as scratch:
        result = preview(kept_of(client, found, Path(scratch)), change)
    new = Look(model=found.name, version=number, change=change, result=result)
    append_line(folder / PREVIEWS_FILE, msgspec.json.encode(new))
    return Looked(result, _different([*each, new]))


def _different(looks: list[Look]) -> int:
    return len({msgspec.json.encode(one.change, order="sorted") for one in looks})


def _looks(path: Path) -> list[Look]:
    """Return all that were kept; a line that a crash has cut, or other code wrote, is left out."""
    return [one for line in lines_of(path) if (one := _look(line)) is not None]


def _look(line: bytes) -> Look | None:
    try:
        return msgspec.json.decode(line, type=Look)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
