"""Save and load a trained network: `network.json` describes it, `weights.safetensors` holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from quantgod.contracts import CLASSES
from quantgod.dataset.inputs import BARS, Inputs
from quantgod.dataset.scaling import Scaler
from quantgod.files import atomic_path, file_digest, write_json
from quantgod.models import zoo
from quantgod.models.heads import ONE_DIRECTION, Heads
from quantgod.settings import Section, SettingsError

CARD: Final = "network.json"
WEIGHTS: Final = "weights.safetensors"


class NetworkError(ValueError):
    """A folder holds no valid network, or a damaged one."""


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network, and all that is needed to forecast with it.

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

    @property
    def inputs(self) -> Inputs:
        """Return what it looks at."""
        return zoo.inputs(self.name, self.window, self.book)

    @property
    def silent(self) -> tuple[str, ...]:
        """Return the features that were constant in training, which the network never sees."""
        moves = zip(self.inputs.columns, self.scaler.moves, strict=True)
        return tuple(name for name, moved in moves if not moved)


def save_network(folder: Path, network: Network) -> None:
    """Write both files; `network.json` comes last and holds the digest of the weights."""
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in network.model.state_dict().items()
    }
    with atomic_path(folder / WEIGHTS) as part:
        save_file(tensors, part)
    card = _Card(
        name=network.name,
        params=dict(network.params),
        heads=asdict(network.heads),
        window=network.window,
        views=network.inputs.views,
        book=network.book,
        features=network.inputs.columns,
        classes=CLASSES,
        scaler=network.scaler.to_json(),
        class_weights=network.class_weights,
        trained_until=network.trained_until,
        parameters=zoo.parameter_count(network.model),
        weights_sha256=file_digest(folder / WEIGHTS),
    )
    write_json(folder / CARD, card.model_dump(mode="json"))


def load_network(folder: Path) -> Network:
    """Read what `save_network` wrote.

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
    )


class _Card(Section):
    """The contents of `network.json`; one without `views` is of a network of bars."""

    name: str
    params: dict[str, Any]
    heads: dict[str, Any] = Field(default_factory=dict)
    window: int
    views: tuple[str, ...] = (BARS,)
    book: tuple[int, int] | None = None
    features: tuple[str, ...]
    classes: tuple[str, ...]
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
