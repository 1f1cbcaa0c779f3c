"""Train any network for any objective, on the CPU or on CUDA.

The matrix, the targets and the order of an epoch are kept on the device, where batches are cut from
them. On the CPU the same settings, data and number of threads give the same bits, however often the
training is killed and resumed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from quantgod.contracts import Progress, silent
from quantgod.dataset.samples import Samples
from quantgod.dataset.views import Views
from quantgod.dataset.windows import as_rows
from quantgod.settings import TrainSettings
from quantgod.training.checkpoints import Identity, read_checkpoint, write_checkpoint
from quantgod.training.devices import autocast, choose_device, fast_matrix_products, seeded
from quantgod.training.identity import fit_identity
from quantgod.training.objectives import Objective, objective_of
from quantgod.training.predict import outputs
from quantgod.training.reports import Epoch, Fit, OnEpoch, OnStep, unheard
from quantgod.training.sampler import batch_count, phase, shuffled
from quantgod.training.schedule import learning_rate
from quantgod.training.state import TrainingState
from quantgod.training.steps import StepOutcome, Steps, Stopwatch, take_step


def fit(  # noqa: PLR0913  (one call names all that a run is made of)
    model: nn.Module,
    views: Views,
    train: Samples,
    validation: Samples,
    settings: TrainSettings,
    *,
    objective: Objective | None = None,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch = unheard,
    on_step: OnStep = unheard,
    progress: Progress = silent,
) -> Fit:
    """Train `model` on `train`, stop early by its score on `validation`, and keep the best weights.

    Args:
        model: newly built; takes the views by name, returns what the objective reads.
        views: scaled; moved to the device if needed.
        train: samples to learn from.
        validation: samples for early stopping, already purged against `train`; every
            `settings.every`-th is judged after an epoch, always the same.
        settings: epochs, rates, patience, seed, device, and how often to save.
        objective: default is the one that the settings name.
        checkpoint: file for the state of the training. If it holds a state of the same training,
            the training resumes from it. `on_epoch` is called before the checkpoint is written,
            so a kill between the two may report an epoch twice, but never leaves one out.
        on_epoch: called after each epoch. An exception from it ends the training.
        on_step: called after each optimizer step.
        progress: called after batches.

    Raises:
        NonFiniteLossError: naming epoch, batch and rows.
        CheckpointError: if `checkpoint` belongs to another training.
        ValueError: if a part is empty or the device is absent.
    """
    if len(train) < settings.every or not len(validation):
        least = (
            f"{settings.every} training samples (train.every)" if settings.every > 1 else "training"
        )
        raise ValueError(
            f"{least} and validation samples are needed, got {len(train)} and {len(validation)}"
        )
    device = choose_device(settings.device)
    placed = views.to(device)
    chosen = objective or objective_of(settings, train.horizons)
    with seeded(settings.seed, device), fast_matrix_products(device):
        run = _Fitting(model.to(device), placed, train, validation, settings, chosen)
        if checkpoint is not None:
            identity = fit_identity(model, placed, train, validation, settings, chosen)
            run.keep_at(checkpoint, identity)
        while not run.finished:
            run.train_epoch(on_step, progress)
            run.close_epoch(on_epoch)
        return run.result()


class _Fitting:
    """The fixed parts of a training around its changing state."""

    def __init__(
        self,
        model: nn.Module,
        views: Views,
        train: Samples,
        validation: Samples,
        settings: TrainSettings,
        objective: Objective,
    ) -> None:
        device = views.device
        self.views, self.settings, self.objective = views, settings, objective
        self.rows, self.targets = as_rows(train, device), objective.targets(train).to(device)
        judged = validation.take(np.arange(0, len(validation), settings.every))
        self.validation_rows = as_rows(judged, device)
        self.validation_targets = objective.targets(judged).to(device)
        self.state = TrainingState.fresh(model, settings, device)
        self.checkpoint: Path | None = None
        self.identity: Identity = {}
        self.resumed_at: tuple[int, int] | None = None

    @property
    def batches(self) -> int:
        """The number of batches of the present epoch."""
        return self._batches_of(self.state.epoch)

    @property
    def finished(self) -> bool:
        return self.state.stopping.exhausted or self.state.epoch >= self.settings.epochs

    def keep_at(self, checkpoint: Path, identity: Identity) -> None:
        """Resume from `checkpoint` if it exists, and save to it from now on."""
        self.checkpoint, self.identity = checkpoint, identity
        snapshot = read_checkpoint(checkpoint, identity)
        if snapshot is not None:
            self.state.restore(snapshot)
            self.resumed_at = (self.state.epoch, self.state.batch)

    def train_epoch(self, on_step: OnStep, progress: Progress) -> None:
        """Take the remaining steps of the epoch."""
        state, settings = self.state, self.settings
        taken_before = sum(map(self._batches_of, range(state.epoch)))
        order = shuffled(len(self.rows), settings.every, settings.seed, state.epoch)
        shuffle = torch.from_numpy(order).to(state.device)
        steps = Steps(state, self.views, on_step)
        state.model.train()
        while state.batch < self.batches:
            step = taken_before + state.batch
            state.learning_rate = learning_rate(settings, state.epoch, step)
            begin = state.batch * settings.batch_size
            batch = shuffle[begin : begin + settings.batch_size]
            steps.add(self.rows[batch], self._step(self.rows[batch], self.targets[batch]))
            due = self._checkpoint_due()
            if steps.should_settle or due or state.batch == self.batches:
                steps.settle()
                self._tell(progress)
            if due:
                self._save()

    def close_epoch(self, on_epoch: OnEpoch) -> None:
        """Score the epoch on the validation part, report it, and save."""
        state = self.state
        report = self._judged()
        state.history.append(report)
        if state.stopping.hear(report.epoch, report.score):
            state.keep_as_best()
        on_epoch(report)
        state.next_epoch()
        self._save()

    def result(self) -> Fit:
        """Load the best weights into the network and return the summary of the training."""
        state = self.state
        state.model.load_state_dict(state.best)
        state.model.eval()
        return Fit(
            state.stopping.best_epoch,
            state.stopping.best_score or 0.0,
            tuple(state.history),
            state.epoch < self.settings.epochs,
            self.resumed_at,
        )

    def _batches_of(self, epoch: int) -> int:
        every = self.settings.every
        seen = range(phase(every, epoch), len(self.rows), every)
        return batch_count(len(seen), self.settings.batch_size)

    def _step(self, rows: Tensor, targets: Tensor) -> StepOutcome:
        return take_step(self.state, self.views(rows), targets, self.objective, self.settings)

    def _judged(self) -> Epoch:
        state, sums, watch = self.state, self.state.sums, Stopwatch()
        with autocast(state.device):
            output = outputs(
                state.model, self.views, self.validation_rows, self.settings.batch_size
            )
        loss = float(self.objective.loss(output, self.validation_targets))
        score, figures = self.objective.judge(output, self.validation_targets)
        return Epoch(
            epoch=state.epoch,
            train_loss=sums.loss / sums.windows,
            validation_loss=loss,
            score=score,
            figures=figures,
            learning_rate=state.learning_rate,
            gradient_norm=sums.gradient_norm / sums.steps,
            windows_per_second=sums.windows / sums.seconds,
            seconds=sums.seconds + watch.lap(),
        )

    def _tell(self, progress: Progress) -> None:
        state = self.state
        note = f"epoch {state.epoch + 1}, loss {state.sums.loss / state.sums.windows:.4f}"
        progress(
            state.epoch * self.batches + state.batch, self.settings.epochs * self.batches, note
        )

    def _checkpoint_due(self) -> bool:
        every = self.settings.checkpoint_batches
        return every > 0 and self.state.batch % every == 0 and self.state.batch < self.batches

    def _save(self) -> None:
        if self.checkpoint is not None:
            write_checkpoint(self.checkpoint, self.state.snapshot(), self.identity)
