"""Store a ledger as the parameters of one run, which no store allows to change.

`log_param` with an existing number raises: of two writers that append the same entry, one wins and
the other gets an error. The run must be unique too. The name of an experiment is unique: the
process that creates the experiment `deployments/NAME@ALIAS` names the run in its tag, in one call,
and all others read it there.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException

from quantgod.registry.ledger import (
    Entry,
    Ledger,
    LedgerError,
    digest_of,
    head_text,
    key_of,
    ledger_of,
    text_of,
)
from quantgod.tracking.store import NOTE_TAG

LEDGERS: Final = "deployments"
LEDGER_TAG: Final = "quantgod.ledger"
HEAD_TAG: Final = "quantgod.ledger.head"
NOTE: Final = "Ledgers: which version had an alias, since when and by which right, as parameters."


class ConcurrentPromotionError(RuntimeError):
    """Another promotion or rollback of the same alias was faster, or is in progress."""


class LedgerRun:
    """The ledger of one alias in the tracking store.

    Args:
        client: of the store.
        name: of the registered model.
        alias: of the ledger.
    """

    def __init__(self, client: MlflowClient, name: str, alias: str) -> None:
        self.client = client
        self.title = f"{name}@{alias}"

    def read(self) -> Ledger:
        """Read the ledger and check its chain; it is empty if nothing was ever written.

        Raises:
            LedgerError: if it was changed or deleted.
        """
        run_id = self._nominated()
        return ledger_of(self.title, {}) if run_id is None else self._read(run_id)

    def append(self, ledger: Ledger, entry: Entry) -> Ledger:
        """Append an entry to the ledger as it was read; return the new ledger.

        Raises:
            ConcurrentPromotionError: if another writer has appended since.
        """
        run_id = self._nominated() or self._nominate()
        number, text = len(ledger.entries) + 1, text_of(entry)
        try:
            self.client.log_param(run_id, key_of(number), text, synchronous=True)
        except MlflowException:
            # Refused, or the answer was lost: the stored entry tells which.
            found = self._read(run_id)
            if len(found.entries) < number:
                raise
            if found.entries[number - 1] != entry:
                raise ConcurrentPromotionError(
                    _told(self.title, found.entries[number - 1])
                ) from None
        with suppress(MlflowException):  # the entry is stored; its head may lag behind
            self.client.set_tag(run_id, HEAD_TAG, head_text(number, text))
        return Ledger(self.title, (*ledger.entries, entry), digest_of(text))

    def _read(self, run_id: str) -> Ledger:
        # Read the head first, in a separate call: a store reads parameters before tags, and an
        # entry appended between the two would seem to be lost.
        head = self._run(run_id).data.tags.get(HEAD_TAG)
        return ledger_of(self.title, self._run(run_id).data.params, head)

    def _run(self, run_id: str) -> Run:
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise LedgerError(f"{self.title}: the ledger was deleted: {error.message}") from None
        if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
            raise LedgerError(f"{self.title}: the ledger was deleted: restore run {run_id}")
        return run

    def _nominated(self) -> str | None:
        """Return the id of the ledger's run; None if there was never one."""
        found = self.client.get_experiment_by_name(f"{LEDGERS}/{self.title}")
        if found is None:
            return None
        if found.lifecycle_stage != LifecycleStage.ACTIVE or LEDGER_TAG not in found.tags:
            raise LedgerError(f"{self.title}: the experiment {found.name} was deleted or changed")
        return str(found.tags[LEDGER_TAG])

    def _nominate(self) -> str:
        """Create the run, unless another process was faster."""
        run = self.client.create_run(_experiment(self.client), run_name=self.title)
        run_id = str(run.info.run_id)
        self.client.update_run(run_id, status="FINISHED")  # it still takes entries
        note = f"The ledger of {self.title}: the parameters of run {run_id}, in `{LEDGERS}`."
        try:
            tags = {LEDGER_TAG: run_id, NOTE_TAG: note}
            self.client.create_experiment(f"{LEDGERS}/{self.title}", tags=tags)
        except MlflowException:
            nominated = self._nominated()
            if nominated is None:
                raise
            if nominated != run_id:
                self.client.delete_run(run_id)
            return nominated
        return run_id


def _experiment(client: MlflowClient) -> str:
    """Return the experiment of the ledgers' runs; it is created if needed."""
    found = client.get_experiment_by_name(LEDGERS)
    if found is None:
        try:
            return client.create_experiment(LEDGERS, tags={NOTE_TAG: NOTE})
        except MlflowException:
            found = client.get_experiment_by_name(LEDGERS)
            if found is None:
                raise
    return str(found.experiment_id)


def _told(title: str, winner: Entry) -> str:
    return (
        f"{title}: another was first: {winner.kind} of version {winner.version} by {winner.by} "
        f"({winner.process}) at {winner.at}; nothing was changed here"
    )
