"""The bench of members gives two cores the same to do, and each training all of its epochs."""

from __future__ import annotations

from pathlib import Path

from bench import members
from quantgod.settings import load_settings


def test_the_first_member_has_as_much_to_do_as_the_others_together(tmp_path: Path) -> None:
    settings = load_settings(members.CONFIG, {"data.work": str(tmp_path)})
    first, *others = made = members.jobs(settings, seed=4)
    epochs = {job.member: job.settings.train.epochs for job in made}
    assert epochs == members.EPOCHS and len(epochs) == 3
    assert epochs[first.member] == sum(epochs[job.member] for job in others)
    for job in made:
        train = load_settings(job.config).train
        assert train == job.settings.train and train.threads == 1
        assert train.patience >= train.epochs, "none stops early"
    seeds = [job.settings.train.seed for job in (*made, *members.jobs(settings, seed=5))]
    assert len(set(seeds)) == 6, "no finished run is taken"
