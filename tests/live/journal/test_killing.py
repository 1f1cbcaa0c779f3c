from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.live.journal.killing import kill_round


def test_after_200_kills_every_acknowledged_row_is_there_once_and_in_order() -> None:
    with ThreadPoolExecutor(4) as rounds:
        results = list(rounds.map(kill_round, range(8)))
    assert sum(result.kills for result in results) == 200
    assert sum(result.rows for result in results) > 5_000
    assert sum(result.lost for result in results) > 0  # else no kill came before an acknowledgement
