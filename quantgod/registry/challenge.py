"""Compare a version with the champion, which is loaded and run."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from quantgod.contracts import FEATURE_SETS, Progress, silent
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.evaluation.drift import BadReferenceError, read_reference
from quantgod.gates import ChampionResult, Duel
from quantgod.gates.champion import JournalTables, Labelling, on_live_rows, on_test_rows
from quantgod.registry.chain_subject import ChainSubject
from quantgod.registry.registered import VersionError
from quantgod.registry.versions import load_chain
from quantgod.settings import Settings


class UnknownReachError(VersionError):
    """A version does not say which rows it was made on."""


class OtherFeaturesError(VersionError):
    """A version takes other features than the rows have."""


@dataclass(frozen=True)
class Challenge:
    """The inputs of a comparison.

    Attributes:
        name: of the registered model.
        challenger: number of the judged version.
        champion: number of the present champion.
        rows: the challenger's scored test rows.
        table: the labelled table of these rows.
        blocks: of their books, if the challenger looks at the book.
        journaled: journal tables of live sessions.
    """

    name: str
    challenger: int
    champion: int
    rows: pd.DataFrame
    table: pd.DataFrame
    blocks: BookBlocks | None
    journaled: JournalTables


def compare_with_champion(
    challenge: Challenge, settings: Settings, progress: Progress = silent
) -> ChampionResult:
    """Let the champion forecast the challenger's test rows, and compare live predictions.

    A champion that cannot be loaded, or does not say which rows it was made on, cannot be beaten:
        the
    result says so, since a person has to decide.

    Args:
        challenge: the inputs.
        settings: label, etl, evaluate and gates are read.
        progress: called after batches.
    """
    champion = f"{challenge.name}/{challenge.champion}"
    try:
        subject, until = _loaded(challenge)
    except (VersionError, BadReferenceError) as error:
        return ChampionResult(champion=champion, test=Duel(problem=str(error)))
    least = settings.gates.champion_rows
    labelling = Labelling(settings.label, settings.etl.max_bridge_minutes)
    horizon = pd.Timedelta(minutes=settings.label.horizon_minutes)
    # The challenger's test part begins after every label that it has learned from.
    both = max(until, challenge.rows["time"].iloc[0] - horizon)
    versions = (challenge.challenger, challenge.champion)
    return ChampionResult(
        champion=champion,
        test=on_test_rows(
            challenge.rows, challenge.table, subject, until, least, progress, challenge.blocks
        ),
        live=on_live_rows(challenge.journaled, versions, both, labelling, least),
    )


def _loaded(challenge: Challenge) -> tuple[ChainSubject, pd.Timestamp]:
    """Return the champion's chain, and the newest row of its dev part."""
    name, number = challenge.name, challenge.champion
    served = load_chain(name, number).unwrap_python_model()  # type: ignore[no-untyped-call]
    features = getattr(served.chain.contract, "feature_set", "that it does not name")
    held = _feature_sets(challenge.table)
    if features not in held:
        text = f"{name} {number} takes features {features}"
        raise OtherFeaturesError(f"{text}, and the rows hold {held[-1]}")
    reference = read_reference(served.chain.folder)
    until = None if reference is None else pd.to_datetime(reference.until, errors="coerce")
    if not isinstance(until, pd.Timestamp) or until.tz is None:
        raise UnknownReachError(f"{name} {number} does not say how far its data reaches")
    subject = ChainSubject(f"{name}/{number}", served.chain)
    held_books = None if challenge.blocks is None else challenge.blocks.book
    if subject.block not in (None, held_books):
        text = f"{name} {number} takes blocks of {subject.block} snapshots and levels of the book"
        raise OtherFeaturesError(f"{text}, and the rows hold {held_books or 'none'}")
    return subject, until


def _feature_sets(table: pd.DataFrame) -> list[str]:
    """Return the feature sets whose columns a table holds, the widest last."""
    return [name for name, columns in FEATURE_SETS.items() if set(columns) <= set(table.columns)]
