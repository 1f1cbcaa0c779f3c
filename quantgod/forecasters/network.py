"""A trained network as a forecaster: asked, saved and loaded.

`network.json` describes it, `weights.safetensors` holds it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from quantgod.contracts import CLASSES, Forecast, Integers, Source, Target
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.inputs import BARS, Inputs
from quantgod.dataset.scaling import Scaler
from quantgod.files import atomic_path, file_digest, write_json
from quantgod.forecasters.forecaster import Card
from quantgod.models import zoo
from quantgod.models.heads import ONE_DIRECTION, Heads
from quantgod.settings import Section, SettingsError
from quantgod.training.material import views_of
from quantgod.training.predict import predict

CARD: Final = "network.json"
WEIGHTS: Final = "weights.safetensors"
BATCH: Final = 512
"""Moments in memory at a time, where nobody says how many."""


class NetworkError(ValueError):
    """A folder holds no valid network, or a damaged one."""


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network, and all that is needed to forecast with it: a `Forecaster`.

    Attributes:
        model: in eval mode, on the CPU.
        name: of its architecture.
        params: of its architecture.
        window: rows a window holds.
        scaler: for the columns of its inputs.
        class_weights: of its loss, in class order; they tilt its probabilities.
        trained_until: the last label end used to fit or stop it, ISO 8601.
        heads: what it answers.
        book: snapshots of a block and levels a side, where it looks at the book.
        target: what it forecasts; None where its card does not say.
    """

    model: nn.Module
    name: str
    params: Mapping[str, Any]
    window: int
    scaler: Scaler
    class_weights: tuple[float, ...]
    trained_until: str
    heads: Heads = ONE_DIRECTION
    book: tuple[int, int] | None = None
    target: Target | None = None

    @property
    def inputs(self) -> Inputs:
        """Return what it looks at."""
        return zoo.inputs(self.name, self.window, self.book)

    @property
    def silent(self) -> tuple[str, ...]:
        """Return the features that were constant in training, which the network never sees."""
        moves = zip(self.inputs.columns, self.scaler.moves, strict=True)
        return tuple(name for name, moved in moves if not moved)

    @property
    def card(self) -> Card:
        """Return what it is; its only digest is that of its weights."""
        digest = hashlib.sha256(save(self._tensors())).hexdigest()
        views, until = self.inputs.views, self.trained_until
        return Card(self.source, views, self.target, until, {"weights": digest})

    @property
    def source(self) -> Source:
        """Return the source of its rows: all networks are of minutes of an order book."""
        return "book"

    def forecast(
        self,
        table: pd.DataFrame,
        rows: Integers,
        blocks: BookBlocks | None = None,
        *,
        batch_size: int = BATCH,
        device: str = "auto",
    ) -> Forecast:
        """Return what it says of the windows of `table` that end at `rows`, batch by batch."""
        views = views_of(table, self.scaler, self.inputs, blocks)
        weights = self.class_weights
        return predict(self.model, views, rows, batch_size, weights, device=device)

    def save(self, folder: Path) -> None:
        """Write both files; `network.json` comes last and holds the digest of the weights."""
        with atomic_path(folder / WEIGHTS) as part:
            save_file(self._tensors(), part)
        card = _Card(
            name=self.name,
            params=dict(self.params),
            heads=asdict(self.heads),
            window=self.window,
            views=self.inputs.views,
            book=self.book,
            features=self.inputs.columns,
            classes=CLASSES,
            target=msgspec.to_builtins(self.target),
            scaler=self.scaler.to_json(),
            class_weights=self.class_weights,
            trained_until=self.trained_until,
            parameters=zoo.parameter_count(self.model),
            weights_sha256=file_digest(folder / WEIGHTS),
        )
        write_json(folder / CARD, card.model_dump(mode="json"))

    def _tensors(self) -> dict[str, Tensor]:
        state = self.model.state_dict()
        return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def load_network(folder: Path) -> Network:
    """Read what `Network.save` wrote.

    Raises:
        NetworkError: naming the file that is missing, damaged or made for other features.
    """
    card = _read_card(folder / CARD)
    weights = folder / WEIGHTS
    if not weights.is_file() or file_digest(weights) != card.weights_sha256:
        raise NetworkError(f"{weights}: missing or not the weights that {CARD} was written with")
    try:
        heads = Heads(**card.heads)
        shapes = zoo.inputs(card.name, card.window, card.book).shapes
        model = zoo.build(card.name, card.params, shapes=shapes, heads=heads)
        model.load_state_dict(load_file(weights))
        scaler = Scaler.from_json(card.scaler)
        target = msgspec.convert(card.target, Target | None)
    except (SettingsError, SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise NetworkError(f"{folder}: {error}") from error
    return Network(
        model.eval(),
        card.name,
        card.params,
        card.window,
        scaler,
        card.class_weights,
        card.trained_until,
        heads,
        card.book,
        target,
    )


class _Card(Section):
    """The contents of `network.json`; one without `views` is of bars, one without `target` old."""

    name: str
    params: dict[str, Any]
    heads: dict[str, Any] = Field(default_factory=dict)
    window: int
    views: tuple[str, ...] = (BARS,)
    book: tuple[int, int] | None = None
    features: tuple[str, ...]
    classes: tuple[str, ...]
    target: dict[str, Any] | None = None
    scaler: dict[str, list[float]]
    class_weights: tuple[float, ...]
    trained_until: str
    parameters: int
    weights_sha256: str


def _read_card(path: Path) -> _Card:
    try:
        card = _Card.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read ({error.strerror})") from None
    except (json.JSONDecodeError, ValidationError) as error:
        raise NetworkError(f"{path}: does not describe a network: {error}") from None
    _check_card(path, card)
    return card


def _check_card(path: Path, card: _Card) -> None:
    """Refuse a network of other columns, views or classes than this program gives it."""
    try:
        known = zoo.inputs(card.name, card.window, card.book)
    except SettingsError as error:
        raise NetworkError(f"{path}: {error}") from None
    if (card.views, card.features, card.classes) != (known.views, known.columns, CLASSES):
        raise NetworkError(
            f"{path}: a network for {', '.join(card.features)} and {', '.join(card.classes)}, cut "
            f"to {', '.join(card.views)}; this program knows {', '.join(known.columns)} and "
            f"{', '.join(CLASSES)}, cut to {', '.join(known.views)}"
        )
