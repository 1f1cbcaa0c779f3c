"""Register a version of a run of forecasts with its gates' verdict, and promote one that passed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any, Final

import msgspec
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

from quantgod.contracts import Candles
from quantgod.evaluation.evidence import write_evidence
from quantgod.evaluation.forecasts.run import ForecastRun
from quantgod.gates import GATES_FILE, Gate, GateReport
from quantgod.registry import promotion
from quantgod.registry.daily.bounds import CANDLES_TAG, forecast_bounds
from quantgod.registry.daily.package import DailyPackage, build_package
from quantgod.registry.gate_tags import record_gates
from quantgod.registry.ledger import Entry
from quantgod.registry.lineage import SIMULATED, EvaluationSummary, Lineage, lineage_of_run
from quantgod.registry.own_settings import SETTINGS_FILE, keep_settings
from quantgod.registry.ownership import FEATURE_SET_TAG, OtherSeriesError
from quantgod.registry.promotion import Grounds
from quantgod.registry.registered import FILES_TAG, all_versions, holder, known_version
from quantgod.registry.registration import same_before
from quantgod.registry.semantic_version import SEMANTIC_TAG, parts_tag
from quantgod.registry.versions import describe, pinned, register_files
from quantgod.served.candles.contract import Contract
from quantgod.served.candles.quantiles import LEVELS
from quantgod.served.candles.state import experts_of
from quantgod.settings import CandleSettings, bare_command
from quantgod.tracking.stage import StageRun

COINS_TAG: Final = "coins"
KEY_TAG: Final = "key"
DESCRIPTION: Final = """Forecasts of {candles} candles.

A version's tags say which coins it knows (`coins`), what the gates said (`gates`) and what it was
made of (`lineage`). `forecast` promotes what passes its gates, `promote` and `rollback` move the
alias by hand; `deployments` shows which version was in place when, and why."""


@dataclass(frozen=True)
class DailyRegistration:
    """A new registered version.

    Attributes:
        name: of the registered model.
        number: of the version.
        semantic: its semantic version.
        same_as: the newest earlier version that is the same model, or None.
        export_difference: largest difference between a graph and its torch module.
        report: of its gates.
    """

    name: str
    number: int
    semantic: str
    same_as: int | None
    export_difference: float
    report: GateReport


def check_name(client: MlflowClient, name: str, own: CandleSettings) -> None:
    """Check that a name has no version of other candles, nor one of anything else.

    Coins may change from version to version, which its semantic version then says.

    Raises:
        OtherSeriesError: naming the version, its candles, and the setting to change.
    """
    ours = candles_of(own.market, own.interval, own.kind)
    for found in reversed(all_versions(client, name)):
        if (theirs := found.tags.get(CANDLES_TAG)) != ours:
            raise OtherSeriesError(
                f"{name} {found.version} is of {theirs or 'no candles'}, and this is of {ours}: "
                "give another name, such as "
                f"`--set forecast.name={name}-{ours.replace(' ', '-')}`"
            )


def candles_of(market: str, interval: str, kind: str) -> str:
    """Return what a version's candles are called in its tag: `spot 1d trades`."""
    return f"{market} {interval} {kind}"


def register_forecasts(
    run: StageRun,
    made: ForecastRun,
    coins: Sequence[Candles],
    gates: Sequence[Gate],
    figures: Mapping[str, float],
) -> DailyRegistration:
    """Register a run's forecaster under `forecast.name`, with the verdict of its gates.

    The verdict is kept by the run, as that on any version, so that a promotion finds it.

    Args:
        run: of the stage `forecast`.
        made: what it made.
        coins: the candles that it was made from.
        gates: their verdicts.
        figures: scores, for the version's tags.

    Raises:
        OtherSeriesError: if the name has a version of other candles.
        ExportError: if a graph differs from its network.
    """
    how, name = run.settings.forecast, run.settings.forecast.name
    check_name(run.client, name, run.settings.candles)
    made_of = _lineage(run)
    with run.scratch() as folder:
        told = {"run": run.run_id, "key": run.key, **msgspec.to_builtins(made_of)}
        package = build_package(folder / "package", made, coins, how, told)
        number = _registered(run, name, package, made_of, figures)
    report = _judged(run, name, number, gates, made_of)
    version = known_version(run.client, name, number)
    semantic = version.tags.get(SEMANTIC_TAG, "")
    same = same_before(run.client, name, number)
    return DailyRegistration(name, number, semantic, same, package.export_difference, report)


def promote_forecasts(run: StageRun, registered: DailyRegistration) -> Entry | None:
    """Put a version that passed its gates in place at `registry.alias`; a failed one stays out.

    Returns:
        The ledger's entry; None if the gates did not pass.

    Raises:
        BrokenVersionError: if a fresh process cannot load it, or its golden output differs.
        ConcurrentPromotionError: if another promotion was faster.
    """
    if not registered.report.passed:
        return None
    why, alias = Grounds(bounds=registered.report.bounds), run.settings.registry.alias
    return promotion.promote(registered.name, registered.number, alias, why, client=run.client)


def in_words(registered: DailyRegistration, alias: str, promoted: Entry | None) -> str:
    """Return what became of a version, and of one that stays out how to force it."""
    name, number, report = registered.name, registered.number, registered.report
    what = f"{name} {number} ({registered.semantic}) is registered"
    if registered.same_as is not None:
        what += f", the same model as version {registered.same_as}"
    if promoted is not None:
        return f"{what}; {promotion.in_words(name, alias, number, promoted)}"
    option = f"--name {quote(name)} --version {number}"
    forced = bare_command("promote", option, "--force --reason '...'")
    return f"{what} and not {alias}: {report.in_words()}; `{forced}` puts it in place all the same"


def requirements() -> list[str]:
    """Return the packages that serving needs, pinned to the present versions."""
    return pinned("mlflow", "numpy", "onnxruntime", "pandas", "lightgbm", "safetensors")


def signature(contract: Contract) -> ModelSignature:
    """Return the signature of the outputs, by name. A version itself parses inputs, strictly.

    MLflow would convert inputs that a signature names before the version sees them.
    """
    levels = [f"q{100 * level:g}" for level in LEVELS]
    numbers = ["close", "expected_return"]
    numbers += [f"{kind}_{level}" for kind in ("return", "price") for level in levels]
    experts = [
        f"{name}_{what}" for name in experts_of(contract.members) for what in ("return", "weight")
    ]
    return ModelSignature(
        outputs=Schema(
            [
                *(ColSpec("string", name) for name in ("symbol", "datetime", "due")),
                ColSpec("long", "horizon"),
                *(ColSpec("double", name) for name in (*numbers, "up_probability")),
                ColSpec("string", "regime"),
                *(ColSpec("double", name) for name in experts),
            ]
        )
    )


def _registered(
    run: StageRun,
    name: str,
    package: DailyPackage,
    made_of: Lineage,
    figures: Mapping[str, float],
) -> int:
    asked, contract = signature(package.contract), package.contract
    candles = candles_of(**contract.candles)
    tags = {
        **made_of.tags(),
        **EvaluationSummary(run.run_id, dict(figures)).tags(),
        **parts_tag(package.parts(asked.to_dict())),
        KEY_TAG: run.key,
        CANDLES_TAG: candles,
        COINS_TAG: ",".join(contract.served),
        FEATURE_SET_TAG: contract.feature_set,
    }
    number = register_files(package, name, tags, asked, requirements())
    describe(name, DESCRIPTION.format(candles=candles))
    return number


def _lineage(run: StageRun) -> Lineage:
    """Return where a version comes from; its run also registers it and keeps its settings."""
    kept = keep_settings(run.outbox.artifacts / SETTINGS_FILE, run.settings)
    made_of = lineage_of_run(run, kept)
    runs: dict[str, Any] = {**made_of.runs, "register": run.run_id}
    if run.settings.candles.source == "simulate":
        # By this the ledger says that the market is simulated.
        runs["simulate"] = runs.get("candles", run.run_id)
    return msgspec.structs.replace(made_of, runs=runs)


def _judged(
    run: StageRun, name: str, number: int, gates: Sequence[Gate], made_of: Lineage
) -> GateReport:
    """Keep the verdict with the run, at once, and write it to the version's tags."""
    settings = run.settings
    report = GateReport(
        name=name,
        version=number,
        files_sha256=known_version(run.client, name, number).tags[FILES_TAG],
        data=made_of.data,
        champion=holder(run.client, name, settings.registry.alias),
        at=dt.datetime.now(dt.UTC).isoformat(),
        run_id=run.run_id,
        gates=tuple(gates),
        bounds=forecast_bounds(settings),
        market=SIMULATED if settings.candles.source == "simulate" else "",
    )
    kept = run.outbox.artifacts / GATES_FILE
    write_evidence(kept, report)
    run.client.log_artifact(run.run_id, str(kept))
    record_gates(run.client, report)
    return report
