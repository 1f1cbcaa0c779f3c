"""The small evaluation again, of three members under one combiner."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from quantgod.auditor.auditor_input import AuditorInput, Look, served_input, votes_of
from quantgod.contracts import Progress, silent
from quantgod.dataset.labels import label
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.subject import Answers, RawMaterial
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.panel import panel_of
from quantgod.served.combiners.panel import votes_of as said_of
from quantgod.served.combiners.votes import Rules
from quantgod.served.combiners.weights import Hedge
from quantgod.settings import with_values
from tests.evaluation.evaluations import (
    WINDOW,
    Case,
    ImbalanceSubject,
    out_of_fold_rows,
    small_settings,
)
from tests.synthetic import synthetic_bars

MEMBERS = ("near", "far", "blind")
EVERY = 5
COMBINER = Combiner(
    MEMBERS,
    "weighted_voting",
    (2.0, 1.0, 1.0),
    Rules(quorum=2, confidence_threshold=0.7, class_weights=ImbalanceSubject.base_weights),
    online=Hedge(rate=1.0, delay=60 // EVERY),
    every=EVERY,
)


class MembersSubject(ImbalanceSubject):
    """Two members look at the imbalance of their windows, and one says NEUTRAL of each.

    Of the first `silent` rows `far` says nothing, and `blind` nothing of half of them.
    """

    def __init__(self, combiner: Combiner = COMBINER, silent: int = 0) -> None:
        super().__init__()
        self.combiner, self.silent = combiner, silent

    def ask(
        self, material: RawMaterial, rows: np.ndarray, progress: Progress = silent
    ) -> AuditorInput:
        of = {"near": 10, "far": WINDOW, "blind": WINDOW}
        said = [self.meta(material.matrix, rows, length) for length in of.values()]
        said[2][:, :3] = (0.3, 0.4, 0.3)
        said[1][: self.silent], said[2][: self.silent // 2] = np.nan, np.nan
        weights, tilts = None, [self.base_weights] * len(of)
        if material.outcomes is not None:
            came = (part[rows] for part in material.outcomes)
            weights, _ = self.combiner.weights_over(said_of(said, tilts), *came)
        panel = panel_of(self.combiner, said, tilts, [*of.values()], weights)
        looks = {name: Look(length, 9, name == "far") for name, length in of.items()}
        votes = votes_of(panel, self.combiner, looks)
        return served_input(panel.meta, self.base_weights)._replace(votes=votes)

    def answers(self, audited: np.ndarray, consent: np.ndarray | None = None) -> Answers:
        free = super().answers(audited)
        if consent is None:
            return free
        return free._replace(action=np.where(free.action == consent, free.action, 1))


@cache
def ensemble_case(silent: int = 0, signal: float = 0.8) -> Case:
    settings = with_values(small_settings(), {"split.test_fraction": 0.4})
    table = label(synthetic_bars(8_000, signal=signal, seed=3), settings.label, 5)
    out_of_fold = out_of_fold_rows(table, ImbalanceSubject(), settings)
    subject = MembersSubject(silent=silent)
    evaluated = evaluate(subject, table, out_of_fold, settings)
    return Case(subject, table, out_of_fold, settings, evaluated)


def unheard(combiner: Combiner = COMBINER) -> Combiner:
    """A combiner whose quorum nobody reaches."""
    return replace(combiner, rules=replace(combiner.rules, quorum=4))
