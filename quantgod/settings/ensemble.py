"""Settings of an ensemble: how its members' forecasts become one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from quantgod.settings.section import Fraction, Positive, PositiveFloat, Section

Strategy = Literal[
    "weighted_voting", "unanimous", "majority", "confidence_based", "adaptive", "logarithmic_pool",
    "hedge", "stacking",
]  # fmt: skip

Share = Annotated[float, Field(ge=0, le=1)]


class EnsembleSettings(Section):
    """How the forecasts of all `members` become one.

    Attributes:
        disabled: members that are trained like the others and have no vote: an ensemble is as if
            they were absent, and to enable one later takes no training.
        strategy: the five of document 001; `logarithmic_pool`; `hedge`, whose weights move with the
            members' log-losses; `stacking`, a logarithmic pool of fitted weights.
        weights: of members by name, before any outcome; 1 where none is given. Only their ratios
            count. `stacking` fits its own.
        min_confidence: of members by name; below it a member is not heard.
        quorum: members that have to speak; with fewer there is no signal.
        min_agreement: share of the speaking members that have to decide as the ensemble does.
        confidence_threshold: the ensemble's least confidence.
        neutral_threshold: the ensemble is NEUTRAL where its probabilities of BUY and SELL are
            closer.
        half_life: of `adaptive`: outcomes after which one counts half.
        prior: of `adaptive`: outcomes of equal accuracy that every member starts with.
        rate: of `hedge`: how fast it learns.
        share: of `hedge`: the part of the weights that each independent outcome gives back to the
            first ones.
    """

    disabled: tuple[str, ...] = ()
    strategy: Strategy = "weighted_voting"
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    min_confidence: dict[str, Share] = Field(default_factory=dict)
    quorum: Positive = 1
    min_agreement: Share = 0.0
    confidence_threshold: Share = 0.0
    neutral_threshold: Share = 0.0
    half_life: PositiveFloat = 1440.0
    prior: PositiveFloat = 60.0
    rate: PositiveFloat = 0.1
    share: Fraction = 0.01
