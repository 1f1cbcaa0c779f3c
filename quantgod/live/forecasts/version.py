"""Find the version that forecasts candles, and the candles that it forecasts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow import MlflowClient

from quantgod.archive.candles.store import read_candles
from quantgod.archive.store import StoreError
from quantgod.contracts import Candles
from quantgod.live.forecasts.ledger import read_ledger
from quantgod.live.forecasts.records import Whose
from quantgod.registry.lineage import lineage_of
from quantgod.registry.registered import (
    FILES_TAG,
    BrokenVersionError,
    NoSuchVersionError,
    VersionError,
    all_versions,
    holder,
    known_version,
    option_of,
)
from quantgod.registry.right import UnjudgedVersionError, right_of
from quantgod.registry.versions import load_chain
from quantgod.settings import Settings, bare_command, command, with_values

DIGITS: Final = 16
"""Of the digest of a version's files, in the ledger."""


class UnjudgedWarning(UserWarning):
    """A version forecasts that nothing entitles to."""


@dataclass(frozen=True)
class InPlace:
    """The version at an alias, checked and loaded.

    Attributes:
        whose: what its rows of the ledger are told by.
        chain: with code of its own.
        right: by which it is in place.
        market: says that it learned a simulated market, if it did.
    """

    whose: Whose
    chain: Any
    right: str
    market: str

    def __str__(self) -> str:
        return f"{self.whose.name} {self.whose.version}"

    def coins(self, asked: Sequence[str]) -> tuple[str, ...]:
        """Return the coins to forecast: those asked for, or all.

        Raises:
            VersionError: naming a coin that it does not know, and those that it knows.
        """
        known = tuple(self.chain.contract.served)
        if unknown := [coin for coin in asked if coin not in known]:
            raise VersionError(f"{self} knows {', '.join(known)}, not {', '.join(unknown)}")
        return tuple(asked) or known


def version_in_place(client: MlflowClient, settings: Settings) -> InPlace:
    """Return the version at the alias, its files and its golden output checked.

    Raises:
        NoSuchVersionError: if there is none, with what to do.
        UnjudgedVersionError: if nothing entitles it to the alias and `live.unjudged` refuses such.
        BrokenVersionError: if its files are not the registered ones, or it forecasts no candles.
    """
    name, alias = settings.forecast.name, settings.registry.alias
    number = holder(client, name, alias)
    if number is None:
        raise NoSuchVersionError(f"{name}@{alias}: {_what_to_do(client, name)}")
    right, found = _right(client, settings, number), known_version(client, name, number)
    chain = load_chain(name, number).unwrap_python_model().chain  # type: ignore[no-untyped-call]
    candles = getattr(chain.contract, "candles", None)
    if candles is None:
        raise BrokenVersionError(f"{name} {number} forecasts no candles: give another --name")
    told = " ".join(candles[part] for part in ("market", "interval", "kind"))
    whose = Whose(name, number, found.tags.get(FILES_TAG, "")[:DIGITS], told)
    market = "simulated market" if "simulate" in lineage_of(found).runs else ""
    return InPlace(whose, chain, right, market)


def own_candles(settings: Settings, contract: Any) -> Settings:
    """Return settings of a version's own candles: all its coins move its weights."""
    values = {
        "candles.coins": list(contract.served),
        "candles.market": contract.candles["market"],
        "candles.interval": contract.candles["interval"],
    }
    return with_values(settings, values)


def candles_of(settings: Settings, contract: Any, asked: Sequence[str]) -> list[Candles]:
    """Return the stored candles of a version's coins; one that nobody asks for may be absent.

    Raises:
        StoreError: naming a coin that is asked for and not stored.
    """
    absent = [coin for coin in contract.served if coin not in asked]
    found = [_stored(settings, contract, coin) for coin in asked]
    found += _those_stored(settings, contract, absent)
    return sorted(found, key=lambda one: contract.served.index(one.symbol))


def further_candles(settings: Settings, contract: Any, ledger: Path) -> list[Candles]:
    """Return the stored candles of coins that wait in a ledger and that a version does not know."""
    kept = read_ledger(ledger)
    waiting = sorted({*kept.loc[kept["scored_at"].isna(), "symbol"]} - {*contract.served})
    return list(_those_stored(settings, contract, waiting))


def _those_stored(settings: Settings, contract: Any, coins: Sequence[str]) -> Iterator[Candles]:
    for coin in coins:
        try:
            yield _stored(settings, contract, coin)
        except StoreError:
            continue


def _stored(settings: Settings, contract: Any, coin: str) -> Candles:
    told = contract.candles
    return read_candles(
        settings.candles.folder, told["market"], coin, told["interval"], told["kind"]
    )


def _right(client: MlflowClient, settings: Settings, number: int) -> str:
    name, alias = settings.forecast.name, settings.registry.alias
    try:
        return right_of(client, known_version(client, name, number), alias)
    except UnjudgedVersionError as error:
        if settings.live.unjudged == "refuse":
            raise
        warnings.warn(f"{alias}: {error}", UnjudgedWarning, stacklevel=3)
        return "by no right"


def _what_to_do(client: MlflowClient, name: str) -> str:
    """Say how a version comes to the alias."""
    train = f"`{command('forecast')}` trains one, and puts it there if its gates pass"
    if not (there := all_versions(client, name)):
        return f"no version is registered; {train}"
    forced = bare_command("promote", option_of(there[-1]), "--force --reason '...'")
    return (
        f"no version has this alias (its case matters); {train}; `{forced}` puts the newest one "
        "there all the same"
    )
