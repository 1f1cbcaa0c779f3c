"""The whole state of a training run in one file that appears by one rename.

Tensors are safetensors; all else is JSON in the file's own header, with an identity that says what
the run was made of. A checkpoint is only ever read back into the run it came from.
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
"""What a run is made of: JSON-able values, by a name that a refusal can quote."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or is of another run; says which part differs."""


class Snapshot(NamedTuple):
    """A moment of a run: tensors by name, and JSON-able values."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def write_checkpoint(path: Path, snapshot: Snapshot, identity: Identity) -> None:
    """Put the snapshot in the place of the one before; a kill leaves the old one or the new one."""
    header = {"format": FORMAT, "identity": dict(identity), "values": snapshot.values}
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in snapshot.tensors.items()
    }
    with atomic_path(path) as part:
        save_file(tensors, part, metadata={"quantgod": json.dumps(header)})


def read_checkpoint(path: Path, identity: Identity) -> Snapshot | None:
    """The last snapshot, or None if there is none yet.

    What a kill in the middle of a write left beside the checkpoint is removed.

    Raises:
        CheckpointError: if the file is none of ours, or of a run with another identity.
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
    """What two identities differ in, for a reader; empty where they are the same."""
    now = json.loads(json.dumps(dict(is_now)))
    return ", ".join(
        f"{name} (was {was.get(name)!r}, is {now.get(name)!r})"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    )


def tensor_digest(tensor: Tensor) -> str:
    """SHA-256 of a tensor's type, shape and bits."""
    return array_digest(tensor.detach().cpu().contiguous().numpy())


def array_digest(array: npt.NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and bits."""
    flat = np.ascontiguousarray(array)
    return value_digest([str(flat.dtype), flat.shape, hashlib.sha256(flat.data).hexdigest()])


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of named tensors."""
    return value_digest({name: tensor_digest(tensor) for name, tensor in tensors.items()})


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, each name below `prefix`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names lie below `prefix`, without it."""
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
