"""What `python -m steps.forecast` found of candles, as the tables of `docs/results.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

HEAD = (
    "ahead", "forecaster", "mean: MSE skill, %", "width: pinball skill, %", "over GARCH, %",
    "in 50 %", "in 80 %", "in 95 %",
)  # fmt: skip
COINS = (
    "ahead", "coin", "mean, %", "width, %", "in 50 %", "in 80 %", "in 95 %",
    "R² of the price (of the one that stays)",
)  # fmt: skip


def forecast_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of both tables, from a training report: all coins, and coin by coin."""
    scores = sorted(record["scores"].items(), key=lambda one: one[1]["steps"])
    first = scores[0][1]
    yield (
        f"Issued {first['first']} to {first['last']}, {', '.join(first['coins'])}; coverage raw → "
        "as issued, 95 % intervals by blocks of dates:"
    )
    yield from ("", _line(*HEAD), "|---" * len(HEAD) + "|")
    for ahead, of in scores:
        names = sorted(of["models"], key=lambda name: (name != record["subject"], name))
        for name, one in ((name, of["models"][name]) for name in names):
            skill = one["pinball_skill"]
            told = (one["mse_skill"]["zero"], skill.get("random_walk"), skill.get("garch"))
            yield _line(ahead, name.replace("_", " "), *map(_share, told), *_covered(one))
    yield from ("", f"The {record['subject']}, coin by coin:", "")
    yield from (_line(*COINS), "|---" * len(COINS) + "|")
    for ahead, of in scores:
        for coin, one in of["coins"].items():
            both = (one["mse_skill"]["zero"], one["pinball_skill"]["random_walk"])
            prices = one["prices"]
            fit = f"{prices['forecast']['r2']:.3f} ({prices['naive']['r2']:.3f})"
            yield _line(ahead, coin, *map(_share, both), *_covered(one), fit)
    yield from ("", "Verdict:", "")
    yield from (f"- {sentence}" for sentence in record["verdict"])


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _share(found: list[Any] | None) -> str:
    if found is None:
        return "-"
    value, low, high, enough, _ = found
    return f"{value:.2%} [{low:.2%}, {high:.2%}]".replace("%", "") + ("" if enough else " (few)")


def _covered(scores: Mapping[str, Any]) -> list[str]:
    told = []
    for one in scores["coverage"]:
        issued = f"{one['issued'][0]:.1%}".rstrip("%")
        raw = "" if one["raw"] is None else f"{one['raw'][0]:.1%} → ".replace("%", "")
        told.append(f"{raw}{issued}")
    return told
