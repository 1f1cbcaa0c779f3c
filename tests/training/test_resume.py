"""A killed run goes on as if nothing had happened, to the last bit."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from quantgod.dataset.inputs import BARS
from quantgod.training.checkpoints import CheckpointError, read_checkpoint
from quantgod.training.loop import fit
from quantgod.training.reports import Epoch, Fit, Step
from tests.later import later
from tests.training import killable
from tests.training.problems import Problem, network, train_settings
from tests.training.processes import started, started_with_pipe


class PulledPlugError(Exception):
    pass


def run(small: Problem, checkpoint: Path | None, stop_at: int | None = None, **changes: Any):
    """Fit a small network; `stop_at` ends the run after so many steps of this call."""
    model, steps, epochs = network(lstm_layers=2, lstm_dropout=0.2), [], []

    def on_step(step: Step) -> None:
        steps.append(step)
        if len(steps) == stop_at:
            raise PulledPlugError

    result = fit(
        model,
        small.material.views,
        small.train,
        small.validation,
        train_settings(**{"batch_size": 32, "checkpoint_batches": 2, **changes}),
        checkpoint=checkpoint,
        on_step=on_step,
        on_epoch=epochs.append,
    )
    return model.state_dict(), result, epochs


def untimed(history: tuple[Epoch, ...]) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in e.to_json().items() if k not in ("seconds", "windows_per_second")}
        for e in history
    ]


def assert_same_bits(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> None:
    assert some.keys() == others.keys()
    for name, tensor in some.items():
        assert torch.equal(tensor, others[name]), name


@pytest.mark.long
def test_a_run_killed_at_random_moments_ends_with_the_bits_of_one_left_alone(
    tmp_path: Path,
) -> None:
    """SIGKILL, in processes of their own, each time after some steps and some milliseconds."""
    rng = random.Random(20)
    (tmp_path / "killed").mkdir()
    (tmp_path / "alone").mkdir()
    alone = started(killable.train, tmp_path / "alone")
    kills = 0
    while not (tmp_path / "killed" / "final.safetensors").exists():
        assert kills < 60
        kills += _killed_once(tmp_path / "killed", rng)
    alone.join()
    assert kills >= 4
    assert_same_bits(
        load_file(tmp_path / "killed" / "final.safetensors"),
        load_file(tmp_path / "alone" / "final.safetensors"),
    )
    assert not list(tmp_path.rglob("*.part"))


def _killed_once(folder: Path, rng: random.Random) -> bool:
    """Train in a process; let 4 to 20 steps pass, and kill it while it saves or computes on."""
    process, here = started_with_pipe(killable.train, folder)
    try:
        for _ in range(rng.randint(4, 20)):
            here.recv()
            here.send("go on")
    except EOFError:
        process.join()
        assert process.exitcode == 0
        return False
    time.sleep(rng.uniform(0, 0.02))
    process.kill()
    process.join()
    return process.exitcode == -9


@pytest.mark.parametrize(
    ("stop_at", "schedule"),
    [(1, "cosine"), (11, "warmup"), *later(*((n, "cosine") for n in (2, 7, 8, 9, 17)))],
)
def test_a_run_cut_after_any_step_ends_like_one_left_alone(
    small: Problem, tmp_path: Path, stop_at: int, schedule: str
) -> None:
    chosen = {"schedule": schedule, "warmup_steps": 10}
    whole, wanted, _ = run(small, None, **chosen)
    with pytest.raises(PulledPlugError):
        run(small, tmp_path / "run", stop_at, **chosen)
    weights, result, _ = run(small, tmp_path / "run", **chosen)
    assert_same_bits(weights, whole)
    assert untimed(result.history) == untimed(wanted.history)
    assert (result.best_epoch, result.best_score) == (wanted.best_epoch, wanted.best_score)


@pytest.mark.long
@pytest.mark.parametrize("part", ["generator.cpu", "optimizer.0.exp_avg", "model.tcn.0.norm"])
def test_the_bits_hang_on_every_part_of_the_checkpoint(
    small: Problem, tmp_path: Path, part: str
) -> None:
    """The test above has teeth: spoil one part, and the resumed run ends elsewhere."""
    whole, _, _ = run(small, None, epochs=1)
    with pytest.raises(PulledPlugError):
        run(small, tmp_path / "run", stop_at=5, epochs=1)
    with safe_open(tmp_path / "run", framework="pt") as opened:
        header = opened.metadata()
    tensors = load_file(tmp_path / "run")
    for name in [name for name in tensors if name.startswith(part)]:
        tensors[name] = (
            torch.Generator().manual_seed(1).get_state()
            if name == "generator.cpu"
            else tensors[name] + 1
        )
    save_file(tensors, tmp_path / "run", header)
    weights, _, _ = run(small, tmp_path / "run", epochs=1)
    assert any(not torch.equal(weights[name], whole[name]) for name in whole)


def test_a_finished_run_is_not_trained_again(small: Problem, tmp_path: Path) -> None:
    first, wanted, told = run(small, tmp_path / "run", patience=1)
    again, result, nothing = run(small, tmp_path / "run", patience=1)
    assert len(told) == len(wanted.history)
    assert nothing == []
    assert result.history == wanted.history
    assert result.resumed_at == (len(told), 0)
    assert result.told_before == tuple(told)
    assert wanted.told_before == ()
    assert_same_bits(again, first)


def stopped_run(small: Problem, path: Path) -> Path:
    with pytest.raises(PulledPlugError):
        run(small, path, stop_at=3)
    return path


def test_a_checkpoint_of_other_settings_is_refused_by_their_names(
    small: Problem, tmp_path: Path
) -> None:
    path = stopped_run(small, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"learning_rate \(was 0\.005, is 0\.001\)"):
        run(small, path, learning_rate=0.001)


def test_a_checkpoint_of_other_bars_or_samples_is_refused(small: Problem, tmp_path: Path) -> None:
    path = stopped_run(small, tmp_path / "run")
    small.material.views.parts[BARS].content[100, 3] += 1
    try:
        with pytest.raises(CheckpointError, match=r"of another run, other in bars \("):
            run(small, path)
    finally:
        small.material.views.parts[BARS].content[100, 3] -= 1
    fewer = Problem(
        small.table, small.material, small.train.take(small.train.row > 200), small.validation,
        small.test,
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="other in training samples"):
        run(fewer, path)


def test_a_checkpoint_of_another_network_is_refused(small: Problem, tmp_path: Path) -> None:
    path = stopped_run(small, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"initial weights .* network"):
        fit(
            network(dropout=0.3),
            small.material.views,
            small.train,
            small.validation,
            train_settings(batch_size=32),
            checkpoint=path,
        )


def test_the_number_of_saves_may_change_between_a_kill_and_the_resume(
    small: Problem, tmp_path: Path
) -> None:
    path = stopped_run(small, tmp_path / "run")
    result: Fit
    _, result, _ = run(small, path, checkpoint_batches=0)
    assert result.resumed_at == (0, 2)


def test_a_file_that_is_no_checkpoint_is_refused(small: Problem, tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="run: not a checkpoint"):
        run(small, tmp_path / "run")


def test_what_a_killed_write_left_is_removed_also_where_another_was_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, left = tmp_path / "run", tmp_path / ".run.17.part"
    left.touch()
    (tmp_path / ".other.17.part").touch()
    assert read_checkpoint(path, {}) is None
    assert [one.name for one in tmp_path.iterdir()] == [".other.17.part"]
    monkeypatch.setattr(Path, "glob", lambda *_: iter([left]))
    assert read_checkpoint(path, {}) is None
