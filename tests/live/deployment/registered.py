"""Registered versions that are sound, and some that are not; and sessions that follow an alias."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.types.schema import ColSpec, Schema

from quantgod.contracts.model_notices import ModelNotice
from quantgod.files import file_digest, write_json
from quantgod.live.deployment.deployment import Deployment
from quantgod.registry import versions
from quantgod.registry.package import CHAIN_FILE, Package
from quantgod.settings import Settings, load_settings
from tests.live.engine.answering import until
from tests.registry.conftest import NAME, Parts, Store
from tests.registry.shelves import SERIES

NEWER = {"decided_by", "in_set_sell", "in_set_neutral", "in_set_buy", "action", "abstention"}
CHAMPION, CHALLENGER = "Production", "Challenger"


def live_settings(**overrides: Any) -> Settings:
    """The demo's, with an alias that is looked up all the time and moved by hand."""
    own = {"registry.name": NAME, "live.poll_seconds": 0.02, "live.unjudged": "warn"}
    return load_settings(Path("conf/demo.yaml"), own | overrides)


def point(number: int | None, alias: str = CHAMPION) -> None:
    """Let an alias name a version, or none."""
    client = MlflowClient()
    if number is None:
        client.delete_registered_model_alias(NAME, alias)
    else:
        client.set_registered_model_alias(NAME, alias, str(number))


def files_of(number: int) -> Path:
    """Where the store keeps a version."""
    client = MlflowClient()
    source = client.get_model_version(NAME, str(number)).source
    model = client.get_logged_model(source.removeprefix("models:/"))
    return Path(model.artifact_location)


def changed_file(store: Store, parts: Parts) -> int:
    """A version whose booster was changed after it was registered."""
    number = store.add(parts.package)
    booster = files_of(number) / "artifacts" / "package" / "booster.ubj"
    content = bytearray(booster.read_bytes())
    content[len(content) // 2] ^= 1
    booster.write_bytes(content)
    return number


def changed_code(store: Store, parts: Parts, marker: Path) -> int:
    """A version whose code was changed after it was registered: it would leave a file behind."""
    number = store.add(parts.package)
    with (files_of(number) / "chain.py").open("a", encoding="utf-8") as code:
        code.write(f"\nPath({str(marker)!r}).touch()\n")
    return number


def wrong_golden(store: Store, parts: Parts, folder: Path) -> int:
    """A version of sound files that says something else than it was registered with.

    Its own code does not look at that.
    """
    code = folder / "chain.py"
    source, check = CHAIN_FILE.read_text(encoding="utf-8"), "        self.chain.check_golden()\n"
    assert source.count(check) == 1
    code.write_text(source.replace(check, ""), encoding="utf-8")
    said = json.loads((parts.package.folder / "golden_output.json").read_text())
    said["predictions"][0]["prob_buy"] += 1e-3
    return altered(store, parts, folder / "golden", "golden_output.json", said, code)


def odd_contract(store: Store, parts: Parts, folder: Path) -> int:
    """A version of sound files whose contract is no contract."""
    return altered(store, parts, folder / "contract", "labels.json", ["BUY"], CHAIN_FILE)


def altered(store: Store, parts: Parts, folder: Path, name: str, content: Any, code: Path) -> int:
    """A version with one file of other content, of which its manifest knows."""
    package = Path(shutil.copytree(parts.package.folder, folder))
    write_json(package / name, content)
    digests = {name: file_digest(package / name), "chain.py": file_digest(code)}
    manifest = json.loads((package / "manifest.json").read_text())
    write_json(package / "manifest.json", manifest | digests)
    return store.add(Package(package, code, file_digest(package / "manifest.json"), 0.0, SERIES))


def other_signature(store: Store, parts: Parts) -> int:
    """A version that gives a column more."""
    asked = versions.signature()
    asked.outputs = Schema([*asked.outputs.inputs, ColSpec("double", "funding_rate")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "signature", lambda **_: asked)
        return store.add(parts.package)


def before_abstention(store: Store, parts: Parts) -> int:
    """A version whose answers tell no action."""
    asked = versions.signature()
    asked.outputs = Schema([one for one in asked.outputs.inputs if one.name not in NEWER])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "signature", lambda **_: asked)
        return store.add(parts.package)


@contextmanager
def registry_at(address: str) -> Iterator[None]:
    """Let MLflow ask there, as if the server had gone from where it was."""
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        mlflow.set_tracking_uri(address)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)


@contextmanager
def hanging_server() -> Iterator[str]:
    """An address that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as hung:
        yield f"http://127.0.0.1:{hung.getsockname()[1]}"


class Following:
    """A deployment under test, and all that it told."""

    def __init__(self, folder: Path, settings: Settings | None = None, **options: Any) -> None:
        self.notices: list[ModelNotice] = []
        settings = settings or live_settings()
        self.deployment = Deployment(settings, "BTCUSDT", folder, self.notices.append, **options)

    async def told(self, code: str, times: int = 1) -> str:
        """Wait until something was told so often; gives its newest text."""
        await until(lambda: self.count(code) >= times)
        return [notice.text for notice in self.notices if notice.code == code][-1]

    def count(self, code: str) -> int:
        return sum(notice.code == code for notice in self.notices)

    @property
    def version(self) -> int:
        return self.deployment.champion().version


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
