"""When a training has waited long enough."""

from __future__ import annotations

import pytest

from quantgod.training.stopping import Stopping


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_it_waits_for_so_many_epochs_in_a_row(patience: int) -> None:
    stopping = Stopping(patience)
    assert (stopping.best_score, stopping.best_epoch, stopping.exhausted) == (None, 0, False)
    assert stopping.hear(0, -1.0)
    assert stopping.hear(1, 0.0)
    assert stopping.hear(2, 0.5)
    assert (stopping.best_score, stopping.best_epoch) == (0.5, 2)
    for waited in range(1, patience + 1):
        assert not stopping.exhausted
        assert not stopping.hear(2 + waited, 0.5 - waited % 2), "a tie is not better"
        assert stopping.waited == waited
    assert stopping.exhausted
    assert stopping.hear(9, 0.6)
    assert (stopping.best_epoch, stopping.waited, stopping.exhausted) == (9, 0, False)
