"""Files appear whole or not at all, and are known by what they hold."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from quantgod.files import atomic_path, file_digest, tree_digest, value_digest, write_json

ROOT = Path(__file__).parents[1]


def test_a_file_is_visible_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "day.parquet"
    with atomic_path(target) as part:
        part.write_bytes(b"half")
        assert not target.exists() and part.parent == target.parent
        assert not part.match("*.parquet")  # no search for days finds it
        part.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table"
    target.write_bytes(b"old")

    def spoil() -> None:
        with atomic_path(target) as part:
            part.write_bytes(b"new")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        spoil()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "table"
    target.write_bytes(b"old")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom quantgod.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as part:\n"
        "    part.write_bytes(b'new')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, str(target)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    assert target.read_bytes() == b"old"


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "table"
    with atomic_path(target) as first, atomic_path(target) as second:
        assert first != second
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert target.read_bytes() == b"first"  # the outer one ended last
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_has_the_usual_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "table") as part:
            part.write_bytes(b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "table").stat().st_mode) == 0o640


def test_json_is_readable_sorted_and_without_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", {"b": 1, "a": [0.1, None]})
    text = (tmp_path / "report.json").read_text()
    assert json.loads(text) == {"a": [0.1, None], "b": 1}
    assert text.index('"a"') < text.index('"b"') and text.endswith("\n")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "report.json", {"a": float("nan")})
    assert (tmp_path / "report.json").read_text() == text


def test_digests_know_content_and_not_order(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(b"abc" * 1_000_000)
    assert file_digest(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    assert value_digest({"a": 1, "b": 2}) == value_digest({"b": 2, "a": 1})
    assert value_digest({"a": 1}) != value_digest({"a": 2})


def test_a_trees_digest_knows_names_contents_and_not_its_place(tmp_path: Path) -> None:
    digests = []
    for root, name, content in [
        ("one", "a.py", "x"), ("two", "a.py", "x"), ("three", "b.py", "x"), ("four", "a.py", "y"),
    ]:  # fmt: skip
        (tmp_path / root).mkdir()
        (tmp_path / root / name).write_text(content)
        (tmp_path / root / "z.py").write_text("")
        paths = list((tmp_path / root).iterdir())
        digests.append(tree_digest(tmp_path / root, reversed(paths)))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
