"""Check the auditor's rows from their file only, without table, settings or code."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import pandas as pd

from quantgod.auditor.audit import CALIBRATION, FIT, PURGED, STOPPING
from quantgod.auditor.provenance import ProvenanceError, assert_provenance

ORDER: Final = (FIT, STOPPING, CALIBRATION)


def provenance_of(path: Path) -> str | None:
    """Return what is wrong with the provenance of the rows in a Parquet file, or None."""
    try:
        check_rows(pd.read_parquet(path))
    except (OSError, ValueError) as error:
        return f"{path.name}: {error}"
    return None


def check_rows(rows: pd.DataFrame) -> None:
    """Check each row's model against the row's minute, and each part against the next.

    Every row names the last label end used by its fold's model, which must lie before the row.
    Labels of the booster's fit rows must end before the first stopping row; labels of stopping rows
    must end before the first calibration row.

    Raises:
        ProvenanceError: naming what does not hold.
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
