"""Ask a network's graph many times, each time without other numbers: how far do its answers spread?

Monte Carlo dropout (Gal and Ghahramani, arXiv 1506.02142). What is left out was drawn once and is
stored with the graph, so the same candles always get the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..rolling import Floats

Seen = npt.NDArray[np.float32]

SCALE = "scale:"
"""What the names of scales begin with, among arrays."""


class Session(Protocol):
    """What is used of `onnxruntime.InferenceSession`."""

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]) -> list[Any]:
        """Return the outputs of a graph."""


@dataclass(frozen=True, eq=False)
class Masks:
    """What is left out of a network in each of several draws.

    Attributes:
        kept: by layer, the graph's input: (draws, *shape), where True is left in.
        scales: by layer, what the numbers that are left in are multiplied with.
    """

    kept: Mapping[str, npt.NDArray[np.bool_]]
    scales: Mapping[str, float]

    def __post_init__(self) -> None:
        """Check that all layers have two draws or more, the same number, and a scale.

        Raises:
            ValueError: naming the numbers of draws.
        """
        draws = {name: len(one) for name, one in self.kept.items()}
        if self.scales.keys() != draws.keys() or len(set(draws.values())) != 1 or self.draws < 2:
            raise ValueError(
                f"equally many draws of each layer, two or more, and a scale of each expected, got "
                f"{draws} and scales of {', '.join(self.scales) or 'none'}"
            )

    @property
    def draws(self) -> int:
        """Return how many there are."""
        return len(next(iter(self.kept.values())))

    def draw(self, number: int) -> dict[str, Seen]:
        """Return what a draw multiplies each layer's numbers with."""
        return {
            name: kept[number].astype(np.float32) * np.float32(self.scales[name])
            for name, kept in self.kept.items()
        }

    def nothing(self) -> dict[str, Seen]:
        """Return ones, which leave out nothing and change no bit."""
        return {name: np.ones(kept.shape[1:], np.float32) for name, kept in self.kept.items()}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all as named arrays, to be stored; `masks_of` makes the masks of them again."""
        scales = {f"{SCALE}{name}": np.array(scale) for name, scale in self.scales.items()}
        return {**self.kept, **scales}


def masks_of(arrays: Mapping[str, npt.NDArray[Any]]) -> Masks:
    """Return the masks that `Masks.arrays` was made of, in the order of the layers' names.

    Raises:
        ValueError: as `Masks`.
    """
    names = sorted(name for name in arrays if not name.startswith(SCALE))
    scales = {n.removeprefix(SCALE): float(arrays[n]) for n in arrays if n.startswith(SCALE)}
    return Masks({name: np.asarray(arrays[name], np.bool_) for name in names}, scales)


def ask(session: Session, features: Seen, multipliers: Mapping[str, Seen]) -> Floats:
    """Return what a graph says of windows (n, time, columns) with these multipliers, (n, H)."""
    (said,) = session.run(None, {"features": features, **multipliers})
    return np.asarray(said, np.float64)


def mc_forecast(session: Session, features: Seen, masks: Masks) -> tuple[Floats, Floats]:
    """Return mean and variance over all draws, (n, H) each, of windows (n, time, columns)."""
    draws = range(masks.draws)
    return spread(np.stack([ask(session, features, masks.draw(number)) for number in draws]))


def spread(answers: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance (ddof 1) over the draws of answers (draws, n, H)."""
    return answers.mean(axis=0), answers.var(axis=0, ddof=1)
