"""Follow the registry's aliases without delaying any candle.

Registry requests, downloads, checks and warm-up run in threads beside the event loop. A version
that has passed is ready, and takes over at the next call of `champion`, between two candles. A
version that fails is refused, and the loaded one stays.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from quantgod.contracts import Series
from quantgod.contracts.minute_rows import KEPT_MINUTES
from quantgod.contracts.model_notices import Level, ModelNotice, Report, SwapCode
from quantgod.contracts.panel import NOBODY
from quantgod.live.deployment.beside import beside
from quantgod.live.deployment.loaded_model import Fit, LoadedModel, load_model
from quantgod.live.deployment.model_store import (
    Copy,
    Holder,
    ModelStore,
    RegistryAwayError,
    disabled,
    holder,
    right,
)
from quantgod.live.deployment.places import ActiveVersion, Place, Refusal, retry_seconds
from quantgod.live.journal import JournalError
from quantgod.market.binance import MARKET
from quantgod.registry.ownership import OtherSeriesError
from quantgod.registry.registered import NoSuchVersionError, VersionError
from quantgod.registry.right import UnjudgedVersionError
from quantgod.settings import Settings

ANSWER_SECONDS: Final = 15.0
"""The registry counts as away after this time without an answer; MLflow may still retry."""


class NoModelError(VersionError):
    """Neither the registry nor this disk has a usable version."""


def model_of(settings: Settings, symbol: str) -> str:
    """Return the registered model for a symbol.

    Raises:
        NoModelError: if the settings name none.
    """
    own = {settings.data.symbol: settings.registry.name}
    name = {**own, **settings.live.models}.get(symbol)
    if name is None:
        raise NoModelError(
            f"{symbol}: no registered model is named for it (registry.name is that of "
            f"{settings.data.symbol}): live.models={{{symbol}: NAME}} names one"
        )
    return name


def models_of(settings: Settings, symbols: Sequence[str]) -> dict[str, str]:
    """Return the registered model of each symbol.

    Raises:
        NoModelError: if the settings name none for a symbol, or the same one for two.
    """
    names = {symbol: model_of(settings, symbol) for symbol in symbols}
    for symbol, name in names.items():
        if others := [other for other in names if names[other] == name and other != symbol]:
            raise NoModelError(
                f"{name} is named for {symbol} and {', '.join(others)}, and a registered model is "
                f"of one symbol: live.models={{{others[0]}: NAME}} names another"
            )
    return names


def _unheard(_name: str, _version: int) -> None:
    """Ignore a version."""


class Deployment:
    """The versions that answer one symbol: the champion, and the challenger if its alias is set.

    Args:
        settings: names of model and aliases, polling interval, the bridge of a stretch, and which
            snapshots of the book are taken.
        symbol: of the answered minutes; versions of another series are refused.
        folder: of the verified copies.
        report: called with every notice, in the event loop.
        longest_window: rows that the engine keeps; a version that needs more is refused.
        loaded: called with name and number of a version whose weights move, in a thread.
    """

    def __init__(
        self,
        settings: Settings,
        symbol: str,
        folder: Path,
        report: Report,
        longest_window: int = KEPT_MINUTES,
        loaded: Callable[[str, int], None] = _unheard,
    ) -> None:
        self.name = model_of(settings, symbol)
        self._series = Series(symbol, MARKET)
        self._champion = Place(settings.registry.alias)
        self._challenger = Place(settings.live.challenger)
        self._places = (self._champion, self._challenger)
        self._poll_seconds = settings.live.poll_seconds
        self._refuses_unjudged = settings.live.unjudged == "refuse"
        self._bridge = settings.etl.max_bridge_minutes
        self._longest_window = longest_window
        self._book = settings.snapshots.shape
        self._store = ModelStore(folder, self.name)
        self._report, self._heard = report, loaded
        self._on_disk: tuple[Any, ...] = ()
        self._copy_failed = False

    async def start(self, patience: float = ANSWER_SECONDS) -> None:
        """Load the champion from the registry, or else from the last good copy.

        Args:
            patience: seconds to wait for the registry before a copy is used.

        Raises:
            NoModelError: naming what the registry and the disk lack.
            NoSuchVersionError: if the registry has no version with the alias.
            UnjudgedVersionError: if the version has no right to it, unless the settings allow it.
            OtherSeriesError: if it is of another symbol, market or source.
        """
        asking = asyncio.ensure_future(self._from_registry())
        try:
            await asyncio.wait([asking], timeout=patience)
            self._champion.loaded = await self._first(asking, patience)
        finally:
            asking.cancel()
        await self._record()

    async def run(self) -> None:
        """Poll the aliases until cancelled."""
        while True:
            for place in self._places:
                await self._look(place)
            await self._record()
            await asyncio.sleep(self._poll_seconds)

    def champion(self) -> LoadedModel:
        """Return the version that answers this candle; a ready version takes over now.

        Raises:
            NoModelError: before `start`.
        """
        deployed = self._take_over(self._champion)
        if deployed is None:
            raise NoModelError(f"{self.name}: start() was expected before the first candle")
        return deployed.model

    def challenger(self) -> LoadedModel | None:
        """Return the version that answers this candle in shadow, if any."""
        deployed = self._take_over(self._challenger)
        return None if deployed is None else deployed.model

    def numbers(self) -> tuple[int | None, int | None]:
        """Return the versions that have answered last, as champion and in shadow."""
        loaded = (place.loaded for place in self._places)
        champion, challenger = (None if one is None else one.model.version for one in loaded)
        return champion, challenger

    def describe(self) -> str:
        """Describe the answering versions in one line."""
        champion, challenger = self._champion.loaded, self._challenger.loaded
        said = "no model" if champion is None else self._named(champion)
        return said if challenger is None else f"{said}, shadow {challenger.model.version}"

    def _take_over(self, place: Place) -> ActiveVersion | None:
        if place.ready is not None:
            before, place.loaded, place.ready = place.loaded, place.ready, None
            over = "nothing" if before is None else f"version {before.model.version}"
            text = f"{self._named(place.loaded)} answers as {place.alias}, after {over}"
            self._tell("info", "swapped", text)
        return place.loaded

    async def _look(self, place: Place) -> None:
        try:
            held = await self._answer(place)
        except RegistryAwayError as error:
            self._away(place, str(error))
            return
        self._back(place)
        await self._listen(place)
        if held is None:
            self._nobody_holds(place)
            return
        place.trouble = None
        if place.loaded is not None and place.loaded.holder == held:
            place.refused = None
            self._withdraw(place, f"version {held.version} holds it, and answers already")
        elif not place.speaks(held) and self._may_be_tried(place, held):
            await self._prepare(place, held)

    async def _listen(self, place: Place) -> None:
        """Let those members abstain from the next candle on that are disabled now."""
        for which in ("ready", "loaded"):
            active: ActiveVersion | None = getattr(place, which)
            if active is None:
                continue
            try:
                off = await self._disabled(active.model, place)
            except RegistryAwayError:  # who was disabled stays so
                return
            if getattr(place, which) is active and off != active.model.disabled:
                setattr(place, which, active.without(off))
                who = "; ".join(f"{name} is disabled: {why}" for name, why in off.items())
                text = f"{self._named(active)}: {who or 'no member is disabled any more'}"
                self._tell("warning", "members_disabled", text)

    async def _disabled(self, model: LoadedModel, place: Place) -> Mapping[str, str]:
        """Return why members of a version are disabled; nobody is of one that is in shadow.

        Raises:
            RegistryAwayError: if that is not known.
        """
        if not model.members or place is self._challenger:
            return NOBODY
        return await beside(functools.partial(disabled, self.name, place.alias, model.version))

    async def _answer(self, place: Place) -> Holder | None:
        """Wait for the registry without limit, and report if it takes long."""
        asking = asyncio.ensure_future(self._ask(place))
        try:
            await asyncio.wait([asking], timeout=ANSWER_SECONDS)
            if not asking.done():
                self._away(place, f"no answer within {ANSWER_SECONDS:g} s")
            return await asking
        finally:
            asking.cancel()

    async def _prepare(self, place: Place, held: Holder) -> None:
        """Make a version ready or refuse it; the alias may have moved meanwhile."""
        try:
            deployed = await self._load(held, place)
        except VersionError as error:
            self._refuse(place, held, str(error))
            return
        with suppress(RegistryAwayError):  # it was promoted when the registry last answered
            if await self._ask(place) != held:
                return
        place.ready, place.refused = deployed, None
        text = f"{self._named(deployed)} is verified and waits for the next candle"
        self._tell("info", "ready", f"{place.alias}: {text}")

    async def _ask(self, place: Place) -> Holder | None:
        return await beside(functools.partial(holder, self.name, place.alias))

    def _nobody_holds(self, place: Place) -> None:
        place.refused = None
        self._withdraw(place, "nobody holds it any more")
        if place is self._challenger:
            place.loaded = None
        elif place.trouble != "alias_removed":
            place.trouble = "alias_removed"
            text = f"{place.alias}: nobody holds it any more; {self.describe()} goes on"
            self._tell("warning", "alias_removed", text)

    def _withdraw(self, place: Place, why: str) -> None:
        if place.ready is not None:
            text = f"{place.alias}: {self._named(place.ready)} will not take over: {why}"
            place.ready = None
            self._tell("info", "withdrawn", text)

    def _away(self, place: Place, why: str) -> None:
        if place.trouble != "registry_away" and place is self._champion:  # one notice for both
            self._tell("warning", "registry_away", f"{why}; {self.describe()} goes on")
        place.trouble = "registry_away"

    def _back(self, place: Place) -> None:
        if place.trouble == "registry_away":
            place.trouble = None
            if place is self._champion:
                text = f"{self.name}@{place.alias} can be asked again"
                self._tell("info", "registry_back", text)

    def _may_be_tried(self, place: Place, held: Holder) -> bool:
        refused = place.refused
        return (
            refused is None
            or refused.holder != held
            or asyncio.get_running_loop().time() >= refused.retry_at
        )

    def _refuse(self, place: Place, held: Holder, reason: str) -> None:
        before = place.refused
        again = before is not None and before.holder == held
        times = before.times + 1 if before is not None and again else 1
        retry_at = asyncio.get_running_loop().time() + retry_seconds(self._poll_seconds, times)
        place.refused = Refusal(held, reason, times, retry_at)
        if before is None or not again or before.reason != reason:
            text = f"{place.alias}: version {held.version} stays out: {reason}"
            self._tell("error", "refused", f"{text}; {self.describe()} goes on")

    async def _record(self) -> None:
        """Store what is deployed on disk if it changed, and remove other copies."""
        champion = self._champion.loaded
        parts = [one for place in self._places for one in (place.loaded, place.ready)]
        in_use = tuple(one.copy for one in parts if one is not None)
        if champion is None or (in_use, champion.model.disabled) == self._on_disk:
            return
        off = champion.model.disabled
        record = self._champion.alias, champion.copy, in_use, champion.right, off
        call = functools.partial(self._store.keep, *record)
        try:
            await beside(call)
        except OSError as error:
            if not self._copy_failed:
                self._tell("warning", "copy_failed", f"{self._named(champion)}: {error}")
            self._copy_failed = True
        else:
            self._on_disk, self._copy_failed = (in_use, off), False

    async def _load(self, held: Holder, place: Place) -> ActiveVersion:
        copy = await beside(functools.partial(self._store.fetch, held))
        right = await self._right(held.version, place)
        model = await self._loaded(copy)
        off = await self._disabled(model, place)
        return ActiveVersion(held, model, copy, right).without(off)

    async def _right(self, version: int, place: Place) -> str:
        """Return a version's right to answer; a challenger needs none, since nothing acts on it."""
        if place is self._challenger:
            return ""
        try:
            return await beside(functools.partial(right, self.name, place.alias, version))
        except UnjudgedVersionError as error:
            self._unjudged(error)
            return ""

    def _unjudged(self, error: UnjudgedVersionError) -> None:
        if self._refuses_unjudged:
            raise error
        self._tell("warning", "unjudged", f"{self._champion.alias}: {error}")

    async def _loaded(self, copy: Copy) -> LoadedModel:
        """Load in the loop's own threads: ending the process during native code would abort it."""
        fit = Fit(self._series, self._bridge, self._longest_window, self._book)
        model = await asyncio.to_thread(load_model, self.name, copy.version, copy.folder, fit)
        if model.members and model.combiner.online is not None:
            await self._remember(copy.version)
        return model

    async def _remember(self, version: int) -> None:
        """Let earlier votes of an ensemble be read, by which its weights have moved.

        Raises:
            VersionError: if they cannot be, since its weights would not be what they were.
        """
        try:
            await asyncio.to_thread(self._heard, self.name, version)
        except JournalError as error:
            text = f"{self.name} {version}: its earlier votes cannot be read: {error}"
            raise VersionError(text) from error

    async def _first(self, asking: asyncio.Future[ActiveVersion], patience: float) -> ActiveVersion:
        """Return the registry's version, or the last good copy, or the registry's late answer."""
        reason: VersionError = RegistryAwayError(f"no answer within {patience:g} s")
        try:
            if asking.done():
                return self._from_there(asking.result())
        except (NoSuchVersionError, UnjudgedVersionError, OtherSeriesError):
            raise
        except VersionError as error:
            reason = error
        try:
            return await self._from_copy(reason)
        except VersionError as error:
            lacking = error
        try:
            return self._from_there(await asking)
        except VersionError as error:
            raise NoModelError(
                f"{self.name}@{self._champion.alias}: from the registry: {error}; "
                f"from this disk: {lacking}"
            ) from error

    async def _from_registry(self) -> ActiveVersion:
        held = await self._ask(self._champion)
        if held is None:
            text = f"{self.name}@{self._champion.alias}: no version has this alias (its case"
            raise NoSuchVersionError(f"{text} matters)")
        return await self._load(held, self._champion)

    def _from_there(self, deployed: ActiveVersion) -> ActiveVersion:
        by = f": {deployed.right}" if deployed.right else ""
        self._tell("info", "loaded", f"{self._named(deployed)}, from the registry{by}")
        return deployed

    async def _from_copy(self, reason: VersionError) -> ActiveVersion:
        kept = await beside(functools.partial(self._store.kept, self._champion.alias))
        copy, since, entitled_by, off = kept
        if not entitled_by:
            said = f"{self.name} {copy.version}: the copy was deployed on {since} by no right"
            self._unjudged(UnjudgedVersionError(said))
        held = Holder(copy.version, copy.files_sha256)
        deployed = ActiveVersion(held, await self._loaded(copy), copy, entitled_by).without(off)
        text = f"{self._named(deployed)}, from the copy that was deployed on {since}: {reason}"
        self._tell("warning", "loaded_copy", text)
        return deployed

    def _named(self, deployed: ActiveVersion) -> str:
        return f"{self.name} {deployed.model.version}"

    def _tell(self, level: Level, code: SwapCode, text: str) -> None:
        self._report(ModelNotice(level, "swap", code, self._series.symbol, text))
