"""Cut the windows of samples.

A window is cut from a matrix on the device when a batch needs it: a year of windows would take
13 GB, the matrix takes 19 MB.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from quantgod.contracts import Integers
from quantgod.dataset.samples import Samples


class Windows:
    """Cut windows that end at given rows from one matrix, on the matrix's device."""

    def __init__(self, matrix: Float[Tensor, "rows features"], length: int) -> None:
        """View every `length` consecutive rows of `matrix` as a window, without a copy.

        Raises:
            ValueError: if the matrix has fewer rows than one window.
        """
        rows, features = matrix.shape
        if not 0 < length <= rows:
            raise ValueError(f"a window of {length} rows does not fit a matrix of {rows}")
        self.matrix = matrix.contiguous()
        self.length = length
        self._view = self.matrix.as_strided(
            (rows - length + 1, length, features), (features, features, 1)
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one window: its length and the features."""
        return (self.length, self.matrix.shape[1])

    @property
    def content(self) -> Tensor:
        """The matrix."""
        return self.matrix

    def to(self, device: torch.device) -> Windows:
        """Windows of the same matrix on a device; the same where it lies there already."""
        return Windows(self.matrix.to(device), self.length)

    def not_finite(self, rows: Int64[Tensor, " batch"]) -> Integers:
        """The rows of the matrix, inside the windows that end at `rows`, that are not finite."""
        window, step = torch.nonzero(~torch.isfinite(self(rows)).all(2), as_tuple=True)
        return np.unique((rows[window] - (self.length - 1) + step).cpu().numpy())

    def __call__(self, rows: Int64[Tensor, " batch"]) -> Float[Tensor, "batch length features"]:
        """Return the windows that end at `rows` (on the matrix's device), as a new tensor."""
        return self._view.index_select(0, rows - (self.length - 1))


class Newest:
    """Cut the given rows alone from one matrix, on the matrix's device."""

    def __init__(self, matrix: Float[Tensor, "rows features"]) -> None:
        self.matrix = matrix.contiguous()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row: the features."""
        return (self.matrix.shape[1],)

    @property
    def content(self) -> Tensor:
        """The matrix."""
        return self.matrix

    def to(self, device: torch.device) -> Newest:
        """Rows of the same matrix on a device; the same where it lies there already."""
        return Newest(self.matrix.to(device))

    def not_finite(self, rows: Int64[Tensor, " batch"]) -> Integers:
        """Those of the rows that are not finite."""
        return np.unique(rows[~torch.isfinite(self(rows)).all(1)].cpu().numpy())

    def __call__(self, rows: Int64[Tensor, " batch"]) -> Float[Tensor, "batch features"]:
        """Return the rows, as a new tensor."""
        return self.matrix.index_select(0, rows)


def as_rows(samples: Samples, device: torch.device | str = "cpu") -> Int64[Tensor, " batch"]:
    """Return the samples' rows as the tensor that `Windows` takes."""
    return torch.tensor(samples.row, dtype=torch.int64, device=device)
