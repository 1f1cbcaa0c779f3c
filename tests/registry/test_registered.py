"""What a registry says of its versions: page by page, of nobody, and when it is away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.entities import PagedList

from quantgod.registry import registered
from quantgod.registry.registered import (
    NoSuchVersionError,
    all_versions,
    asked_version,
    files_digest,
    holder,
    known_version,
    newest_version,
)


def paged(*pages: list[int], end: str | None) -> Any:
    """A registry that tells these versions page by page; the last page's token is `end`."""

    def search(asked: str, page_token: str | None) -> Any:
        assert asked == "name = 'quantgod'"
        place = int(page_token or 0)
        token = str(place + 1) if place + 1 < len(pages) else end
        return PagedList([SimpleNamespace(version=str(one)) for one in pages[place]], token)

    return SimpleNamespace(search_model_versions=search)


@pytest.mark.parametrize("end", ["", None])
@pytest.mark.parametrize("pages", [[[]], [[3, 10, 2]], [[9], [], [11, 2], [1, 10]]])
def test_all_versions_are_told_by_their_number(
    monkeypatch: pytest.MonkeyPatch, pages: list[list[int]], end: str | None
) -> None:
    client = paged(*pages, end=end)
    numbers = sorted(one for page in pages for one in page)
    assert [int(one.version) for one in all_versions(client, "quantgod")] == numbers
    monkeypatch.setattr(registered, "MlflowClient", lambda: client)
    if numbers:
        assert newest_version("quantgod") == numbers[-1]
    else:
        with pytest.raises(NoSuchVersionError, match="quantgod: no version is registered"):
            newest_version("quantgod")


@pytest.mark.parametrize(
    ("number", "made_by", "told"),
    [
        (None, None, ("quantgod", 9)),
        (4, None, ("quantgod", 4)),
        (4, "run", ("quantgod", 4)),
        (None, "run", ("other", 6)),
    ],
)
def test_a_number_comes_before_a_run_and_both_before_the_newest(
    monkeypatch: pytest.MonkeyPatch, number: int | None, made_by: str | None, told: tuple[str, int]
) -> None:
    client: Any = None
    output = {"name": "other", "version": "6"}
    monkeypatch.setattr(registered, "output_of", lambda *_: output)
    monkeypatch.setattr(registered, "newest_version", lambda _: 9)
    monkeypatch.setattr(registered, "known_version", lambda client, name, number: (name, number))
    assert asked_version(client, "quantgod", number, made_by) == told


def test_a_registry_that_is_away_is_not_one_without_a_version() -> None:
    def refusing(kind: str) -> Any:
        def refuse(*_: Any) -> None:
            error = MlflowException(kind)
            error.error_code = kind
            raise error

        there = paged([2, 1], end="").search_model_versions
        return SimpleNamespace(
            get_model_version=refuse, get_model_version_by_alias=refuse, search_model_versions=there
        )

    for kind in registered._ABSENT:
        assert holder(refusing(kind), "quantgod", "Production") is None
        words = "^quantgod 3: there is no such version, versions are 1, 2$"
        with pytest.raises(NoSuchVersionError, match=words):
            known_version(refusing(kind), "quantgod", 3)
    for ask in (
        lambda client: holder(client, "quantgod", "Production"),
        lambda client: known_version(client, "quantgod", 3),
    ):
        with pytest.raises(MlflowException, match="TEMPORARILY_UNAVAILABLE"):
            ask(refusing("TEMPORARILY_UNAVAILABLE"))


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ([], "no version is registered; `python -m steps.main` makes one"),
        ([7], "there is no such version, versions are 7"),
        (
            list(range(1, 13)),
            "there is no such version, of 12 the newest are 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
        ),
    ],
)
def test_a_version_that_is_not_there_is_told_with_those_that_are(
    there: list[int], words: str
) -> None:
    client = paged(there, end="")
    client.get_model_version = lambda *_: absent()
    with pytest.raises(NoSuchVersionError, match=f"^quantgod 99: {words}$"):
        known_version(client, "quantgod", 99)


def absent() -> None:
    raise MlflowException("Model Version (name=x, version=y) not found", RESOURCE_DOES_NOT_EXIST)


def test_a_digest_is_of_every_file_but_of_what_downloads_and_loads_leave_behind(
    tmp_path: Any,
) -> None:
    (tmp_path / "a" / "__pycache__").mkdir(parents=True)
    (tmp_path / "a" / "one.py").write_text("1")
    (tmp_path / "two.json").write_text("2")
    before = files_digest(tmp_path)
    (tmp_path / "a" / "__pycache__" / "one.pyc").write_text("code")
    for name in registered._LEFT_BEHIND:
        (tmp_path / name).write_text("left")
    assert files_digest(tmp_path) == before
    for path, text in (("two.json", "3"), ("a/one.py", "2"), ("a/new.txt", "")):
        (tmp_path / path).write_text(text)
        assert files_digest(tmp_path) != before
        before = files_digest(tmp_path)
