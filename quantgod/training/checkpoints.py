"""Save and load the whole state of a training in one file, written atomically.

Tensors are stored as safetensors; the rest is JSON in the file's header, with an identity that
describes the training's inputs. A checkpoint can only be loaded into a training with that identity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from quantgod.files import atomic_path, value_digest

FORMAT: Final = 1

Identity = Mapping[str, Any]
"""All inputs of a training: JSON-able values, by a name for error messages."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read, or belongs to another training; names the parts that differ."""


class Snapshot(NamedTuple):
    """The state of a training at one moment: tensors by name, and JSON-able values."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def write_checkpoint(path: Path, snapshot: Snapshot, identity: Identity) -> None:
    """Replace the checkpoint by this snapshot; a kill leaves the whole old file or the new one."""
    header = {"format": FORMAT, "identity": dict(identity), "values": snapshot.values}
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in snapshot.tensors.items()
    }
    with atomic_path(path) as part:
        save_file(tensors, part, metadata={"quantgod": json.dumps(header)})


def read_checkpoint(path: Path, identity: Identity) -> Snapshot | None:
    """Return the last snapshot, or None if there is none yet.

    Files that a killed write left beside the checkpoint are removed.

    Raises:
        CheckpointError: if the file is no checkpoint, or has another identity.
    """
    for abandoned in path.parent.glob(f".{path.name}.*.part"):
        abandoned.unlink(missing_ok=True)
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as opened:
            header = json.loads((opened.metadata() or {})["quantgod"])
            # Cloned: a tensor that lies inside the file's buffer may not be aligned.
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint ({error})") from None
    _compare(path, header, identity)
    return Snapshot(tensors, header["values"])


def differences(was: Identity, is_now: Identity) -> str:
    """Describe in what two identities differ; empty if they are equal."""
    now = json.loads(json.dumps(dict(is_now)))
    return ", ".join(
        f"{name} (was {was.get(name)!r}, is {now.get(name)!r})"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    )


def tensor_digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's type, shape and bits."""
    return array_digest(tensor.detach().cpu().contiguous().numpy())


def array_digest(array: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of an array's type, shape and bits."""
    flat = np.ascontiguousarray(array)
    return value_digest([str(flat.dtype), flat.shape, hashlib.sha256(flat.data).hexdigest()])


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of named tensors."""
    return value_digest({name: tensor_digest(tensor) for name, tensor in tensors.items()})


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with `prefix` put before each name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix`, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: held for name, held in tensors.items() if name.startswith(start)}


def _compare(path: Path, header: Mapping[str, Any], identity: Identity) -> None:
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {header.get('format')}, {FORMAT} was expected")
    differing = differences(header["identity"], identity)
    if differing:
        raise CheckpointError(
            f"{path}: a checkpoint of another run, other in {differing}; remove it to start anew"
        )
