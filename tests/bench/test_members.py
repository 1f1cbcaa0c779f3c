"""The bench of members trains three that are alike, and each for all of its epochs."""

from __future__ import annotations

from pathlib import Path

from bench import members
from quantgod.settings import load_settings


def test_three_equal_members_are_trained_each_to_its_last_epoch(tmp_path: Path) -> None:
    settings = load_settings(members.CONFIG, {"data.work": str(tmp_path)})
    made = members.jobs(settings, seed=4)
    epochs = {job.member: job.settings.train.epochs for job in made}
    assert epochs == dict.fromkeys(("deep", "wide", "fast"), members.EPOCHS)
    for job in made:
        train = load_settings(job.config).train
        assert train == job.settings.train and train.threads == 1
        assert train.patience >= train.epochs, "none stops early"
    seeds = [job.settings.train.seed for job in (*made, *members.jobs(settings, seed=5))]
    assert len(set(seeds)) == 6, "no finished run is taken"
