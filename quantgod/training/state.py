"""Hold everything that changes during training, and convert it to a snapshot and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from quantgod.settings import TrainSettings
from quantgod.training.checkpoints import Snapshot, below, under
from quantgod.training.devices import generator_states, gradient_scaler, restore_generators
from quantgod.training.reports import Epoch
from quantgod.training.stopping import Stopping


@dataclass
class Sums:
    """Sums over the steps of the current epoch."""

    loss: float = 0.0
    gradient_norm: float = 0.0
    steps: int = 0
    windows: int = 0
    seconds: float = 0.0


@dataclass
class TrainingState:
    """A training between two batches: `batch` of `epoch` comes next."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    stopping: Stopping
    device: torch.device
    epoch: int = 0
    batch: int = 0
    sums: Sums = field(default_factory=Sums)
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def fresh(
        cls, model: nn.Module, settings: TrainSettings, device: torch.device
    ) -> TrainingState:
        """Return the state at the start of a training, with AdamW over all parameters."""
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        return cls(model, optimizer, gradient_scaler(device), Stopping(settings.patience), device)

    @property
    def learning_rate(self) -> float:
        """Return the rate of the last step, or of the next one once it is set."""
        return float(self.optimizer.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def keep_as_best(self) -> None:
        """Copy the network's present weights as the best ones."""
        self.best = {
            name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()
        }

    def next_epoch(self) -> None:
        """Move on to the first batch of the next epoch."""
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, Sums()

    def snapshot(self) -> Snapshot:
        """Return a snapshot of the whole state."""
        optimizer = self.optimizer.state_dict()
        moments = {
            f"{number}.{name}": value
            for number, held in optimizer["state"].items()
            for name, value in held.items()
        }
        tensors = {
            **under("model", self.model.state_dict()),
            **under("best", self.best),
            **under("optimizer", moments),
            **under("generator", generator_states(self.device)),
        }
        values = {
            "epoch": self.epoch,
            "batch": self.batch,
            "sums": asdict(self.sums),
            "stopping": asdict(self.stopping),
            "history": [epoch.to_json() for epoch in self.history],
            "groups": optimizer["param_groups"],
            "scaler": self.scaler.state_dict(),
        }
        return Snapshot(tensors, values)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state from `snapshot`."""
        tensors, values = snapshot
        self.model.load_state_dict(below("model", tensors))
        self.best = {
            name: tensor.to(self.device) for name, tensor in below("best", tensors).items()
        }
        moments = _by_parameter(below("optimizer", tensors))
        self.optimizer.load_state_dict({"state": moments, "param_groups": values["groups"]})
        if values["scaler"]:
            self.scaler.load_state_dict(values["scaler"])
        restore_generators(below("generator", tensors), self.device)
        self.epoch, self.batch = values["epoch"], values["batch"]
        self.sums, self.stopping = Sums(**values["sums"]), Stopping(**values["stopping"])
        self.history = [Epoch(**epoch) for epoch in values["history"]]


def _by_parameter(moments: dict[str, Tensor]) -> dict[int, dict[str, Any]]:
    grouped: dict[int, dict[str, Any]] = {}
    for name, value in moments.items():
        number, _, what = name.partition(".")
        grouped.setdefault(int(number), {})[what] = value
    return grouped
