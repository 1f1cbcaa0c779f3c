"""Make the reference for live rows: the distributions of a version's own rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from quantgod.auditor.audit import FIT
from quantgod.auditor.auditor import Auditor
from quantgod.auditor.provenance import assert_provenance
from quantgod.contracts import FEATURES, META_FEATURES, Floats
from quantgod.dataset.learning_table import whole_rows
from quantgod.dataset.scaling import Scaler
from quantgod.evaluation.drift import OUTPUTS, Distribution, Reference, distribution


def reference_of(
    table: pd.DataFrame,
    scaler: Scaler,
    auditor: Auditor,
    out_of_fold: pd.DataFrame,
    columns: Sequence[str] = FEATURES,
) -> Reference:
    """Return the distributions of the dev part, all of it before the test part.

    Features: all rows that the network can look at, up to the last out-of-fold one, which is the
    end of dev. Mean and standard deviation are the scaler's (fitted on the older part of dev),
    since the network scales by them; the quantiles are of all dev rows.

    Output: calibrated probabilities of the out-of-fold rows that the booster was not fitted on,
        since
    it is overconfident on its own rows. These are the last fold's: its older rows stopped the
    booster, and its newer ones fitted the calibrator's six numbers. Their base model is the fold's,
    not the served one, which has learned from them.

    Args:
        table: what the network learned from.
        scaler: of the served network.
        auditor: as it is served.
        out_of_fold: the audit's rows, with column `part`.
        columns: of the table, as the scaler has them.

    Raises:
        ProvenanceError: if a row's model was trained on data at or after the row.
        ValueError: if no row is left.
    """
    assert_provenance(out_of_fold)
    until = out_of_fold["time"].max()
    rows = whole_rows(table)
    dev = rows.loc[rows.index <= until, list(columns)].to_numpy(np.float64)
    unseen = out_of_fold.loc[out_of_fold["part"] != FIT, list(META_FEATURES)]
    said = auditor.predict(unseen.to_numpy(np.float64))
    return Reference(
        features=_features(dev, scaler, columns),
        output={name: distribution(said[:, place]) for place, name in enumerate(OUTPUTS)},
        until=until.isoformat(),
    )


def _features(dev: Floats, scaler: Scaler, columns: Sequence[str]) -> dict[str, Distribution]:
    std = np.where(scaler.moves, scaler.std, 1.0)
    scale = zip(scaler.mean.tolist(), std.tolist(), strict=True)
    return {
        name: distribution(dev[:, place], mean, std)
        for place, (name, (mean, std)) in enumerate(zip(columns, scale, strict=True))
    }
