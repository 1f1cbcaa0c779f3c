"""A version that forecasts: registered in a real store with its verdict, promoted, served alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantgod.archive.candles.store import write_candles
from quantgod.gates import Gate
from quantgod.registry.daily.registration import (
    DailyRegistration,
    check_name,
    in_words,
    promote_forecasts,
    register_forecasts,
)
from quantgod.registry.lineage import lineage_of
from quantgod.registry.own_settings import own_settings
from quantgod.registry.ownership import OtherSeriesError
from quantgod.registry.promotion import Grounds, promote
from quantgod.registry.registered import holder, known_version
from quantgod.registry.rollback import roll_back
from quantgod.registry.verdict import GatesNotPassedError
from quantgod.registry.versions import load_chain
from quantgod.settings import Settings
from quantgod.tracking.stage import stage
from quantgod.tracking.store import connect
from tests.registry.daily.made import coins_of, made, small
from tests.registry.shelves import MLFLOW_VARIABLES
from tests.registry.test_serving import POISON
from tests.servers import Server, free_port, module_server
from tests.stores import fresh_store

NAME = "daily-test"
PASSED = Gate("width", "0.1", "> 0", passed=True, detail="a test")
FAILED = Gate("coverage_80_1", "0.5", "0.8 +- 0.03", passed=False, detail="a test")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of a store of its own, in which the candles lie."""
    place = tmp_path_factory.mktemp("registered")
    with pytest.MonkeyPatch.context() as patch:
        for name in MLFLOW_VARIABLES:
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        chosen = small(
            **{
                "candles.folder": str(place / "candles"),
                "data.work": str(place / "work"),
                "tracking.uri": fresh_store(place),
                "tracking.artifacts": str(place / "artifacts"),
                "tracking.outbox": str(place / "outbox"),
            }
        )
        for one in coins_of(chosen):
            write_candles(chosen.candles.folder, one, "simulate")
        yield chosen


def registered(settings: Settings, gate: Gate, *, putting: bool = False) -> DailyRegistration:
    with stage("forecast", settings) as run:
        found = register_forecasts(run, made(), coins_of(settings), [gate], {"skill": 0.1})
        if putting:
            assert promote_forecasts(run, found) is not None
        else:
            assert gate.passed or promote_forecasts(run, found) is None
        run.output(name=found.name, version=str(found.number))
    return found


@pytest.mark.long
def test_a_version_that_failed_is_registered_with_its_verdict_and_stays_out(settings) -> None:
    found = registered(settings, FAILED)
    client = connect(settings.tracking)
    version = known_version(client, NAME, found.number)
    tags = version.tags
    assert tags["gates"] == "failed: coverage_80_1; simulated market"
    assert (tags["candles"], tags["coins"]) == ("spot 1d trades", "AAAUSDT,BBBUSDT")
    assert (tags["feature_set"], tags["semantic_version"]) == ("candles/1", found.semantic)
    assert json.loads(tags["evaluation"])["figures"] == {"skill": 0.1} and len(tags["key"]) == 64
    run = lineage_of(version).runs["forecast"]
    assert json.loads(tags["gates.report"])["run"] == run
    assert own_settings(version).forecast == settings.forecast
    assert holder(client, NAME, "Production") is None
    told = in_words(found, "Production", None)
    assert "not Production: 0 of 1 gates passed; failed: coverage_80_1; simulated market" in told
    assert f"steps.promote --name {NAME} --version {found.number} --force --reason" in told
    with pytest.raises(GatesNotPassedError, match="coverage_80_1"):
        promote(NAME, found.number, why=Grounds(bounds=found.report.bounds), tryout=print)
    chain = load_chain(NAME, found.number).unwrap_python_model().chain
    assert "lightgbm==" in Path(chain.folder.parents[1], "requirements.txt").read_text()
    again = registered(settings, FAILED)
    assert (again.same_as, again.semantic) == (found.number, "1.0.1")
    hours = settings.candles.model_copy(update={"interval": "1h"})
    with pytest.raises(OtherSeriesError, match=r"is of spot 1d trades, and this is of spot 1h"):
        check_name(client, NAME, hours)


@pytest.mark.long
def test_one_that_passed_is_put_in_place_by_a_fresh_process_and_served_without_torch(
    settings, tmp_path
) -> None:
    found, second = (registered(settings, PASSED, putting=True) for _ in range(2))
    client = connect(settings.tracking)
    assert holder(client, NAME, "Production") == second.number
    back = roll_back(NAME, "Production", client=client)
    assert (back.version, back.is_simulated) == (found.number, True)
    golden = load_chain(NAME).unwrap_python_model().chain.folder / "golden_input.json"
    body = json.loads(golden.read_text())
    for module in ("torch", "quantgod"):
        (tmp_path / f"{module}.py").write_text(POISON)
    environment = {
        "MLFLOW_TRACKING_URI": settings.tracking.uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PYTHONPATH": str(tmp_path),
    }
    served = ("mlflow", "models", "serve", "-m", f"models:/{NAME}@Production")
    place = {"port": free_port(), "health": "/ping", "folder": tmp_path, "environment": environment}
    with module_server(*served, "--env-manager", "local", **place) as server:
        status, answer = post(server, body)
        body["dataframe_split"]["data"][-1][1] = "yesterday"
        refused = post(server, body)
    assert status == 200
    assert (refused[0], refused[1]["code"]) == (400, "bad_datetime")
    said = pd.DataFrame(answer["predictions"])
    run, last = made(), slice(-2, None)
    for at, ahead in enumerate(settings.forecast.horizons):
        wide = run.table.sigma[run.forward.rows[last]] * np.sqrt(ahead)
        issued, own = run.walked.issued[at].take(last), said[said.horizon == ahead]
        np.testing.assert_allclose(own.expected_return, issued.mean * wide, atol=1e-6)
        np.testing.assert_allclose(own["return_q97.5"], issued.quantiles[:, -1] * wide, atol=1e-6)


def post(server: Server, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    with closing(HTTPConnection(server.address.removeprefix("http://"), timeout=60)) as connection:
        kind = {"Content-Type": "application/json"}
        connection.request("POST", "/invocations", json.dumps(body), kind)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
