"""Build the folder that is registered of a run of forecasts: members, ensemble, golden candles."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from quantgod.contracts import Candles
from quantgod.evaluation.forecasts.run import ForecastRun
from quantgod.files import file_digest, tree_digest, value_digest, write_json
from quantgod.registry.daily import chain
from quantgod.registry.daily.chain import CONTRACT, PARTS, REGIMES, SERVED, TIMELINE, Chain
from quantgod.registry.daily.members import write_part
from quantgod.registry.daily.posting import rows_to_post
from quantgod.registry.package import SERVED_FOLDER
from quantgod.served.candles.contract import Contract
from quantgod.served.candles.features import sets
from quantgod.served.candles.rows import REACH
from quantgod.served.request.candles import TIME
from quantgod.settings import ForecastSettings

CHAIN_FILE = Path(chain.__file__)
_FACE = ("served", "candles", "horizons", "members", "rows")
"""Of a contract: what requests and answers depend on."""


@dataclass(frozen=True)
class DailyPackage:
    """A finished folder.

    Attributes:
        folder: its files.
        code: its chain file, which is registered beside the folder.
        manifest_sha256: digest of `manifest.json`, which holds the digests of all other files.
        export_difference: largest difference between a graph and its torch module.
        contract: of the version.
    """

    folder: Path
    code: Path
    manifest_sha256: str
    export_difference: float
    contract: Contract

    def parts(self, answers: dict[str, Any]) -> dict[str, str]:
        """Return the digest of each part, by which versions are numbered.

        Args:
            answers: the signature, as a dictionary.
        """
        members = sorted(one for one in (self.folder / PARTS).rglob("*") if one.is_file())
        copied = sorted((self.folder / SERVED).rglob("*.py"))
        told = dataclasses.asdict(self.contract)
        return {
            "graph": tree_digest(self.folder, members),
            "combiner": file_digest(self.folder / TIMELINE),
            "contract": file_digest(self.folder / CONTRACT),
            "code": value_digest([file_digest(path) for path in (self.code, *copied)]),
            "interface": value_digest([answers, {name: told[name] for name in _FACE}]),
        }


def build_package(
    folder: Path,
    made: ForecastRun,
    coins: Sequence[Candles],
    how: ForecastSettings,
    lineage: dict[str, Any] | None = None,
) -> DailyPackage:
    """Assemble in `folder` (new or empty) all that a version needs except its code.

    The finished chain's forecasts from the newest candles are stored, and compared at every load.

    Args:
        folder: of the package.
        made: the run; networks are moved to the CPU.
        coins: the candles that it was made from.
        how: its settings.
        lineage: what is told of where the version comes from.

    Raises:
        ValueError: if the folder is not empty, or no coin's newest candles are without a hole.
        ExportError: if a graph differs from its network.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: an empty folder was expected")
    folder.mkdir(parents=True, exist_ok=True)
    contract = contract_of(made, coins, how)
    newest = made.forward.newest
    worst = [
        write_part(folder / PARTS / f"{number:03d}", one, made.table)
        for number, one in enumerate(newest)
    ]
    write_json(folder / CONTRACT, dataclasses.asdict(contract))
    write_json(folder / TIMELINE, made.walked.timeline.to_json())
    write_json(folder / REGIMES, made.regimes)
    write_json(folder / "lineage.json", lineage or {})
    shutil.copytree(SERVED_FOLDER, folder / SERVED, ignore=shutil.ignore_patterns("__pycache__"))
    _write_golden(folder, golden_rows(coins, contract))
    digests = {name: file_digest(path) for name, path in chain.files_of(folder).items()}
    write_json(folder / chain.MANIFEST, digests | {"chain.py": file_digest(CHAIN_FILE)})
    manifest = file_digest(folder / chain.MANIFEST)
    return DailyPackage(folder, CHAIN_FILE, manifest, max(worst), contract)


def contract_of(made: ForecastRun, coins: Sequence[Candles], how: ForecastSettings) -> Contract:
    """Return what a version of this run takes, and answers."""
    first, names = coins[0], made.table.coins
    spoken = {coin for one in made.forward.newest for coin in one.part.coins}
    return Contract(
        coins=list(names),
        served=[name for number, name in enumerate(names) if number in spoken],
        candles={"market": first.market, "interval": first.interval, "kind": first.kind},
        step_ms=made.table.step_ms,
        horizons=list(how.horizons),
        window=how.window,
        members=list(made.forward.members),
        feature_set=sets.VERSION,
        reach=REACH,
        rows=REACH + how.window - 1,
    )


def golden_rows(coins: Sequence[Candles], contract: Contract) -> pd.DataFrame:
    """Return the newest candles of each served coin that has enough of them without a hole.

    Raises:
        ValueError: if there is none.
    """
    span = (contract.rows - 1) * contract.step_ms
    kept = []
    for one in coins:
        newest = one.take(slice(max(0, len(one) - contract.rows), None))
        whole = len(newest) == contract.rows and newest.time_ms[-1] - newest.time_ms[0] == span
        if whole and one.symbol in contract.served:
            kept.append(newest)
    if not kept:
        raise ValueError(
            f"{contract.rows} newest candles without a hole expected of one coin or more, "
            f"{', '.join(one.symbol for one in coins)} have none"
        )
    rows = rows_to_post(kept)
    texts = pd.DatetimeIndex(pd.to_datetime(rows[TIME], unit="ms")).strftime("%Y-%m-%dT%H:%M:%SZ")
    return rows.assign(**{TIME: texts})


def _write_golden(folder: Path, rows: pd.DataFrame) -> None:
    known = rows.astype(object).where(rows.notna(), None)  # JSON has no NaN, which a volume may be
    body = known.to_dict(orient="split", index=False)
    write_json(folder / chain.GOLDEN_INPUT, {"dataframe_split": body})
    said = Chain(folder).forecast(rows)
    write_json(folder / chain.GOLDEN_OUTPUT, {"predictions": said.to_dict(orient="records")})
