"""All that a report of forecasts is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quantgod.contracts import Floats
from quantgod.evaluation.forecasts.evaluate import ForecastEvaluation
from quantgod.evaluation.forecasts.outcomes import Outcomes
from quantgod.evaluation.plots.forecasts import Course, Fan
from quantgod.evaluation.plots.forecasts.learned import Times
from quantgod.gates import Gate


@dataclass(frozen=True, eq=False)
class ForecastMaterial:
    """All that a report of forecasts is made from; what is not given is not shown.

    Attributes:
        evaluation: the scores.
        outcomes: what they are of, one of each horizon in the same order.
        gates: verdicts on them.
        fans: the newest forecasts, by coin.
        courses: trainings of the members.
        time: (n,) moments of the weights, oldest first.
        weights: (n,) of each expert, by horizon: means over coins.
        attention_time: (m,) moments of the attention.
        attention: (m, window) shares of a network's attention.
        importance: of features in trees, by horizon.
        settings: of the run.
        lineage: what it was made from: data, runs, digests.
        market: says that the market is simulated, if it is.
    """

    evaluation: ForecastEvaluation
    outcomes: Sequence[Outcomes]
    gates: Sequence[Gate] = ()
    fans: Sequence[Fan] = ()
    courses: Mapping[str, Course] = field(default_factory=dict)
    time: Times | None = None
    weights: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)
    attention_time: Times | None = None
    attention: Floats | None = None
    importance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    market: str = ""
