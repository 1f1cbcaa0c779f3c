from __future__ import annotations

import pytest

from quantgod.registry import tryout_process
from quantgod.registry.registered import BrokenVersionError
from tests.registry.shelves import NAME, Shelf


def test_a_tryout_that_takes_too_long_is_told_with_its_seconds(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tryout_process, "TRYOUT_SECONDS", 0.01)
    with pytest.raises(BrokenVersionError, match=f"{NAME} 1: .* not over after 0.01 s"):
        tryout_process.try_version(NAME, 1)
