"""The auditor's rows judged by their file alone: no table, no settings, no code that made them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import pandas as pd

from quantgod.auditor.audit import CALIBRATION, FIT, PURGED, STOPPING
from quantgod.auditor.provenance import ProvenanceError, assert_provenance

ORDER: Final = (FIT, STOPPING, CALIBRATION)


def provenance_of(path: Path) -> str | None:
    """What is wrong with the provenance of the rows in a Parquet file; None if nothing is."""
    try:
        check_rows(pd.read_parquet(path))
    except (OSError, ValueError) as error:
        return f"{path.name}: {error}"
    return None


def check_rows(rows: pd.DataFrame) -> None:
    """Check each row's model against the row's minute, and each part against the next one.

    Every row names the last label end that its fold's model has seen, which must lie before the
    row. Rows that fitted the booster must have labels that end before the first row that stopped
    it; those, before the first that the calibrator was fitted on.

    Raises:
        ProvenanceError: saying what does not hold.
    """
    assert_provenance(rows)
    if "part" not in rows.columns:
        raise ProvenanceError("the rows do not say what each was used for: no column `part`")
    unknown = sorted(set(rows["part"].astype(str)) - {*ORDER, PURGED})
    if unknown:
        raise ProvenanceError(f"parts {', '.join((*ORDER, PURGED))} expected, got {unknown}")
    for part in ORDER:
        if not (rows["part"] == part).any():
            raise ProvenanceError(f"no row is said to be for {part}")
    for older, newer in pairwise(ORDER):
        _check_border(rows, older, newer)


def _check_border(rows: pd.DataFrame, older: str, newer: str) -> None:
    ends = rows.loc[rows["part"] == older, "label_end"]
    first = rows.loc[rows["part"] == newer, "time"].min()
    reaching = int((ends >= first).sum())
    if reaching:
        raise ProvenanceError(
            f"{reaching} of {len(ends)} rows for {older} have a label that reaches the rows for "
            f"{newer}, which begin at {first}"
        )
