"""The management API behind a real socket, as `steps.manage` serves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.serving import Served, served
from tests.registry.conftest import parts, registered, shelf, store, template
from tests.registry.shelves import Shelf

__all__ = ["parts", "registered", "shelf", "store", "template"]


@pytest.fixture
def api(shelf: Shelf, tmp_path: Path) -> Iterator[Served]:
    """It manages the cheap versions of a store of its own."""
    with served(tmp_path) as running:
        yield running
