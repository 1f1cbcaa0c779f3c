"""What judges a base model's forecast: a booster and the calibrator that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost

from quantgod.auditor.boosting import contributions, gain, load_booster, said, save_booster
from quantgod.auditor.calibration import Calibrator, load_calibrator, untilt
from quantgod.auditor.meta_features import MetaFeatures, meta_features
from quantgod.contracts import CLASSES, FEATURES, Progress, silent
from quantgod.dataset.windows import Samples
from quantgod.settings import TrainSettings
from quantgod.training.weights import Network

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BOOSTER_FILE: Final = "booster.ubj"
CALIBRATOR_FILE: Final = "calibrator.json"


@dataclass(frozen=True, eq=False)
class Auditor:
    """Meta-features in, calibrated probabilities out."""

    booster: xgboost.Booster
    calibrator: Calibrator

    def predict(self, meta: Floats) -> Floats:
        """Calibrated probabilities, (n, 3), of meta-features, (n, 14)."""
        return self.calibrator.apply(said(self.booster, meta))

    def decide(self, probs: Floats) -> Integers:
        """The class of each row of calibrated probabilities, under the decision weights."""
        return self.calibrator.decide(probs)

    def gain(self) -> Floats:
        """Importance of each meta-feature: mean loss reduction of its splits, (14,)."""
        return gain(self.booster)

    def contributions(self, meta: Floats) -> Floats:
        """SHAP values of each meta-feature for each class, (n, 3, 15); the last is the bias."""
        return contributions(self.booster, meta)

    def save(self, folder: Path) -> None:
        """Write `booster.ubj` and `calibrator.json` into `folder`."""
        save_booster(self.booster, folder / BOOSTER_FILE)
        self.calibrator.save(folder / CALIBRATOR_FILE)


def load_auditor(folder: Path) -> Auditor:
    """Read what `Auditor.save` wrote.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is damaged, or made for other features or classes.
    """
    return Auditor(load_booster(folder / BOOSTER_FILE), load_calibrator(folder / CALIBRATOR_FILE))


@dataclass(frozen=True, eq=False)
class Judged:
    """Base model and auditor side by side on the same samples.

    Attributes:
        time_ms: (n,) the windows' last minutes, epoch milliseconds.
        target: (n,) class numbers.
        meta: (n, 14) meta-features.
        base_said: (n, 3) the base model's probabilities as its weighted loss left them.
        base: (n, 3) the same, untilted.
        base_class: (n,) the likeliest class of `base_said`, by which it was trained and stopped.
        audited: (n, 3) the auditor's calibrated probabilities.
        audited_class: (n,) its classes, under the decision weights.
    """

    time_ms: Integers
    target: Integers
    meta: Floats
    base_said: Floats
    base: Floats
    base_class: Integers
    audited: Floats
    audited_class: Integers


def judge(
    network: Network,
    auditor: Auditor,
    table: pd.DataFrame,
    samples: Samples,
    settings: TrainSettings,
    progress: Progress = silent,
) -> Judged:
    """Read the final base model and its auditor on `samples`, such as the untouched test part.

    Args:
        network: the final base network, as it will be served; it is moved to the device.
        auditor: fitted on out-of-fold rows that end before these samples.
        table: what `label` returns.
        samples: what to judge, of that table and with the network's window.
        settings: batch size and device.
        progress: hears of batches.
    """
    meta = meta_features(
        MetaFeatures(network.model, network.scaler.mean, network.scaler.std),
        table.loc[:, list(FEATURES)].to_numpy(np.float64),
        samples.row,
        network.window,
        settings.batch_size,
        device=settings.device,
        progress=progress,
    )
    base_said, audited = meta[:, : len(CLASSES)], auditor.predict(meta)
    return Judged(
        time_ms=samples.time_ms,
        target=samples.target,
        meta=meta,
        base_said=base_said,
        base=untilt(base_said, network.class_weights),
        base_class=base_said.argmax(axis=1),
        audited=audited,
        audited_class=auditor.decide(audited),
    )
