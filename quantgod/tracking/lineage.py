"""Where a model version comes from: runs, data, code and settings."""

from __future__ import annotations

from quantgod.tracking.stage import StageRun

CARRIED = ("quantgod.commit", "quantgod.settings")


def lineage_tags(run: StageRun) -> dict[str, str]:
    """Tags for the version that `run` registers, gathered from it and the runs that it stands on.

    `run.STAGE` is the run of each stage and `data.NAME` the digest of data it read; all ancestors
    are followed, the nearest first: of two runs of a stage the nearer one counts.
    """
    tags: dict[str, str] = {}
    waiting = {run.name: run.run_id, **run.upstream}
    while waiting:
        name = next(iter(waiting))
        run_id = waiting.pop(name)
        if f"run.{name}" in tags:
            continue
        found = run.client.get_run(run_id)
        tags[f"run.{name}"] = run_id
        for key, value in found.data.tags.items():
            if key.startswith("quantgod.upstream."):
                waiting.setdefault(key.removeprefix("quantgod.upstream."), value)
            elif key.startswith("quantgod.input."):
                tags.setdefault(f"data.{key.removeprefix('quantgod.input.')}", value)
    own = run.client.get_run(run.run_id).data.tags
    return tags | {key.removeprefix("quantgod."): own[key] for key in CARRIED}
