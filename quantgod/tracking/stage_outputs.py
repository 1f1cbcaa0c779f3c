"""Load what a stage takes from earlier runs: networks, auditors' files and forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from quantgod.auditor.out_of_fold import ROWS_FILE
from quantgod.contracts import Series
from quantgod.dataset.series import read_series
from quantgod.ensemble.ensemble import Ensemble, load_ensemble
from quantgod.forecasters.network import Network, load_network
from quantgod.tracking.ensembles import ENSEMBLE
from quantgod.tracking.keys import artifacts_of
from quantgod.tracking.stage import StageRun


class TrainOutput(NamedTuple):
    """A base network and the series it was trained on."""

    network: Network
    series: Series


class AuditOutput(NamedTuple):
    """The folder of an auditor's files, its series, and the out-of-fold rows."""

    folder: Path
    series: Series
    rows: pd.DataFrame


def train_output(run: StageRun, folder: Path) -> TrainOutput:
    """Return the output of the given train run; its files are downloaded into `folder`."""
    found = artifacts_of(run.needed("train"), "network", folder)
    return TrainOutput(load_network(found), read_series(found))


class BaseOutput(NamedTuple):
    """What an auditor audits, and the series that it was trained on."""

    base: Network | Ensemble
    series: Series


def base_output(run: StageRun, folder: Path) -> BaseOutput:
    """Return what a run's audit has audited: a train run's network, or an ensemble of its own."""
    if "members" in run.upstream:
        audit = run.needed("audit")
        ensemble = load_ensemble(artifacts_of(audit, ENSEMBLE, folder))
        return BaseOutput(ensemble, read_series(artifacts_of(audit, "auditor", folder)))
    return BaseOutput(*train_output(run, folder))


def audit_output(run: StageRun, folder: Path) -> AuditOutput:
    """Return the output of the given audit run; its files are downloaded into `folder`."""
    found = artifacts_of(run.needed("audit"), "auditor", folder)
    return AuditOutput(found, read_series(found), out_of_fold_rows(run, folder))


def out_of_fold_rows(run: StageRun, folder: Path) -> pd.DataFrame:
    """Return the out-of-fold rows of the audit run."""
    kept = artifacts_of(run.needed("audit"), "out_of_fold", folder)
    return pd.read_parquet(kept / ROWS_FILE)
