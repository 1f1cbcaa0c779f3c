"""How `main` hands its settings to its children."""

from __future__ import annotations

from pathlib import Path

from quantgod.settings import Settings, load_settings
from quantgod.tracking.pipeline import CHAINED, resolved_config, stages


def test_changed_settings_reach_the_children_whole_and_are_no_ones_to_read(
    settings: Settings,
) -> None:
    given = Path("conf/demo.yaml")
    assert resolved_config(load_settings(given), given) == given
    path = resolved_config(settings, given)
    assert load_settings(path) == settings
    assert path.stat().st_mode & 0o077 == 0, "a database's URL may hold a password"


def test_main_begins_where_its_data_does() -> None:
    full = load_settings(Path("conf/full.yaml"))
    for source, first in {
        "simulate": ["simulate", "etl"],
        "download": ["download", "etl"],
        "local": ["etl"],
        "imported": [],
    }.items():
        data = full.data.model_copy(update={"source": source})
        told = stages(full.model_copy(update={"data": data}))
        assert told == [*first, *CHAINED[1:]]
