"""Semantic versions: what a caller of a model may expect of the next one.

The major number rises when what is posted or comes back changes (signature, features, classes,
window), the minor one when other numbers come back (new data, parameters or code: graph, booster,
contract or chain file differ), the patch for a new calibrator or threshold alone or nothing at all,
so that no two versions share a number.

Each version carries the digests of its parts from its birth. So every version's number follows
from those before it, and of two that are registered at once each knows the other's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from quantgod.files import file_digest, value_digest

SEMANTIC_TAG: Final = "semantic_version"
PARTS_TAG: Final = "parts"
_FILES: Final = {
    "graph": "graph.onnx",
    "booster": "booster.ubj",
    "calibrator": "calibrator.json",
    "conformal": "conformal.json",
    "contract": "labels.json",
}
_FACE: Final = ("features", "classes", "window")
_MINOR: Final = ("graph", "booster", "contract", "code")
_FORM: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")

Tags = Mapping[str, str]
Parts = Mapping[str, str]


class SemanticVersion(NamedTuple):
    """Major, minor and patch, in order of weight."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST: Final = SemanticVersion(1, 0, 0)


def parts_of(package: Path, code: Path, signature: Mapping[str, Any]) -> dict[str, str]:
    """The digest of each part of a package, by its name.

    Args:
        package: the folder.
        code: the chain file that is registered beside it.
        signature: the model's, as a dictionary.
    """
    contract = json.loads((package / _FILES["contract"]).read_text(encoding="utf-8"))
    # What is no contract is refused when it is tried, and told by its whole content till then.
    face = {key: contract.get(key) for key in _FACE} if isinstance(contract, dict) else contract
    digests = {part: file_digest(package / name) for part, name in _FILES.items()}
    copied = [file_digest(path) for path in sorted((package / "served").rglob("*.py"))]
    own = value_digest([file_digest(code), *copied])
    return digests | {"code": own, "interface": value_digest([dict(signature), face])}


def parts_tag(parts: Mapping[str, str]) -> dict[str, str]:
    """The tag that keeps the digests of a version's parts."""
    return {PARTS_TAG: json.dumps(parts)}


def parts_named(tags: Tags) -> dict[str, str]:
    """The digests of a version's parts by its tags; none if it was not registered here."""
    if PARTS_TAG not in tags:  # earlier code wrote a tag for each
        return {key[5:]: digest for key, digest in tags.items() if key.startswith("part.")}
    try:
        return msgspec.json.decode(tags[PARTS_TAG], type=dict[str, str])
    except msgspec.MsgspecError:
        return {}


def number_of(versions: Iterable[Tags]) -> SemanticVersion | None:
    """The semantic version of the last of these.

    Args:
        versions: the tags of a model's versions, in order. One that has no parts, as it was not
            registered here, is passed over.

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
    """The number of a version with the parts `new`, after `base` with its `parts`."""

    def differ(*names: str) -> bool:
        return any(new.get(name) != parts.get(name) for name in names)

    if differ("interface"):
        return SemanticVersion(base.major + 1, 0, 0)
    if differ(*_MINOR):
        return SemanticVersion(base.major, base.minor + 1, 0)
    return SemanticVersion(base.major, base.minor, base.patch + 1)


def parsed(text: str) -> SemanticVersion | None:
    """Read `1.2.3`; None if it is something else."""
    found = _FORM.fullmatch(text)
    return None if found is None else SemanticVersion(*map(int, found.groups()))
