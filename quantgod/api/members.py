"""Tell of the ensemble in place and its members."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from quantgod.api.answers import AbsentError, FieldError
from quantgod.api.desk import Desk
from quantgod.evaluation.evidence import EvidenceError
from quantgod.registry.members import combiner_of, scores_of
from quantgod.registry.own_settings import NoOwnSettingsError, own_settings
from quantgod.registry.registered import holder, known_version
from quantgod.registry.switching import disabled_members
from quantgod.served.combiners.combiner import Combiner
from quantgod.settings import Settings, members_of


@dataclass(frozen=True)
class InPlace:
    """The ensemble in place.

    Attributes:
        version: as the registry knows it.
        combiner: of its members.
        made_with: settings of each member by name; none where they are not known.
        strategy: by its name in the settings.
        own: settings that it was made with; None where they are not known.
        disabled: why members abstain until they are enabled again, by name.
    """

    version: ModelVersion
    combiner: Combiner
    made_with: dict[str, Settings]
    strategy: str
    own: Settings | None = None
    disabled: Mapping[str, str] = field(default_factory=dict)

    def accuracy(self, member: str) -> float | None:
        """Return a member's accuracy on the test part; None if it was not scored."""
        with suppress(MlflowException, EvidenceError):
            score = scores_of(self.version).get(member, {}).get("accuracy")
            return None if score is None else score.value
        return None


def check_member(found: InPlace, member: str) -> None:
    """Check that an ensemble has a member.

    Raises:
        FieldError: naming those that it has.
    """
    if member not in found.combiner.members:
        known = ", ".join(found.combiner.members)
        raise FieldError("body.model_type", f"one of the members {known} expected")


def in_place(desk: Desk) -> InPlace:
    """Return the ensemble that the alias points at.

    Raises:
        AbsentError: if there is no version in place, or it is of a single network.
        BrokenVersionError: if its files were changed.
        LedgerError: if the ledger was changed.
    """
    number = holder(desk.client, desk.name, desk.alias)
    if number is None:
        raise AbsentError(f"{desk.name}@{desk.alias}: no version is in place")
    found = known_version(desk.client, desk.name, number)
    combiner = combiner_of(found)
    if combiner is None:
        raise AbsentError(f"{desk.name} {number} is of a single network, which has no members")
    disabled = disabled_members(desk.client, desk.name, desk.alias, number)
    try:
        own = own_settings(found)
    except NoOwnSettingsError:
        return InPlace(found, combiner, {}, combiner.strategy, None, disabled)
    named = combiner.strategy if own.ensemble is None else own.ensemble.strategy
    return InPlace(found, combiner, members_of(own), named, own, disabled)
