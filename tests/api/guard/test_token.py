"""The token is shown once; what is kept cannot be turned back into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantgod.api.guard.token import TOKEN_FILE, NoTokenError, is_token, kept_hash, new_token


def test_its_hash_alone_is_kept_in_a_file_of_its_owner(tmp_path: Path) -> None:
    token = new_token(tmp_path / "own")
    path = tmp_path / "own" / TOKEN_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == [TOKEN_FILE]
    assert token not in path.read_text() and len(token) >= 43
    assert is_token(token, kept_hash(path.parent))


@pytest.mark.parametrize("wrong", ["", "x", "{}x", "x{}", " {}", "ß"])
def test_no_other_text_is_the_token(wrong: str, tmp_path: Path) -> None:
    token = new_token(tmp_path)
    assert not is_token(wrong.format(token), kept_hash(tmp_path))
    assert not is_token(kept_hash(tmp_path), kept_hash(tmp_path)), "the hash opens nothing"


def test_a_new_one_ends_the_one_before(tmp_path: Path) -> None:
    first, second = new_token(tmp_path), new_token(tmp_path)
    assert not is_token(first, kept_hash(tmp_path)) and is_token(second, kept_hash(tmp_path))


def test_without_one_it_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoTokenError, match=r"there is none; `python -m steps\.manage --new-token`"):
        kept_hash(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700])
def test_a_file_that_others_can_reach_is_refused(mode: int, tmp_path: Path) -> None:
    new_token(tmp_path)
    (tmp_path / TOKEN_FILE).chmod(mode)
    with pytest.raises(NoTokenError, match=rf"mode 0600\) expected, got mode {mode:04o} of user"):
        kept_hash(tmp_path)


@pytest.mark.parametrize("text", ["", "f" * 63, "F" * 64, "g" * 64])
def test_a_damaged_file_is_refused(text: str, tmp_path: Path) -> None:
    new_token(tmp_path)
    (tmp_path / TOKEN_FILE).write_text(text)
    with pytest.raises(NoTokenError, match="64 hexadecimal digits expected"):
        kept_hash(tmp_path)
