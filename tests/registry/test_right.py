from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from mlflow import MlflowClient

from quantgod.registry import right
from quantgod.registry.ledger import Ledger
from quantgod.registry.registered import known_version
from quantgod.registry.right import UnjudgedVersionError, right_of
from quantgod.registry.rollback import roll_back
from quantgod.registry.verdict import GatesError
from tests.registry.shelves import ALIAS, NAME, Shelf
from tests.registry.test_ledger import book_of, read


def of(number: int, alias: str = ALIAS) -> str:
    client = MlflowClient()
    return right_of(client, known_version(client, NAME, number), alias)


def test_a_version_that_nobody_judged_and_nobody_promoted_has_no_right(shelf: Shelf) -> None:
    shelf.put(1)
    shelf.point(2)  # an alias is no right
    for number in (2, 3):
        with pytest.raises(
            UnjudgedVersionError, match=f"never promoted as {ALIAS}.*gates.*promote"
        ):
            of(number)
    with pytest.raises(UnjudgedVersionError, match="never promoted as Challenger"):
        of(1, "Challenger")


def test_each_version_that_was_promoted_keeps_its_right_when_others_follow(shelf: Shelf) -> None:
    """Also after a rollback, which gives none of its own; of two promotions the newer one says."""
    for number, why in ((1, "the first"), (2, "the second"), (1, "once more"), (3, "the last")):
        shelf.put(number, why)
    for _ in range(2):
        assert "once more" in of(1)
        assert "the first" not in of(1)
        assert "the second" in of(2)
        assert "the last" in of(3)
        roll_back(NAME, ALIAS, reason="it lost money")


def test_passed_gates_are_the_right_and_no_promotion_is_asked_for(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Report:
        run_id = "a" * 8

    def fail(report: object, version: object) -> None:
        raise GatesError("its gates failed")

    monkeypatch.setattr(right, "report_of", lambda version: Report())
    monkeypatch.setattr(right, "check_passed", lambda report, version: None)
    shelf.put(2, "by hand")
    assert of(1) == of(2) == "gates passed (run aaaaaaaa)"
    monkeypatch.setattr(right, "check_passed", fail)
    assert "by hand" in of(2)
    with pytest.raises(UnjudgedVersionError, match="its gates failed, and was never promoted"):
        of(1)


def test_a_right_is_that_of_the_last_promotion_of_this_very_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = book_of([("promotion", 1), ("promotion", 2), ("promotion", 1), ("rollback", 2)])
    entries = [
        msgspec.structs.replace(entry, why=f"because of {place}")
        for place, entry in enumerate(read(book).entries)
    ]
    kept = SimpleNamespace(read=lambda: Ledger("title", tuple(entries), ""))
    monkeypatch.setattr(right, "LedgerRun", lambda *_: kept)
    client: Any = None
    for number, reason in ((1, "because of 4"), (2, "because of 2")):
        version: Any = SimpleNamespace(name="quantgod", version=str(number))
        found = right._promoted(client, version, "Production", "not judged")
        assert found == f"gates passed; {reason}"
    version = SimpleNamespace(name="quantgod", version="3")
    with pytest.raises(UnjudgedVersionError, match="not judged, and was never promoted as"):
        right._promoted(client, version, "Production", "not judged")
