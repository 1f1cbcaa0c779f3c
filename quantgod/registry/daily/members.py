"""Write fitted members as a version's own code reads them: JSON, text, ONNX; never a pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quantgod.dataset.candles.table import CandleTable
from quantgod.files import write_json
from quantgod.forecasters.candles.forward import FittedPart
from quantgod.forecasters.candles.learn import scaled
from quantgod.forecasters.candles.mc_dropout import draw_masks
from quantgod.forecasters.candles.member import Member, Seen, windows_at
from quantgod.forecasters.candles.network import FittedNetwork, views_of
from quantgod.forecasters.candles.plain import Plain
from quantgod.forecasters.candles.trees import FittedTrees
from quantgod.registry.daily.chain import NETWORK, PART, SCALE
from quantgod.registry.daily.network_graph import PROBABILITIES, RETURNS, export_network
from quantgod.served.candles import network

TRIED = 8
"""Windows that a graph is tried with."""


def write_part(folder: Path, fitted: FittedPart, table: CandleTable) -> float:
    """Write the members of a part, each in a folder of its name, and what they see.

    Returns:
        The largest difference between a graph and its torch module; 0 without networks.

    Raises:
        ValueError: for a part whose members were not kept.
        ExportError: if a graph differs from its network.
    """
    learned = fitted.learned
    if learned is None:
        raise ValueError(
            f"{fitted.part.label}: members expected, those of older folds are not kept"
        )
    matrix = scaled(table, learned.scale)
    seen = windows_at(matrix, fitted.part.fold.judged[-TRIED:], learned.window)
    worst = 0.0
    for name, member in learned.members.items():
        (folder / name).mkdir(parents=True)
        worst = max(worst, write_member(folder / name, member, matrix, seen))
    write_json(folder / SCALE, learned.scale.to_json())
    write_json(folder / PART, {"coins": list(fitted.part.coins)})
    return worst


def write_member(folder: Path, member: Member, matrix: Seen, seen: Seen) -> float:
    """Write a member into a folder of its own; gives the difference of its graph, if it has one.

    Args:
        folder: is there.
        member: fitted.
        matrix: scaled features that it was asked with, for the shapes of its masks.
        seen: (2 or more, window, features) windows that its graph is tried with.

    Raises:
        TypeError: for a member of another kind.
    """
    if isinstance(member, FittedNetwork):
        return _write_network(folder, member, matrix, seen)
    if not isinstance(member, Plain | FittedTrees):
        raise TypeError(f"a plain member, trees or a network expected, got {type(member).__name__}")
    member.save(folder)
    return 0.0


def _write_network(folder: Path, member: FittedNetwork, matrix: Seen, seen: Seen) -> float:
    says_returns = member.objective == network.RETURNS
    draws = member.draws if says_returns else 0
    views, masks = views_of(matrix, member.window), None
    model = member.model.cpu().eval()
    if draws:
        masks = draw_masks(model, views, draws, member.seed)
    output = RETURNS if says_returns else PROBABILITIES
    told = {
        "model": member.name, "params": dict(member.params), "objective": member.objective,
        "window": member.window, "draws": draws, "seed": member.seed,
    }  # fmt: skip
    write_json(folder / NETWORK, told)
    return export_network(model, np.ascontiguousarray(seen), masks, folder, output)
