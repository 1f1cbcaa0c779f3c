"""Copies of versions on this disk: made once, kept while they are named, removed afterwards."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from quantgod.live.deployment import model_store
from quantgod.live.deployment.model_store import Copy, Holder, ModelStore, NoCopyError
from quantgod.registry.registered import BrokenVersionError, EmptyVersionError

DIGESTS = {number: f"{number}" * 64 for number in range(1, 5)}
DAY = 86_400


class Registry:
    """Versions of one file, whose digest is their number in all its places."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.downloads: list[int] = []
        monkeypatch.setattr(model_store, "_download", self.download)
        monkeypatch.setattr(model_store, "files_digest", self.digest)
        monkeypatch.setattr(model_store, "check_files", self.check)

    def download(self, name: str, version: int, folder: Path) -> Path:
        self.downloads.append(version)
        files = folder / "files"
        files.mkdir()
        (files / "model").write_text(str(version))
        return files

    def digest(self, folder: Path) -> str:
        return (folder / "model").read_text() * 64

    def check(self, folder: Path, expected: str | None) -> None:
        try:
            if expected not in (None, self.digest(folder)):
                raise BrokenVersionError("changed_file: model")
        except FileNotFoundError:
            raise EmptyVersionError("no files") from None


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    return Registry(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", "name")


def names(store: ModelStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def folder_of(number: int) -> str:
    return f"{number}-{DIGESTS[number][:16]}"


def test_a_copy_is_made_once_and_again_when_it_is_spoilt_or_gone(
    registry: Registry, store: ModelStore
) -> None:
    wanted = Holder(1, DIGESTS[1])
    copy = store.fetch(wanted)
    assert copy == Copy(1, DIGESTS[1], store.folder / folder_of(1))
    assert names(store) == [folder_of(1)], "nothing of the download is left"
    assert store.fetch(wanted) == copy
    assert registry.downloads == [1]
    (copy.folder / "model").write_text("2")
    assert store.fetch(wanted) == copy
    assert (copy.folder / "model").read_text() == "1"
    (copy.folder / "model").unlink()
    assert store.fetch(wanted) == copy
    assert registry.downloads == [1, 1, 1]


def test_a_version_without_a_registered_digest_is_always_downloaded(
    registry: Registry, store: ModelStore
) -> None:
    for _ in range(2):
        assert store.fetch(Holder(2, None)).files_sha256 == DIGESTS[2]
    assert registry.downloads == [2, 2]


def test_a_version_with_other_files_than_registered_leaves_nothing(
    registry: Registry, store: ModelStore
) -> None:
    with pytest.raises(BrokenVersionError, match="changed_file"):
        store.fetch(Holder(1, DIGESTS[2]))
    assert names(store) == []


def test_what_was_deployed_is_recorded_with_its_time_and_found_again(
    registry: Registry, store: ModelStore
) -> None:
    with pytest.raises(NoCopyError, match="no copy was kept"):
        store.kept("Production")
    copy = store.fetch(Holder(1, DIGESTS[1]))
    store.keep("Production", copy, (), "gates passed")
    record = store.folder / "Production.json"
    told = json.loads(record.read_text())
    assert store.kept("Production") == (copy, told["deployed_at"], "gates passed", {})
    record.write_text(json.dumps(told | {"deployed_at": "long ago", "right": "of old"}))
    store.keep("Production", copy, (), "gates passed")
    assert store.kept("Production") == (copy, "long ago", "of old", {}), "it is deployed since"
    store.keep("Production", copy, (), "gates passed", {"far": "it lost money"})
    assert store.kept("Production") == (copy, "long ago", "of old", {"far": "it lost money"})
    other = store.fetch(Holder(2, DIGESTS[2]))
    store.keep("Production", other)
    found, since, right, disabled = store.kept("Production")
    assert (found, right, disabled) == (other, "", {}), "another version starts without it"
    assert since != "long ago"
    (other.folder / "model").write_text("9")
    with pytest.raises(BrokenVersionError, match="changed_file"):
        store.kept("Production")
    record.write_text("{")
    with pytest.raises(BrokenVersionError, match="not a record of a copy"):
        store.kept("Production")
    store.keep("Production", other)
    assert json.loads(record.read_text())["version"] == 2, "a spoilt record is written anew"


def test_a_copy_that_is_gone_is_not_recorded(registry: Registry, store: ModelStore) -> None:
    with pytest.raises(FileNotFoundError, match="is gone"):
        store.keep("Production", Copy(1, DIGESTS[1], store.folder / folder_of(1)))


def test_only_copies_that_are_in_use_or_recorded_stay(
    registry: Registry, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of another alias; and what another process may be downloading."""
    copies = {number: store.fetch(Holder(number, DIGESTS[number])) for number in DIGESTS}
    store.keep("Staging", copies[2], [*copies.values()])
    (store.folder / "notes.txt").write_text("kept")
    (store.folder / "broken.json").write_text("[]")
    now = time.time()
    monkeypatch.setattr(model_store.time, "time", lambda: now)
    for name, age in ((".aa.part", 0), (".new.part", DAY - 1), (".old.part", DAY), (".z.part", 0)):
        (store.folder / name).mkdir()
        os.utime(store.folder / name, (now - age, now - age))
    exact = (store.folder / ".old.part").stat().st_mtime
    monkeypatch.setattr(model_store.time, "time", lambda: exact + DAY)
    store.keep("Production", copies[1], [copies[3]])
    kept = [folder_of(number) for number in (1, 2, 3)]
    files = ["Production.json", "Staging.json", "broken.json", "notes.txt"]
    assert names(store) == sorted([".aa.part", ".new.part", ".z.part", *kept, *files])


def test_a_copy_that_another_process_removes_meanwhile_is_no_trouble(
    registry: Registry, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (store.fetch(Holder(number, DIGESTS[number])) for number in (1, 2))
    remove = model_store.shutil.rmtree

    def faster(path: Path, **given: Any) -> None:
        remove(path)
        remove(path, **given)

    monkeypatch.setattr(model_store.shutil, "rmtree", faster)
    store.keep("Production", second)
    assert not first.folder.exists()
    assert second.folder.exists()
