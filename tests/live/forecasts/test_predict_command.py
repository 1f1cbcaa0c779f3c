"""`predict` day by day with a registered version: what it issues is what a walk over all issues."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

import steps.predict
from quantgod.archive.candles.store import read_candles, write_candles
from quantgod.contracts import Candles
from quantgod.dataset.candles.table import table_of
from quantgod.ensemble.candles.walk import Moments, Walked, walk
from quantgod.evaluation.forecasts.run import ForecastRun, borders, moments_of, run_forecasts
from quantgod.gates import Gate
from quantgod.live.forecasts.ledger import RETURNS, WALK, read_ledger
from quantgod.registry.daily.registration import register_forecasts
from quantgod.registry.promotion import Grounds, promote
from quantgod.settings import Settings
from quantgod.tracking.stage import stage
from tests.conftest import forget_experiments
from tests.registry.daily.made import MEMBERS, SMALL, coins_of, small
from tests.registry.shelves import MLFLOW_VARIABLES
from tests.stores import fresh_store

FIRST, LATER = 620, 8
"""Candles that the version was made from, and days after them."""

PLAIN = {name: MEMBERS[name] for name in ("ridge", "trees")}
FAILED = Gate("width", "-0.1", "> 0", passed=False, detail="a test")


class Place:
    """A store with candles, and the command on it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        values = {
            "forecast.members": PLAIN,
            "candles.simulate.candles": FIRST + LATER,
            "candles.folder": str(folder / "candles"),
            "data.work": str(folder / "work"),
            "tracking.uri": fresh_store(folder),
            "tracking.artifacts": str(folder / "artifacts"),
            "tracking.outbox": str(folder / "outbox"),
            "forecast.ledger": str(folder / "ledger.parquet"),
        }
        self.settings = small(**values)
        self.coins = coins_of(self.settings)
        self.values = {**SMALL, **values, "candles.source": "store"}
        self.ledger = self.settings.forecast.ledger

    def until(self, days: int) -> list[Candles]:
        return [one.take(slice(FIRST + days)) for one in self.coins]

    def predict(self, days: int, *options: str) -> tuple[int, str]:
        """Run the command an hour after so many further candles have closed and are stored."""
        for one in self.until(days):
            write_candles(self.settings.candles.folder, one, "simulated, seed 7")
        close = int(self.coins[0].time_ms[FIRST + days - 1]) + self.coins[0].step_ms
        now = dt.datetime.fromtimestamp(close / 1000, dt.UTC) + dt.timedelta(hours=1)
        self.patch.setattr(steps.predict, "_now", lambda: now)
        forget_experiments()
        given = [f"--set={name}={json.dumps(value)}" for name, value in self.values.items()]
        done = CliRunner().invoke(
            steps.predict.main, ["--config", "conf/full.yaml", *given, *options]
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, " ".join(done.output.split())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        for name in MLFLOW_VARIABLES:
            patch.delenv(name, raising=False)
        patch.setenv("COLUMNS", "200")
        yield Place(tmp_path_factory.mktemp("predict"), patch)


def registered(settings: Settings, made: ForecastRun, coins: list[Candles]) -> int:
    with stage("forecast", settings) as run:
        found = register_forecasts(run, made, coins, [FAILED], {"skill": -0.1})
        run.output(name=found.name, version=str(found.number))
    return found.number


def walked_on(run: ForecastRun, coins: list[Candles], settings: Settings) -> tuple[Moments, Walked]:
    """The walk of training, gone on with over all candles by the members that are served."""
    how, old = settings.forecast, run.table
    table = table_of(coins, run.regimes)
    place_of = {key: at for at, key in enumerate(zip(table.coin, table.date, strict=True))}
    kept = [place_of[old.coin[at], old.date[at]] for at in run.forward.rows]
    new = np.flatnonzero(table.can_see(how.window) & (table.date > old.date.max()))
    new = new[np.lexsort((table.coin[new], table.date[new]))]
    (part,) = run.forward.newest
    said = part.learned.forecast(table, new)
    forward = replace(
        run.forward,
        rows=np.concatenate([kept, new]),
        mean=np.concatenate([run.forward.mean, said.mean]),
        quantiles=np.concatenate([run.forward.quantiles, said.quantiles]),
    )
    moments = moments_of(table, forward, how)
    return moments, walk(how.ensemble.rules, moments, borders(run.forward.folds))


@pytest.mark.long
def test_each_days_forecasts_are_those_of_a_walk_over_all_candles_to_the_bit(place: Place) -> None:
    settings, name = place.settings, place.settings.forecast.name
    status, said = place.predict(0)
    assert status == 1 and "no version is registered" in said and "steps.forecast" in said
    coins = place.until(0)
    made = run_forecasts(coins, settings, place.folder / "fits")
    number = registered(settings, made, coins)
    status, said = place.predict(0)
    force = f"steps.promote --name {name} --version {number} --force"
    assert status == 1 and force in said, said
    promote(name, number, why=Grounds("a test", force=True), tryout=lambda *_: None)

    status, said = place.predict(0)
    assert status == 0 and "4 forecasts issued, 0 scored" in said, said
    assert "by force: a test" in said and "Warning" not in said
    assert f"4 newest forecasts of {name} {number} are written to {place.ledger}" in said
    before = place.ledger.read_bytes()
    status, said = place.predict(0)
    assert status == 0 and f"are unchanged in {place.ledger}" in said
    assert place.ledger.read_bytes() == before
    status, said = place.predict(1)
    assert status == 0 and "4 forecasts issued, 2 scored" in said and "Warning" not in said, said
    status, said = place.predict(3)
    assert "8 forecasts issued (4 late), 4 scored" in said, said
    assert "Warning: 4 forecasts" in said and "issued late" in said
    status, said = place.predict(LATER, "--coins", "BBBUSDT")
    assert status == 0 and "10 forecasts issued (8 late), 14 scored" in said, said
    is_as_walked(place, *walked_on(made, place.until(LATER), settings))
    is_in_its_experiment(settings)

    status, said = place.predict(LATER, "--coins", "DOGEUSDT")
    assert status == 1 and "daily-test 1 knows AAAUSDT, BBBUSDT, not DOGEUSDT" in said
    status, said = place.predict(LATER, "--set", "forecast.watch.level=0.0001")
    assert status == 0 and "out of its band" in said, said
    # The store is filled first, as for `forecast`; what has not closed is not used.
    one_more = f"candles.simulate.candles={FIRST + LATER + 1}"
    status, said = place.predict(LATER, "--from", "simulate", "--set", one_more)
    assert status == 0 and "unchanged in" in said, said
    stored = read_candles(settings.candles.folder, "spot", "AAAUSDT", "1d")
    assert len(stored) == FIRST + LATER + 1


def is_as_walked(place: Place, moments: Moments, walked: Walked) -> None:
    settings, kept = place.settings, read_ledger(place.ledger)
    assert len(kept) == 16 + 5 * 2 and kept["late"].sum() == 4 + 4 * 2
    step = place.coins[0].step_ms
    for _, row in kept.iterrows():
        date = row["issue"].value // 1_000_000 // step - 1
        coin = settings.candles.coins.index(row["symbol"])
        (at,) = np.flatnonzero((moments.date == date) & (moments.coin == coin))
        wide = float(row["sigma"] * np.sqrt(row["horizon"]))
        issued = walked.issued[settings.forecast.horizons.index(row["horizon"])].take(at)
        assert (row[RETURNS] == issued.quantiles * wide).all()
        assert (row[WALK] == issued.experts[0] * wide).all()
        assert row["expected_return"] == issued.mean * wide
        assert [*json.loads(row["weights"]).values()] == issued.weights.tolist()
        outcome = moments.outcomes[at, settings.forecast.horizons.index(row["horizon"])]
        if np.isfinite(outcome):
            assert row["outcome"] / wide == pytest.approx(outcome, rel=1e-9)
        else:
            assert np.isnan(row["outcome"])


def is_in_its_experiment(settings: Settings) -> None:
    runs = MlflowClient().search_runs(
        [mlflow.get_experiment_by_name(f"{settings.tracking.experiment}-sessions").experiment_id],
        "tags.`quantgod.stage` = 'predict'",
    )
    finished = [one for one in runs if one.info.status == "FINISHED"]
    assert len(finished) == 5
    metrics = finished[0].data.metrics
    assert {"coverage_80_1", "pinball_1", "pinball_skill_1", "scored", "late"} <= set(metrics)
    kept_in = Path(finished[0].info.artifact_uri.removeprefix("file://"))
    page = (kept_in / "report" / "report.html").read_text(encoding="utf-8")
    assert "Newest forecasts of daily-test 1" in page and "data:image/png" in page
    assert "Of a simulated market:" in page
    assert (kept_in / "figures" / "fan_chart.png").is_file()
