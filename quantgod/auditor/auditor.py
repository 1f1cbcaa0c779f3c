"""Combine a booster, its calibrator, a conformal threshold and a confidence into the auditor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import xgboost

from quantgod.auditor.boosting import (
    contributions,
    gain,
    load_booster,
    save_booster,
    tilted_probabilities,
)
from quantgod.auditor.calibration import Calibrator, load_calibrator
from quantgod.auditor.confidence import Confidence, load_confidence
from quantgod.auditor.conformal import Conformal, load_conformal
from quantgod.contracts import Floats, Integers

BOOSTER_FILE: Final = "booster.ubj"
CALIBRATOR_FILE: Final = "calibrator.json"
CONFORMAL_FILE: Final = "conformal.json"
CONFIDENCE_FILE: Final = "confidence.json"
FILES: Final = (BOOSTER_FILE, CALIBRATOR_FILE, CONFORMAL_FILE)
"""What every auditor has; earlier code has made auditors without `confidence.json`."""


@dataclass(frozen=True, eq=False)
class Auditor:
    """Turns meta-features into calibrated probabilities, classes and conformal sets.

    Its confidence is that the forecast it audits is right; None of an auditor without.
    """

    booster: xgboost.Booster
    calibrator: Calibrator
    conformal: Conformal
    confidence: Confidence | None = None

    def predict(self, meta: Floats) -> Floats:
        """Return the calibrated probabilities (n, 3) of meta-features (n, 14)."""
        return self.calibrator.apply(tilted_probabilities(self.booster, meta))

    def decide(self, probs: Floats) -> Integers:
        """Return the class of each row of calibrated probabilities, under the decision weights."""
        return self.calibrator.decide(probs)

    def gain(self) -> Floats:
        """Return the importance of each meta-feature: mean loss reduction of its splits, (14,)."""
        return gain(self.booster)

    def contributions(self, meta: Floats) -> Floats:
        """Return SHAP values by class and meta-feature, (n, 3, 15); the last column is the bias."""
        return contributions(self.booster, meta)

    def save(self, folder: Path) -> None:
        """Write `booster.ubj`, `calibrator.json`, `conformal.json` and `confidence.json`."""
        save_booster(self.booster, folder / BOOSTER_FILE)
        self.calibrator.save(folder / CALIBRATOR_FILE)
        self.conformal.save(folder / CONFORMAL_FILE)
        if self.confidence is not None:
            self.confidence.save(folder / CONFIDENCE_FILE)


def load_auditor(folder: Path) -> Auditor:
    """Read what `Auditor.save` wrote.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged, or made for other features or classes.
    """
    trust = folder / CONFIDENCE_FILE
    return Auditor(
        load_booster(folder / BOOSTER_FILE),
        load_calibrator(folder / CALIBRATOR_FILE),
        load_conformal(folder / CONFORMAL_FILE),
        load_confidence(trust) if trust.is_file() else None,
    )
