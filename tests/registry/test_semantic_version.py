from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from quantgod.registry.semantic_version import (
    FIRST,
    SEMANTIC_TAG,
    SemanticVersion,
    next_after,
    number_of,
    parsed,
    parts_named,
    parts_tag,
)

DIGEST = st.sampled_from("ab")
MINOR = ("graph", "booster", "contract", "code")


def as_earlier(parts: dict[str, str]) -> dict[str, str]:
    """As earlier code wrote them: a tag for each part."""
    return {f"part.{name}": digest for name, digest in parts.items()}


PARTS = st.builds(
    lambda parts, form: form(parts),
    st.fixed_dictionaries(dict.fromkeys(("interface", *MINOR, "calibrator"), DIGEST)),
    st.sampled_from([parts_tag, as_earlier]),
)
FOREIGN = st.sampled_from([{"made_by": "another"}, {"made_by": "another", "parts": "none"}])
VERSIONS = st.lists(PARTS | FOREIGN, min_size=1, max_size=8)

Tags = dict[str, str]


def numbered(versions: list[Tags]) -> list[SemanticVersion | None]:
    return [number_of(versions[: place + 1]) for place in range(len(versions))]


@given(VERSIONS)
def test_each_version_has_a_higher_number_than_all_before(versions: list[Tags]) -> None:
    numbers = [number for number in numbered(versions) if number is not None]
    assert numbers[:1] in ([], [FIRST])
    assert all(before < after for before, after in pairwise(numbers))


@given(VERSIONS, st.integers(2, 5))
@example([parts_tag({"interface": kind}) for kind in "aab"], 3)
def test_no_number_is_given_twice_where_those_before_stand_out_of_order(
    versions: list[Tags], turn: int
) -> None:
    """Of two that were registered at once, the later may have the lower number."""
    known = [
        tags | ({SEMANTIC_TAG: str(number)} if number else {})
        for tags, number in zip(versions, numbered(versions), strict=True)
    ]
    for new in versions:
        number = number_of([*known[turn:], *known[:turn], new])
        taken = [tags[SEMANTIC_TAG] for tags in known if SEMANTIC_TAG in tags]
        assert number is None or all(number > (parsed(one) or FIRST) for one in taken)


@given(VERSIONS)
def test_what_has_risen_tells_what_has_changed(versions: list[Tags]) -> None:
    own = [tags for tags in versions if "made_by" not in tags]
    parts = [parts_named(tags) for tags in own]
    for (before, base), (after, new) in pairwise(zip(parts, numbered(own), strict=True)):
        assert base is not None
        assert new is not None
        same_face = before["interface"] == after["interface"]
        same_model = all(before[name] == after[name] for name in MINOR)
        assert (new.major == base.major) == same_face
        assert (new[:2] == base[:2]) == (same_face and same_model)


@given(VERSIONS, st.data())
def test_it_does_not_matter_who_writes_the_number_down_first(
    versions: list[Tags], data: st.DataObject
) -> None:
    """Of versions that are registered at once, each may see any others with or without theirs."""
    numbers = numbered(versions)
    seen = [
        tags | ({SEMANTIC_TAG: str(number)} if number and data.draw(st.booleans()) else {})
        for tags, number in zip(versions, numbers, strict=True)
    ]
    assert numbered(seen) == numbers


@given(VERSIONS)
def test_a_version_that_was_not_registered_here_has_no_number(versions: list[Tags]) -> None:
    for tags, number in zip(versions, numbered(versions), strict=True):
        assert (number is None) == ("made_by" in tags)


def test_only_three_numbers_are_a_semantic_version() -> None:
    assert parsed("1.20.3") == SemanticVersion(1, 20, 3)
    assert str(SemanticVersion(1, 20, 3)) == "1.20.3"
    for text in ("", "1.2", "v1.2.3", "1.2.3-rc1", "1.2.x"):
        assert parsed(text) is None


@given(PARTS, PARTS)
def test_a_number_that_was_given_stands_though_those_before_were_deleted(
    before: Tags, after: Tags
) -> None:
    number = number_of([before | {SEMANTIC_TAG: "3.2.1"}, after])
    assert number is not None
    assert number > SemanticVersion(3, 2, 1)


def test_one_place_rises_by_one_and_those_after_it_begin_anew() -> None:
    base, parts = SemanticVersion(3, 5, 7), dict.fromkeys(("interface", *MINOR, "calibrator"), "a")
    assert next_after(base, parts, parts) == (3, 5, 8)
    assert next_after(base, parts, parts | {"calibrator": "b"}) == (3, 5, 8)
    for name in MINOR:
        assert next_after(base, parts, parts | {name: "b", "calibrator": "b"}) == (3, 6, 0)
    assert next_after(base, parts, parts | dict.fromkeys(("interface", *MINOR), "b")) == (4, 0, 0)
    less = {name: digest for name, digest in parts.items() if name != "graph"}
    assert next_after(base, parts, less) == next_after(base, less, parts) == (3, 6, 0)


def test_versions_of_others_between_count_for_nothing() -> None:
    own, other = parts_tag(dict.fromkeys(("interface", *MINOR), "a")), {"made_by": "another"}
    numbers = [str(number) for number in numbered([other, own, other, other, own, own, other])]
    assert numbers == ["None", "1.0.0", "None", "None", "1.0.1", "1.0.2", "None"]
