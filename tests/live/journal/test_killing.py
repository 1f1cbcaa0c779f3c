from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.live.journal.killing import kill_round


@pytest.mark.long
def test_after_24_kills_every_acknowledged_row_is_there_once_and_in_order() -> None:
    """`make soak` kills 200."""
    with ThreadPoolExecutor(2) as rounds:
        results = list(rounds.map(kill_round, range(2), [12, 12]))
    assert sum(result.kills for result in results) == 24
    assert sum(result.rows for result in results) > 100
    assert sum(result.lost for result in results) > 0  # else no kill came before an acknowledgement
