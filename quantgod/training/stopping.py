"""Stop training after `patience` epochs in a row without a better score."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Stopping:
    """Tracks the best score over the epochs. Its fields are its whole state."""

    patience: int
    best_score: float | None = None
    best_epoch: int = 0
    waited: int = 0

    def hear(self, epoch: int, score: float) -> bool:
        """Record an epoch's score; return True if it is the best so far (a tie is not better)."""
        if self.best_score is None or score > self.best_score:
            self.best_score, self.best_epoch, self.waited = score, epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Return whether patience has run out."""
        return self.waited >= self.patience
