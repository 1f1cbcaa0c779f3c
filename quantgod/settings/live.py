"""Settings of registry, serving, management, the live runner and tracking."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from quantgod.settings.section import (
    Fraction,
    Natural,
    Positive,
    PositiveFloat,
    Section,
    Symbol,
    Whole,
)


def _is_free(alias: str) -> str:
    if alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise ValueError("MLflow keeps latest, and v with a number, for itself")
    return alias


def _each_once(symbols: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(symbols)) < len(symbols):
        raise ValueError("each symbol once expected")
    return symbols


Alias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$"), AfterValidator(_is_free)]


class RegistrySettings(Section):
    """The name of the registered model, and the alias that deploys a version.

    MLflow allows neither / nor : in a name, and keeps `latest` and v with a number for itself.
    """

    name: Annotated[str, Field(pattern=r"^[^/:]+$")]
    alias: Alias
    golden_rows: Positive


class ServeSettings(Section):
    """Serving over HTTP on loopback; request bodies above `body_bytes` are refused."""

    port: Annotated[int, Field(ge=1, le=65535)]
    body_bytes: Positive


class ManageSettings(Section):
    """The management API, which listens on loopback alone.

    Attributes:
        port: of loopback.
        hosts: names by which it may be called, without a port: what a page of another site makes a
            browser call it is none of them.
        folder: where the hash of its token is kept.
        requests_per_second: of all callers together; the next ones are answered with 429.
        wrong_tokens: after so many in a row no token is looked at for `lockout_seconds`.
        lockout_seconds: how long.
        body_bytes: longest body of a request.
        performance_moves_weights: once the accuracy of each member of the version in place was
            reported, try weights in proportion to them: a new version, through the gates.
    """

    port: Annotated[int, Field(ge=1, le=65535)] = 5002
    hosts: Annotated[tuple[str, ...], Field(min_length=1)] = ("127.0.0.1", "localhost")
    folder: Path = Path("data/manage")
    requests_per_second: Positive = 400
    wrong_tokens: Positive = 5
    lockout_seconds: PositiveFloat = 60.0
    body_bytes: Positive = 100_000
    performance_moves_weights: bool = False


class FeedSettings(Section):
    """How a venue's stream and REST interface are used, and how politely.

    `weight_limit` is the venue's request weight per minute, of which `weight_share` may be used.
    `retry_after_seconds` is the wait after a 429 or 418 without a `Retry-After`. Waits between
    connections double from `backoff_seconds`, those between snapshots from `retry_seconds`.
    """

    stream_url: str
    depth_url: str
    depth_limit: Annotated[Literal[5, 10, 20, 50, 100, 500, 1000], Whole]
    depth_weight: Positive
    weight_limit: Positive
    weight_share: Fraction
    retry_after_seconds: PositiveFloat
    retry_seconds: PositiveFloat
    backoff_seconds: PositiveFloat
    backoff_limit_seconds: PositiveFloat
    healthy_seconds: PositiveFloat
    silent_seconds: PositiveFloat
    first_message_seconds: PositiveFloat
    connect_seconds: PositiveFloat
    snapshot_seconds: PositiveFloat
    renew_hours: PositiveFloat
    buffer_events: Positive
    frame_bytes: Positive
    frames: Positive


class ExchangeSettings(Section):
    """The simulated exchange: it plays the last simulated day at `speed` times real time."""

    speed: PositiveFloat
    seed: Natural
    faults: tuple[str, ...] = ()


class DriftSettings(Section):
    """When features count as drifted. Minutes are exchange time."""

    z_limit: PositiveFloat
    warn_minutes: Positive
    every_minutes: Positive
    window_minutes: Positive
    past_minutes: Positive
    psi_limit: PositiveFloat
    ks_limit: Fraction


class JournalSettings(Section):
    """How a journal or a recording reaches the disk."""

    flush_seconds: PositiveFloat
    sync_seconds: PositiveFloat
    seal_minutes: PositiveFloat
    buffer_rows: Positive


class CollectSettings(Section):
    """The raw recorder: every message, and the best `levels` per side every `interval_ms`.

    `{exchange}` in `folder` is replaced by the exchange's name.
    """

    folder: Path
    levels: Positive
    interval_ms: Positive
    sequence: Positive


class LiveSettings(Section):
    """The live runner. `history`, if given, is a store of bars that fills the first window.

    `models` names the registered model of each symbol; the default for `data.symbol` is
    `registry.name`. `copies` is the folder of verified copies of deployed versions.

    `unjudged` says how to treat a version that the alias points at although its gates have not
    passed and it was never promoted. `{exchange}` in `journal` is replaced by the exchange's name,
    so that simulated and real histories stay apart.
    """

    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1), AfterValidator(_each_once)]
    exchange: Literal["binance", "simulated"]
    journal: Path
    models: dict[Symbol, str] = Field(default_factory=dict)
    copies: Path
    history: Path | None = None
    challenger: Alias
    unjudged: Literal["refuse", "warn"] = "refuse"
    poll_seconds: PositiveFloat
    log: Literal["text", "json"]
    max_candles: Positive | None = None
    feed: FeedSettings
    simulated: ExchangeSettings
    drift: DriftSettings
    journaling: JournalSettings
    collect: CollectSettings

    @property
    def own_journal(self) -> Path:
        """Return the journal's folder for this exchange."""
        return self._of_exchange(self.journal)

    @property
    def own_recordings(self) -> Path:
        """Return the recordings' folder for this exchange."""
        return self._of_exchange(self.collect.folder)

    def _of_exchange(self, folder: Path) -> Path:
        return Path(str(folder).replace("{exchange}", self.exchange))


class TrackingSettings(Section):
    """Where runs are kept if `MLFLOW_TRACKING_URI` is not set."""

    experiment: Annotated[str, Field(min_length=1)]
    uri: Annotated[str, Field(min_length=1)]
    artifacts: Path
    outbox: Path
    flush_seconds: PositiveFloat
