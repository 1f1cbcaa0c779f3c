"""Evaluate an ensemble of trained networks and its auditor that are not yet a version."""

from __future__ import annotations

from quantgod.auditor.auditor import Auditor
from quantgod.auditor.auditor_input import AuditorInput, Look, graph_rows
from quantgod.contracts import Floats, Integers, Progress, silent
from quantgod.ensemble.ensemble import Ensemble
from quantgod.evaluation.members import asked_rows, input_of_members
from quantgod.evaluation.network_subject import Asked, Audited, Weights
from quantgod.evaluation.subject import RawMaterial
from quantgod.served.combiners.panel import Panel, panel_of, votes_of
from quantgod.served.combiners.votes import Votes


class EnsembleSubject(Audited):
    """A subject that asks the networks of an ensemble, and combines what they say.

    Args:
        name: name in reports, such as `run ID`.
        ensemble: its networks are moved to the device when used.
        auditor: fitted on out-of-fold forecasts of such ensembles.
        batch_size: windows per batch.
        device: auto, cpu or cuda.
    """

    def __init__(
        self, name: str, ensemble: Ensemble, auditor: Auditor, batch_size: int, device: str = "auto"
    ) -> None:
        super().__init__(auditor)
        self.name = name
        self.window = ensemble.window
        self.columns = ensemble.inputs.columns
        self.block = ensemble.book
        self.base_weights: Weights = ensemble.class_weights
        self.combiner = ensemble.combiner
        self._networks = tuple(ensemble.members.values())
        self._looks = {
            name: Look(one.window, len(one.inputs.columns), one.book is not None)
            for name, one in ensemble.members.items()
        }
        self._asked = [Asked(one, batch_size, device) for one in self._networks]

    def ask(
        self, material: RawMaterial, rows: Integers, progress: Progress = silent
    ) -> AuditorInput:
        """Return what the members say together of the windows of `material` that end at `rows`.

        Their weights move with the outcomes of these rows, and of `material.earlier`, that were
        known before each.
        """
        asked = asked_rows(self, material, rows)
        said = [graph_rows(ask(material, asked, progress)) for ask in self._asked]
        return input_of_members(self, self._looks, said, material, asked, len(rows))

    def votes(self, said: list[Floats]) -> Votes:
        """Return what the members say as votes."""
        return votes_of(said, [one.class_weights for one in self._networks])

    def combine(self, said: list[Floats], weights: Floats | None = None) -> Panel:
        """Return the panel of what the members say; as the served chain has it."""
        lengths = [one.window for one in self._networks]
        tilts = [one.class_weights for one in self._networks]
        return panel_of(self.combiner, said, tilts, lengths, weights)
