"""Keep the folds of a network with its run: charts and reports, and the rows for a later stage.

Each fold's rows lie in a folder named by a digest of all that they depend on. So `audit` takes the
folds that `train` made, as far as its settings ask for the same, and trains the others itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from quantgod.auditor.learner import FOLDS
from quantgod.auditor.out_of_fold import ROWS_FILE
from quantgod.auditor.reports import FoldReport, Hooks
from quantgod.contracts import Progress
from quantgod.tracking.keys import artifacts_of
from quantgod.tracking.stage import StageRun
from quantgod.training.reports import Epoch


class FoldLog:
    """Logs the epochs of folds as charts, each once: as it ends, or with its finished fold."""

    def __init__(self, run: StageRun) -> None:
        self._run = run
        self._logged: set[tuple[int, int]] = set()

    def hooks(self, progress: Progress) -> Hooks:
        """Return the hooks of a walk over the folds."""
        return Hooks(on_epoch=self._epoch, on_fold=self._fold, progress=progress)

    def _epoch(self, fold: int, epoch: Epoch) -> None:
        if (fold, epoch.epoch) in self._logged:
            return
        self._logged.add((fold, epoch.epoch))
        # No more than these: all metrics of five folds would be 65 charts.
        charted = {"validation_loss": epoch.validation_loss, "score": epoch.score}
        named = {f"fold_{fold}_{name}": of for name, of in charted.items()}
        self._run.metrics.log(named, epoch.epoch)

    def _fold(self, report: FoldReport) -> None:
        for epoch in report.history:
            self._epoch(report.fold, Epoch(**epoch))


def fetch_folds(run: StageRun) -> None:
    """Put the folds that its train run has made into a stage's workplace, where a learner looks."""
    train = run.needed("train")
    if run.client.list_artifacts(train, FOLDS):
        artifacts_of(train, FOLDS, run.workplace())


def folds_taken(run: StageRun, folds: Sequence[FoldReport]) -> str:
    """Return in one line how many folds were there, and who has made them; empty if none was."""
    train, taken = run.upstream["train"], sum(fold.reused for fold in folds)
    if not taken:
        return ""
    makers = "an earlier start of this command"
    if run.client.list_artifacts(train, FOLDS):
        makers = f"train run {train} or {makers}"
    return f"{taken} of {len(folds)} folds are those of {makers}"


def log_folds(run: StageRun, folds: Sequence[FoldReport]) -> None:
    """Store the reports of folds, and their epochs."""
    reports = [dict(vars(report)) for report in folds]
    told = [(report["fold"], epoch) for report in reports for epoch in report.pop("history")]
    run.json("folds", reports)
    run.json("fold_epochs", [{"fold": fold, **epoch} for fold, epoch in told])


def keep_folds(run: StageRun) -> None:
    """Store the rows of finished folds with the run."""
    for rows in (run.workplace() / FOLDS).glob(f"*/{ROWS_FILE}"):
        target = run.folder(FOLDS) / rows.parent.name
        target.mkdir()
        shutil.copy2(rows, target)
