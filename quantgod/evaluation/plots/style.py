"""Colours, names of scores and the empty figure that all figures share."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

# Okabe and Ito's colours can be told apart with colour blindness.
CLASS_COLOURS: Final = ("#d55e00", "#8c8c8c", "#0072b2")
SERIES_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
PALE_TO_BLUE: Final = LinearSegmentedColormap.from_list("pale_to_blue", ["#f4f7fa", "#0072b2"])
BLUE_TO_RED: Final = LinearSegmentedColormap.from_list("blue_to_red", ["#0072b2", "#d55e00"])

SCORE_NAMES: Final = {
    "macro_f1": "macro-F1",
    "mcc": "MCC",
    "log_loss": "log-loss (nats)",
    "brier": "Brier score",
    "ece": "calibration error",
    "accuracy": "accuracy",
}
FEW_ROWS: Final = 20
"""Points with fewer rows are drawn hollow."""

MODEL_COLOURS: Final = {"auditor": "#009e73", "base": "#e69f00"}
"""Colour of each model in comparisons, different from the colours of classes."""

OTHER_COLOUR: Final = "#8c8c8c"
"""Colour of what a model is compared with."""

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]


def blank(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, without global state."""
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def in_a_row(figure: Figure, count: int, *, sharey: bool = False) -> list[Axes]:
    """Return this many panels side by side."""
    panels: Any = figure.subplots(1, count, squeeze=False, sharey=sharey)
    return [*panels.flat]
