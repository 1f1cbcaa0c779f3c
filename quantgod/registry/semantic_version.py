"""Compute semantic versions, which tell callers of a model what has changed.

The major number rises if requests or responses change (signature, features, classes, window); the
minor one if other values come back (new data, parameters or code: graph, combiner, booster,
contract or chain file differ); the patch number for only a new calibrator, threshold or confidence,
or no change at all, so that no two versions share a number.

Each version is registered with the digests of its parts. So its number follows from the versions
before it, also if two are registered at the same time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from quantgod.files import file_digest, tree_digest, value_digest

SEMANTIC_TAG: Final = "semantic_version"
PARTS_TAG: Final = "parts"
_FILES: Final = {
    "graph": "graph.onnx",
    "booster": "booster.ubj",
    "calibrator": "calibrator.json",
    "conformal": "conformal.json",
    "contract": "labels.json",
}
_FACE: Final = ("features", "classes", "window", "book")
_MINOR: Final = ("graph", "combiner", "booster", "contract", "code")
_FORM: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")

Tags = Mapping[str, str]
Parts = Mapping[str, str]


class SemanticVersion(NamedTuple):
    """Major, minor and patch number."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST: Final = SemanticVersion(1, 0, 0)


def parts_of(package: Path, code: Path, signature: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of each part of a package, by name.

    Args:
        package: the folder.
        code: the chain file registered with it.
        signature: of the model, as a dictionary.
    """
    contract = json.loads((package / _FILES["contract"]).read_text(encoding="utf-8"))
    # An invalid contract is refused when it is tested; until then its whole content counts.
    face = {key: contract.get(key) for key in _FACE} if isinstance(contract, dict) else contract
    files = {part: package / name for part, name in _FILES.items()}
    digests = {part: file_digest(path) for part, path in files.items() if path.is_file()}
    if (combiner := package / "combiner.json").is_file():
        digests["combiner"] = file_digest(combiner)
        digests["graph"] = tree_digest(package, sorted((package / "members").rglob("*.*")))
    if (trust := package / "confidence.json").is_file():  # earlier code has made versions without
        digests["confidence"] = file_digest(trust)
    copied = [file_digest(path) for path in sorted((package / "served").rglob("*.py"))]
    own = value_digest([file_digest(code), *copied])
    return digests | {"code": own, "interface": value_digest([dict(signature), face])}


def parts_tag(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the tag with the digests of a version's parts."""
    return {PARTS_TAG: json.dumps(parts)}


def parts_named(tags: Tags) -> dict[str, str]:
    """Return the digests of a version's parts from its tags; empty for a foreign version."""
    if PARTS_TAG not in tags:  # earlier code wrote one tag per part
        return {key[5:]: digest for key, digest in tags.items() if key.startswith("part.")}
    try:
        return msgspec.json.decode(tags[PARTS_TAG], type=dict[str, str])
    except msgspec.MsgspecError:
        return {}


def is_same_model(tags: Tags, others: Tags) -> bool:
    """Return whether two versions have the same parts, so that they give the same answers."""
    parts = parts_named(tags)
    return "interface" in parts and parts == parts_named(others)


def number_of(versions: Iterable[Tags]) -> SemanticVersion | None:
    """Return the semantic version of the last of these versions.

    Args:
        versions: the tags of a model's versions, in order. Foreign versions without parts are
            skipped.

    Returns:
        None if the last one has no parts.
    """
    base: tuple[SemanticVersion, Parts] | None = None
    number = None
    for tags in versions:
        number = None
        parts = parts_named(tags)
        if "interface" not in parts:
            continue
        number = parsed(tags.get(SEMANTIC_TAG, ""))
        if number is None:
            number = FIRST if base is None else next_after(*base, parts)
        base = max(base or (number, parts), (number, parts), key=lambda pair: pair[0])
    return number


def next_after(base: SemanticVersion, parts: Parts, new: Parts) -> SemanticVersion:
    """Return the number of a version with parts `new` that follows `base` with `parts`."""

    def differ(*names: str) -> bool:
        return any(new.get(name) != parts.get(name) for name in names)

    if differ("interface"):
        return SemanticVersion(base.major + 1, 0, 0)
    if differ(*_MINOR):
        return SemanticVersion(base.major, base.minor + 1, 0)
    return SemanticVersion(base.major, base.minor, base.patch + 1)


def parsed(text: str) -> SemanticVersion | None:
    """Parse `1.2.3`; return None for anything else."""
    found = _FORM.fullmatch(text)
    return None if found is None else SemanticVersion(*map(int, found.groups()))
