"""Promotions at once, in real processes: one wins, the others are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from quantgod.registry.deployments import deployments
from quantgod.registry.ledger_run import LEDGERS, LedgerRun
from quantgod.registry.registered import holder
from tests.registry.rivals import contest, rivals
from tests.registry.shelves import ALIAS, NAME, Shelf, tracked
from tests.servers import tracking_server

ROUNDS, ROUNDS_SERVED = 8, 4


def contests(uri: str, rounds: int) -> int:
    """Let two promote again and again; gives in how many rounds one of them was told."""
    client, told = MlflowClient(), 0
    with rivals(uri, NAME, ALIAS) as processes:
        for _ in range(rounds):
            before = len(LedgerRun(client, NAME, ALIAS).read().entries)
            outcomes = contest(processes, [1, 2])
            ledger = LedgerRun(client, NAME, ALIAS).read()
            winners = [version for version, said in zip([1, 2], outcomes, strict=True) if said.won]
            noted = [
                entry.version for entry in ledger.entries[before:] if entry.kind == "promotion"
            ]
            assert winners, outcomes
            assert sorted(noted) == sorted(winners), "the ledger knows those who won, no others"
            assert holder(client, NAME, ALIAS) == ledger.in_place == noted[-1]
            assert not deployments(client, NAME, ALIAS).trouble
            losers = [said for said in outcomes if not said.won]
            assert all("another was first" in s.told or "in place" in s.told for s in losers)
            told += len(losers)
    return told


def ledgers() -> int:
    client = MlflowClient()
    experiment = client.get_experiment_by_name(LEDGERS)
    assert experiment is not None
    return len(client.search_runs([experiment.experiment_id]))


@pytest.mark.long
def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(shelf: Shelf) -> None:
    """They may also come one after the other: then both win, and the ledger says so."""
    assert contests(shelf.uri, ROUNDS) > 0
    assert ledgers() == 1, "also of the first two, which began it"


@pytest.mark.long
def test_a_server_lets_one_win_too(tmp_path: Path) -> None:
    with tracking_server(tmp_path) as server, tracked(server.address):
        client = MlflowClient()
        client.create_registered_model(NAME)
        experiment = client.create_experiment("anything")
        for _ in range(2):
            run = client.create_run(experiment)
            client.create_model_version(NAME, run.info.artifact_uri, run.info.run_id)
        assert contests(server.address, ROUNDS_SERVED) > 0
        assert ledgers() == 1
