"""Check that no out-of-fold row was made with knowledge of its own future."""

from __future__ import annotations

from typing import Final

import pandas as pd

from quantgod.contracts import META_FEATURES

PROVENANCE: Final = ("time", "label_end", "fold", "trained_until", "weight")
OOF_COLUMNS: Final = (*META_FEATURES, "target", *PROVENANCE)
"""Columns of an out-of-fold frame.

The meta-features and `target`; `time`, the window's last minute; `label_end`, the label's last
minute; `fold`, counted from 1; `trained_until`, the last label end that the fold's base model used
in fitting, stopping or scaling; `weight`, the label's uniqueness within its fold. Times are UTC.
"""


class ProvenanceError(ValueError):
    """A row was made, or would be used, with knowledge of its own future."""


def assert_provenance(frame: pd.DataFrame) -> None:
    """Check that each row's base model used no label that ends at or after the row's minute.

    Raises:
        ProvenanceError: naming the number of failing rows and the first one; also if rows are out
            of order, lack a provenance, or a fold has two models, since the check then proves
            nothing.
    """
    missing = [name for name in OOF_COLUMNS if name not in frame.columns]
    if missing:
        raise ProvenanceError(f"out-of-fold rows lack {', '.join(missing)}")
    if not len(frame):
        raise ProvenanceError("no out-of-fold rows")
    unknown = frame[list(PROVENANCE)].isna().any(axis=1)
    _refuse(frame, unknown, "have no full provenance")
    _refuse(
        frame,
        ~(frame["trained_until"] < frame["time"]),
        "were forecast by a model that saw past them",
    )
    _refuse(frame, ~(frame["time"] < frame["label_end"]), "have a label that ends before it begins")
    _refuse(frame, frame["time"].diff() <= pd.Timedelta(0), "do not come after the row before")
    _refuse(frame, frame["fold"].diff() < 0, "are of an older fold than the row before")
    models = frame.groupby("fold")["trained_until"].transform("nunique")
    _refuse(frame, models > 1, "are of a fold with more than one model")


def assert_unseen(frame: pd.DataFrame, first: pd.Timestamp) -> None:
    """Check that all labels of out-of-fold rows end before minute `first`.

    Raises:
        ProvenanceError: if a label of `frame` ends at or after `first`.
    """
    _refuse(
        frame,
        ~(frame["label_end"] < first),
        f"have a label that reaches into the rows from {first}",
    )


def assert_untrained(trained_until: str, first: pd.Timestamp) -> None:
    """Check that a network was trained on no label that ends at or after minute `first`.

    Args:
        trained_until: the last label end of its training, ISO 8601, from its card.
        first: first minute of the rows on which it will be judged.

    Raises:
        ProvenanceError: naming both times.
    """
    if not pd.Timestamp(trained_until) < first:
        raise ProvenanceError(
            f"the network learned from labels up to {trained_until}, and the test part begins at "
            f"{first.isoformat()}: train and audit were given different splits or labels"
        )


def _refuse(frame: pd.DataFrame, wrong: pd.Series[bool], what: str) -> None:
    if wrong.any():
        row = frame.loc[wrong, [name for name in PROVENANCE if name in frame]].iloc[0]
        where = ", ".join(f"{name} {value}" for name, value in row.items())
        raise ProvenanceError(f"{int(wrong.sum())} of {len(frame)} rows {what}; the first: {where}")
