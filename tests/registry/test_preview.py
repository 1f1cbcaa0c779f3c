"""What a change of an ensemble would do to the scores that `evaluate` has given it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from quantgod.contracts import META_FEATURES
from quantgod.evaluation.ensemble_scores import ENSEMBLE
from quantgod.evaluation.scored_rows import columns_of, probabilities_of
from quantgod.registry.preview import SCORES, Kept, PreviewError, WhatIf, _fitted, preview
from quantgod.served.calibration import decide
from quantgod.settings import EnsembleSettings, with_values
from tests.evaluation.ensembles import COMBINER, EVERY, MEMBERS, ensemble_case

HOW = EnsembleSettings(strategy="hedge", weights={"near": 2.0}, quorum=2, confidence_threshold=0.7)


@cache
def kept(strategy: str = "hedge", **more: object) -> Kept:
    """What would be kept of the case's version, had it learned from its first rows out of fold."""
    case = ensemble_case()
    own = case.settings.model_copy(
        update={"ensemble": HOW.model_copy(update={"strategy": strategy})}
    )
    tilts = {"audit.decision_weights": list(COMBINER.rules.class_weights)}
    tilts["train.class_weights"] = list(COMBINER.rules.class_weights)
    own = with_values(own, tilts | {f"members.{name}": {} for name in MEMBERS} | more)
    rows = case.evaluated.rows
    result = case.evaluated.result.ensemble
    assert result is not None
    return Kept(COMBINER, own, rows, result.unanswered, lambda: frames(rows))


def frames(rows: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """Rows that members have said before the test part: as many, and three months earlier."""
    early = rows["time"].iloc[-1] - rows["time"].iloc[0] + pd.Timedelta(days=1)
    made = {}
    for name in MEMBERS:
        said = probabilities_of(rows, name)
        decided = decide(said, COMBINER.rules.class_weights)
        told = pd.DataFrame(said, columns=columns_of("base")).assign(
            **dict.fromkeys(META_FEATURES, 0.5), confidence=said[np.arange(len(said)), decided],
            expected_return=np.nan, weight=1.0, fold=1,
            **{name: rows[name] - early for name in ("time", "label_end")},
            target=rows["target"], trained_until=rows["time"].iloc[0] - 2 * early,
        )  # fmt: skip
        made[name] = told
    return made


def test_the_preview_of_no_change_is_what_evaluate_has_stored_to_the_bit() -> None:
    result = ensemble_case().evaluated.result.ensemble
    assert result is not None
    told = preview(kept(), WhatIf())
    stored = {name: result.models[ENSEMBLE][name] for name in SCORES}
    assert told.now.scores == told.changed.scores == stored
    assert (told.rows, told.effective_rows) == (result.rows, result.effective_rows)
    assert told.now.answered == told.changed.answered == 1.0
    assert {(one.value, one.low, one.high) for one in told.differences.values()} == {(0, 0, 0)}
    assert preview(kept(), WhatIf(disabled=())) == told


def test_a_version_that_has_learned_out_of_fold_goes_on_from_there() -> None:
    case = kept()
    assert case.settings.ensemble is not None
    learned = case._replace(combiner=_fitted(case, case.settings.ensemble, case.frames()))
    assert learned.combiner.state is not None and learned.combiner.every == EVERY
    told = preview(learned, WhatIf(strategy="hedge"))
    assert told.now == told.changed, "the same weights, moved out of fold once more"
    assert told.now != preview(case, WhatIf()).now
    with pytest.raises(PreviewError, match="is not what its weights are of"):
        preview(case, WhatIf(strategy="hedge"))


def test_a_blind_member_that_is_not_heard_leaves_better_scores() -> None:
    told = preview(kept(), WhatIf(weights={"blind": 0.0}, strategy="weighted_voting"))
    loss = told.differences["log_loss"]
    assert loss.low < loss.value < 0 and loss.value < loss.high
    assert told.changed.scores["log_loss"].value < told.now.scores["log_loss"].value
    off = preview(kept(), WhatIf(strategy="weighted_voting", disabled=("blind",)))
    assert off.changed == told.changed, "heard with no weight, or not at all"


def test_whoever_is_disabled_counts_against_the_quorum() -> None:
    told = preview(kept(), WhatIf(disabled=("blind", "far")))
    assert (told.now.answered, told.changed.answered) == (1.0, 0.0)
    assert (told.rows, told.changed.scores, told.differences) == (0, {}, {})


@pytest.mark.parametrize(
    "strategy", ["majority", "unanimous", "logarithmic_pool", "confidence_based"]
)
def test_each_strategy_without_weights_of_its_own_needs_no_earlier_rows(strategy: str) -> None:
    told = preview(kept(), WhatIf(strategy=strategy))
    assert told.rows == len(kept().rows) and told.now != told.changed
    assert 0 < told.changed.scores["accuracy"].value < 1


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(PreviewError, match="one of the members near, far, blind expected, got x"):
        preview(kept(), WhatIf(weights={"x": 1.0}))
    with pytest.raises(PreviewError, match="a weight above 0"):
        preview(kept(), WhatIf(weights=dict.fromkeys(MEMBERS, 0.0), strategy="majority"))
    case = kept()
    sure = {name: one.assign(confidence=0.9) for name, one in case.frames().items()}
    with pytest.raises(PreviewError, match="confidence that near tells"):
        preview(case._replace(frames=lambda: sure), WhatIf(strategy="confidence_based"))
    silent = case._replace(combiner=replace(COMBINER, min_confidence=(0.5, 0.0, 0.0)))
    assert preview(silent, WhatIf()).rows
