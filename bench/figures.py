"""The tables of the docs, from the newest runs in the store: `python -m bench.figures`.

Run what a table tells of first (`make demo`, `main` on `conf/real_prices.yaml`, `make power`); a
table whose run is not there is left as it is, and named. `--print` changes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import mlflow
import msgspec
from mlflow import MlflowClient
from mlflow.entities import Run

from bench.forecast_tables import forecast_lines
from bench.interval_tables import interval_lines
from quantgod.evaluation.evidence import (
    BACKTEST_FILE,
    EVALUATION_FILE,
    BacktestResult,
    EvaluationResult,
    read_evidence,
)
from quantgod.evaluation.intervals import Interval
from quantgod.gates.forecast_power import power as foresight
from quantgod.gates.interval_proof import Proof
from quantgod.gates.power import MOVING, Power, ensemble_rows, gate_rows, loss_rows
from quantgod.gates.power_curve import (
    HALVES,
    NULL_HEAD,
    PLACE_HEAD,
    grid,
    null_gate_rows,
    null_rows,
    place_rows,
)
from quantgod.gates.zoo.power import ZooPower, head, rows
from quantgod.settings import load_settings
from quantgod.tracking.keys import artifacts_of, output_of
from quantgod.tracking.stage import HEADLINE_TAG, MACHINE_TAG, STAGE_TAG
from quantgod.tracking.store import PROJECT, connect

FILES: Final = ("docs/results.md", "docs/judging.md")
DEMO, REAL_PRICES = (
    load_settings(PROJECT / "conf" / name).registry.name
    for name in ("demo.yaml", "real_prices.yaml")
)
"""The models that the tables tell of."""

DAILY: Final = load_settings(PROJECT / "conf" / "daily.yaml").forecast.name

MODELS: Final = {
    "auditor": "auditor (served)",
    "base": "base network",
    "logistic_regression": "logistic regression",
    "gradient_boosting": "gradient boosting",
    "persistence": "persistence",
    "majority": "majority",
}
SCORES: Final = {
    "macro_f1": "macro-F1",
    "log_loss": "log-loss",
    "mcc": "MCC",
    "ece": "calibration error",
}


class NoRunError(LookupError):
    """What a table tells of has not been run."""


def main() -> int:
    """Put every table between its markers; 1 where a run is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.figures", description=__doc__)
    parser.add_argument("--print", action="store_true", help="print the tables, change no file")
    asked = parser.parse_args()
    client = connect(load_settings(PROJECT / "conf" / "full.yaml").tracking)
    tables, missing = {}, []
    for name, make in TABLES.items():
        try:
            tables[name] = make(client)
        except NoRunError as error:
            missing.append(f"{name}: {error}")
    for path in (PROJECT / name for name in FILES):
        if asked.print or not path.exists():
            continue
        path.write_text(put(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
    lines = [*(tables.values() if asked.print else ()), *missing]
    sys.stdout.write("\n\n".join(lines) + "\n" if lines else "")
    return 1 if missing else 0


def put(text: str, tables: dict[str, str]) -> str:
    """The text with each table between `<!-- figures: NAME -->` and `<!-- end -->`."""
    for name, table in tables.items():
        begin, end = f"<!-- figures: {name} -->\n", "<!-- end -->"
        before, mark, rest = text.partition(begin)
        if mark:
            text = f"{before}{begin}{table}\n{end}{rest.partition(end)[2]}"
    return text


def demo(client: MlflowClient) -> str:
    """Scores of the newest model of the demo beside its baselines, its trades and its gates."""
    evaluation, trades, run = _judged(client, DEMO)
    headers = "| model | " + " | ".join(SCORES.values()) + " |"
    rows = [
        f"| {said} | "
        + " | ".join(_interval(evaluation.models[model][score]) for score in SCORES)
        + " |"
        for model, said in MODELS.items()
    ]
    found = evaluation.coverage
    return "\n".join(
        [
            f"On {evaluation.rows:,} test minutes that equal {evaluation.effective_rows:,.0f} "
            "independent labels, with 95 % intervals:",
            "",
            headers,
            "|---" * (len(SCORES) + 1) + "|",
            *rows,
            "",
            f"{_money(trades)}; of {found.promised:g} promised of its conformal sets "
            f"{_interval(found.found)} found; {_gates(client, run)}. {_measured(run)}",
        ]
    )


def demo_times(client: MlflowClient) -> str:
    """What each stage of the newest whole demo took."""
    for parent in _newest(client, "main"):
        if parent.data.params.get("registry.name") != DEMO:
            continue
        wanted = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
        children = client.search_runs([parent.info.experiment_id], wanted)
        seconds = {run.data.tags[STAGE_TAG]: _seconds(run) for run in reversed(children)}
        if {"simulate", "promote"} <= seconds.keys():
            each = ", ".join(f"{stage} {took:.0f}" for stage, took in seconds.items())
            return f"{_seconds(parent):.0f} seconds in all ({each}). {_measured(parent)}"
    raise NoRunError("no run of `main` has made every stage of the demo: `make demo`")


def real_prices(client: MlflowClient) -> str:
    """What came of the model on real prices, in a sentence."""
    evaluation, trades, run = _judged(client, REAL_PRICES)
    scores = ", ".join(
        f"{said} {_interval(evaluation.models[model]['macro_f1'])}"
        for model, said in (("auditor", "auditor"), ("base", "base"), ("majority", "majority"))
    )
    return f"{scores} in macro-F1; {_money(trades)}; {_gates(client, run)}. {_measured(run)}"


def power(client: MlflowClient) -> str:
    """How many models of each kind of market passed each gate."""
    return _gates_passed(*_power(client, "make power", of_ensembles=False))


def ensembles(client: MlflowClient) -> str:
    """Log-losses of ensembles and of what they are made of, and how many passed each gate."""
    told = "python -m steps.power --config conf/ensemble_power.yaml"
    found, run = _power(client, told, of_ensembles=True)
    counted = ("kind", "beats its best member", *(f"{one} lasts" for one in MOVING))
    tables = (_table(*loss_rows(found)), _table(counted, ensemble_rows(found)))
    return "\n\n".join([*tables, _gates_passed(found, run)])


def _power(client: MlflowClient, told: str, *, of_ensembles: bool) -> tuple[Power, Run]:
    """Return the newest experiment with ensembles, or with single networks."""
    for run in _newest(client, "power"):
        kept = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/power.json")
        found = msgspec.convert(kept, Power)
        if all(one.is_ensemble is of_ensembles for one in found.rehearsals):
            return found, run
    raise NoRunError(f"`{told}` has not been run")


def _gates_passed(found: Power, run: Run) -> str:
    null, planted = (len(found.of(kind)) for kind in ("null", "planted"))
    passed = f"| **all of them** | **{found.passes('null')}** | **{found.passes('planted')}** |"
    return "\n".join(
        [
            f"| gate | null, of {null} | planted, of {planted} |",
            "|---|---|---|",
            passed,
            *(f"| `{gate}` | {_short(a)} | {_short(b)} |" for gate, a, b in gate_rows(found)),
            "",
            f"{_seconds(run) / 60:.0f} minutes. {_measured(run)}",
        ]
    )


def power_curve(client: MlflowClient) -> str:
    """How many models pass by strength of the signal and days of data, and what null ones did."""
    run = _last(client, "power_curve", "python -m steps.power --config conf/power_curve.yaml")
    kept = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/power_curve.json")
    found = msgspec.convert(kept, Power)
    tables = (
        grid(found),
        (PLACE_HEAD, place_rows(found)),
        (NULL_HEAD, null_rows(found)),
        (["gate, of null markets", *HALVES.values()], null_gate_rows(found)),
    )
    return "\n\n".join([*(_table(head, rows) for head, rows in tables), _measured(run)])


def zoo(client: MlflowClient) -> str:
    """In how many markets each network has found each kind of signal."""
    run = _last(client, "zoo_power", "python -m steps.zoo_power")
    kept = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/zoo_power.json")
    found = msgspec.convert(kept, ZooPower)
    names = head(found)
    wrong = [f"- {one}" for one in found.wrong]
    return "\n".join(
        [_table(names, rows(found)), *(["", *wrong] if wrong else []), "", _measured(run)]
    )


def forecast_power(client: MlflowClient) -> str:
    """What is claimed of series of candles by kind and horizon, and how many passed each gate."""
    run = _last(client, "forecast_power", "python -m steps.forecast_power")
    kept = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/forecast_power.json")
    found = msgspec.convert(kept, foresight.ForecastPower)
    passed = _table(("gate", *foresight.KINDS), foresight.gate_rows(found))
    seconds = sum(one.seconds for one in found.findings)
    told = f"{found.headline}. {seconds / 60:.0f} minutes of all series together. {_measured(run)}"
    wrong = [f"- {one}" for one in found.wrong]
    tables = _table(foresight.HEAD, foresight.summary_rows(found)), passed
    return "\n\n".join([*tables, *(["\n".join(wrong)] if wrong else []), told])


def intervals(client: MlflowClient) -> str:
    """How often intervals hold the truth, and how wide they are."""
    run = _last(client, "intervals", "python -m steps.power --intervals 1000")
    kept = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/intervals.json")
    return "\n".join([*interval_lines(msgspec.convert(kept, Proof)), "", _measured(run)])


def forecasts(client: MlflowClient) -> str:
    """Scores of the newest forecasts of real daily candles."""
    for run in _newest(client, "forecast"):
        if run.data.params.get("forecast.name") == DAILY:
            with tempfile.TemporaryDirectory() as folder:
                place = artifacts_of(run.info.run_id, "report", Path(folder))
                record = msgspec.json.decode((place / "training_report.json").read_bytes())
            return "\n".join([*forecast_lines(record), "", _measured(run)])
    raise NoRunError("`python -m steps.forecast --config conf/daily.yaml` has not been run")


TABLES: Final[dict[str, Callable[[MlflowClient], str]]] = {
    "demo": demo,
    "demo times": demo_times,
    "real prices": real_prices,
    "power": power,
    "power curve": power_curve,
    "ensembles": ensembles,
    "intervals": intervals,
    "zoo": zoo,
    "forecasts": forecasts,
    "forecast power": forecast_power,
}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def _judged(client: MlflowClient, name: str) -> tuple[EvaluationResult, BacktestResult, Run]:
    """The newest evaluation of a version of this model, and the backtest of it."""
    for run in _newest(client, "evaluate"):
        if output_of(run.info.run_id).get("name") == name:
            trades = next(iter(_newest(client, "backtest", run)), None)
            if trades is not None:
                with tempfile.TemporaryDirectory() as folder:
                    place = Path(folder)
                    scored = artifacts_of(run.info.run_id, EVALUATION_FILE, place)
                    traded = artifacts_of(trades.info.run_id, BACKTEST_FILE, place)
                    return (
                        read_evidence(scored, EvaluationResult),
                        read_evidence(traded, BacktestResult),
                        run,
                    )
    raise NoRunError(f"no version of {name} was evaluated and traded")


def _newest(client: MlflowClient, stage: str, evaluated: Run | None = None) -> Iterator[Run]:
    """Finished runs of a stage, of this evaluation if one is given, the newest first."""
    wanted = f"tags.`{STAGE_TAG}` = '{stage}' and attributes.status = 'FINISHED'"
    if evaluated is not None:
        wanted += f" and tags.`quantgod.upstream.evaluate` = '{evaluated.info.run_id}'"
    experiments = [one.experiment_id for one in client.search_experiments()]
    yield from client.search_runs(experiments, wanted, order_by=["attributes.start_time DESC"])


def _last(client: MlflowClient, stage: str, command: str) -> Run:
    """Return the newest finished run of the stage that a command makes."""
    for run in _newest(client, stage):
        return run
    raise NoRunError(f"`{command}` has not been run")


def _gates(client: MlflowClient, evaluated: Run) -> str:
    run = next(iter(_newest(client, "gates", evaluated)), None)
    return "not judged by gates" if run is None else str(run.data.tags[HEADLINE_TAG])


def _money(found: BacktestResult) -> str:
    net = found.net_pnl
    return (
        f"{found.trades:,} trades net {net.value:,.0f} [{net.low:,.0f}, {net.high:,.0f}] on an "
        f"account of {found.initial_balance:,.0f} after {found.fees:,.0f} of fees"
    )


def _measured(run: Run) -> str:
    """What a run was made on; scores differ in late digits from processor to processor."""
    tags = run.data.tags
    return f"Measured on {tags.get(MACHINE_TAG, 'a machine that was not noted')}."


def _seconds(run: Run) -> float:
    return float(run.info.end_time - run.info.start_time) / 1000


def _interval(value: Interval) -> str:
    bounds = f"[{value.low:.3f}, {value.high:.3f}]" if value.enough else f"({value.lacks})"
    return f"{value.value:.3f} {bounds}"


def _short(count: str) -> str:
    """`10/10` as 10 where the whole number is in the table's head."""
    return count.partition("/")[0]


if __name__ == "__main__":
    sys.exit(main())
