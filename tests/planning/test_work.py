"""What a stage has to do is reckoned as its own code cuts the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantgod.dataset.samples import samples
from quantgod.dataset.splits import folds, split_test, split_validation
from quantgod.planning.fitting import whole_table
from quantgod.planning.work import is_surely_short, network_work
from quantgod.settings import load_settings
from quantgod.training.material import train_and_validation

FULL, DEMO = Path("conf/full.yaml"), Path("conf/demo.yaml")
MINUTES = 30_000


@pytest.mark.parametrize("config", [FULL, DEMO])
@pytest.mark.parametrize("every", [1, 10])
def test_windows_are_counted_as_the_stages_cut_them(config: Path, every: int) -> None:
    settings = load_settings(config, {"train.every": every})
    table = whole_table(settings, MINUTES)
    work, split = network_work(settings, MINUTES), settings.split
    train, validation = train_and_validation(
        table, settings.window.length, settings.window.stride, split
    )
    epochs = settings.train.epochs / every
    found = (work["train"].trained, work["train"].forecast)
    assert found == pytest.approx((epochs * len(train), epochs * len(validation)), rel=0.06)

    taken = samples(table, settings.window.length, settings.audit.stride)
    trained = forecast = 0
    for fold in folds(taken, split_test(taken, split).train, split):
        inner = split_validation(taken, fold.train, settings.audit.stopping_fraction, split)
        trained += settings.audit.epochs / every * len(inner.train)
        forecast += settings.audit.epochs / every * len(inner.other) + len(fold.other)
    found = (work["audit"].trained, work["audit"].forecast)
    assert found == pytest.approx((trained, forecast), rel=0.06)


@pytest.mark.parametrize(
    ("stage", "setting", "factor", "less"),
    [
        ("optimize", "optimize.trials", 1 / 3, 1 / 3),
        ("optimize", "optimize.stride", 2, 1 / 2),
        ("train", "train.epochs", 1 / 2, 1 / 2),
        ("train", "window.stride", 3, 1 / 3),
        ("train", "train.every", 2, 1 / 2),
        ("audit", "train.every", 2, 1 / 2),
        ("optimize", "train.every", 2, 1 / 2),
        ("leak_audit", "train.every", 2, 1),  # which sees every sample of its own stride
        ("audit", "audit.stride", 2, 1 / 2),
        ("audit", "audit.epochs", 1 / 2, 1 / 2),
    ],
)
def test_what_is_said_to_bring_a_stage_down_does(
    stage: str, setting: str, factor: float, less: float
) -> None:
    settings = load_settings(FULL)
    section, name = setting.split(".")
    value = round(getattr(getattr(settings, section), name) * factor)
    smaller = load_settings(FULL, {setting: value})
    works = [network_work(one, MINUTES)[stage].trained for one in (settings, smaller)]
    assert works[1] / works[0] == pytest.approx(less)


def test_only_what_is_far_from_an_hour_is_called_short() -> None:
    assert is_surely_short(load_settings(DEMO), 64 * 1440)
    assert is_surely_short(load_settings(DEMO), 0)
    assert not is_surely_short(load_settings(FULL), 64 * 1440)
