"""Compute the auditor's fourteen meta-features of a window from its raw columns.

One torch module holds the scaler, the base network, the entropy of its probabilities and the
indicators. The same module trains the auditor and is exported as the served graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor, nn

from quantgod.auditor.auditor_input import HEADS, AuditorInput
from quantgod.contracts import (
    CLASSES,
    FEATURES,
    META_FEATURES,
    PRIMARY,
    RSI_PERIOD,
    SHORTEST_WINDOW,
    Floats,
    Forecast,
    Integers,
    Progress,
    silent,
)
from quantgod.dataset.book_blocks import RowBlocks
from quantgod.dataset.inputs import BARS, BOOK, Inputs, cut
from quantgod.dataset.windows import Windows
from quantgod.models.heads import Output
from quantgod.served.blocks import VOLATILITY_ROWS
from quantgod.training.devices import choose_device
from quantgod.training.predict import as_forecast

EMA_PERIODS = (9, 50)
RETURN_COLUMN = FEATURES.index("log_ret_close")
LAST_MINUTE = META_FEATURES[len(CLASSES) + 1 : META_FEATURES.index("rsi_14")]


def auditor_input(forecast: Forecast, context: Floats) -> AuditorInput:
    """Return the input for a forecast and the context (n, 10) of its moments."""
    tilted = torch.from_numpy(np.ascontiguousarray(forecast.tilted[:, PRIMARY]))
    return AuditorInput(forecast, beside_entropy(tilted, torch.from_numpy(context)).numpy())


class MetaFeatures(nn.Module):
    """Turns raw windows into `META_FEATURES`, in float64 everywhere outside the network.

    The network gets `(x - mean) / std` rounded to float32, and zero where std is zero (a feature
    that was constant in training). It is kept in eval mode. The seven features of the last minute
    are raw. RSI (0 to 100) and EMA distances (fractions) are computed on the price path given by
    the raw log returns, relative to the window's last price, so they do not depend on the price
    level. A graph exported by tracing has a fixed window length and takes any number of windows.

    A network of the book also gets each window's block of snapshots, as it is stored. It is scaled
    here as `BookView` does, by the window's own returns, so that nothing else is needed.

    Args:
        network: takes its views by name, float32; returns a mapping with `probs`,
            `(batch, horizons, 3)`, of which the primary horizon is read.
        mean: the training scaler's mean of each column, the nine features first.
        std: its standard deviation.
        views: of the network; they are cut from the scaled windows.
        class_weights: of the network's loss, for its forecasts; None where it had none.

    Raises:
        ValueError: if mean or std is not a finite number for each column, or a std is below zero.
    """

    mean: Tensor
    std: Tensor
    moves: Tensor
    columns: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Floats,
        std: Floats,
        views: tuple[str, ...] = (BARS,),
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.views = views
        self.class_weights = class_weights
        width = len(Inputs(1, views).columns)
        self.register_buffer("mean", _scaler_row("mean", mean, width))
        given = _scaler_row("std", std, width)
        if not bool((given >= 0).all()):
            raise ValueError(f"standard deviations of zero or more expected, got {std}")
        self.register_buffer("moves", given > 0)
        self.register_buffer("std", torch.where(given > 0, given, 1.0))
        columns = torch.tensor([FEATURES.index(name) for name in LAST_MINUTE])
        self.register_buffer("columns", columns)
        self.eval()

    def forward(
        self,
        windows: Float64[Tensor, "batch time columns"],
        book: Float32[Tensor, "batch snapshots levels 4"] | None = None,
    ) -> Float64[Tensor, "batch outputs"]:
        """Return the meta-features of raw `windows`, oldest minute first, and what `HEADS` say.

        Args:
            windows: raw columns.
            book: for a network of the book: bid price, bid size, ask price, ask size of each level,
                prices relative to the mid as `served.blocks.relative` has them.

        Raises:
            ValueError: if the windows are shorter than the RSI needs (not checked in an export), or
                there is no book for a network of the book.
        """
        said = {name: of[:, PRIMARY] for name, of in self.output(windows, book).items()}
        meta = beside_entropy(said["probs"].to(torch.float64), self.context(windows))
        heads = [said[name][:, None] for name in HEADS if set(HEADS) <= set(said)]
        return torch.cat([meta, *(head.to(torch.float64) for head in heads)], dim=1)

    def output(
        self,
        windows: Float64[Tensor, "batch time columns"],
        book: Float32[Tensor, "batch snapshots levels 4"] | None = None,
    ) -> Output:
        """Return what the network says of raw windows, all heads and horizons, in its own type."""
        scaled = torch.where(self.moves, (windows - self.mean) / self.std, 0.0).to(torch.float32)
        seen = cut(scaled, self.views)
        if BOOK in self.views:
            if book is None:
                raise ValueError("a network of the book expects its snapshots beside the windows")
            seen[BOOK] = scaled_book(book, windows[:, :, RETURN_COLUMN])
        said: Output = self.network(**seen)
        return said

    def context(
        self, windows: Float64[Tensor, "batch time columns"]
    ) -> Float64[Tensor, "batch 10"]:
        """Return the last minute's features, the RSI and the distances: what no network says."""
        if not torch.onnx.is_in_onnx_export():
            _check_length(windows)
        returns = windows[:, :, RETURN_COLUMN]
        prices = relative_prices(returns)
        last_minute = windows[:, -1].index_select(1, self.columns)
        distances = [ema_distance(prices, period) for period in EMA_PERIODS]
        return torch.cat([last_minute, rsi(returns, prices), *distances], dim=1)


def meta_features(
    module: MetaFeatures,
    matrix: Floats,
    rows: Integers,
    window: int,
    batch_size: int,
    *,
    book: RowBlocks | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> AuditorInput:
    """Return what an auditor is asked about the windows of raw `matrix` that end at `rows`.

    On CUDA the network runs in full float32, as it does when served.

    Args:
        module: moved to the device.
        matrix: (rows, columns) raw, in the order of the module's scaler.
        rows: (n,) positions of the windows' last rows.
        window: rows a window holds.
        batch_size: windows per batch.
        book: the blocks of the matrix's rows, for a network of the book.
        device: auto, cpu or cuda.
        progress: called after batches.
    """
    where = choose_device(device)
    windows = Windows(torch.tensor(matrix).to(where), window)
    ends = torch.from_numpy(rows).to(where)
    module.to(where).eval()
    parts: list[Output] = []
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for begin in range(0, max(len(rows), 1), batch_size):  # of no rows one batch, with columns
            at = ends[begin : begin + batch_size]
            beside = () if book is None else (book(rows[begin : begin + batch_size]),)
            seen = windows(at)
            said = module.output(seen, *(torch.from_numpy(one).to(where) for one in beside))
            parts.append({**said, "context": module.context(seen)})
            progress(begin + len(at), len(rows), "meta-features")
    joined = {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}
    return auditor_input(as_forecast(joined, module.class_weights), joined["context"].numpy())


def beside_entropy(
    tilted: Float64[Tensor, "batch 3"], context: Float64[Tensor, "batch 10"]
) -> Float64[Tensor, "batch 14"]:
    """Return the meta-features: a forecast's probabilities, their entropy, and the context."""
    return torch.cat([tilted, entropy(tilted), context], dim=1)


def scaled_book(
    book: Float32[Tensor, "batch snapshots levels 4"], returns: Float64[Tensor, "batch time"]
) -> Float32[Tensor, "batch snapshots levels 4"]:
    """Scale stored blocks as `BookView` does, within a rounding of float32.

    Relative prices are divided by the deviation of the last `VOLATILITY_ROWS` returns; sizes become
    ln(size / mean size of a level).
    """
    prices, sizes = book[..., 0::2].to(torch.float64), book[..., 1::2].to(torch.float64)
    depth = sizes.mean(dim=(1, 2, 3), keepdim=True)
    last = returns[:, -VOLATILITY_ROWS:]
    apart = last - last.mean(dim=1, keepdim=True)
    volatility = torch.sqrt((apart * apart).sum(dim=1) / (VOLATILITY_ROWS - 1))
    scaled = prices / volatility[:, None, None, None]
    return torch.stack([scaled, torch.log(sizes / depth)], dim=-1).flatten(3).to(torch.float32)


def relative_prices(returns: Float64[Tensor, "batch time"]) -> Float64[Tensor, "batch time"]:
    """Return prices relative to the last one, newest first: `exp(-(sum of later log returns))`.

    The sum starts at the newest end, so that rounding errors collect in the oldest prices, which
    weigh least. The first return leads into the window and is not used.
    """
    since = torch.cumsum(torch.flip(returns[:, 1:], (1,)), dim=1)
    return torch.cat([torch.ones_like(returns[:, :1]), torch.exp(-since)], dim=1)


def entropy(probs: Float64[Tensor, "batch 3"]) -> Float64[Tensor, "batch 1"]:
    """Return `-sum p ln p` in nats; a probability of zero adds nothing."""
    return -(probs * torch.log(probs.clamp(min=1e-300))).sum(dim=1, keepdim=True)


def rsi(
    returns: Float64[Tensor, "batch time"], prices: Float64[Tensor, "batch time"]
) -> Float64[Tensor, "batch 1"]:
    """Return the RSI of the last 14 price changes, by simple means: 100 gains / (gains + losses).

    This equals `100 - 100 / (1 + gains / losses)` without the division by zero: no losses give 100,
    no gains 0, and no changes at all 50. A change is `older price * expm1(r)` with `expm1(r) = 2 h
    / (1 - h)`, `h = tanh(r / 2)` (ONNX has no expm1). This keeps the sign and digits of tiny
    returns, where a difference of two prices leaves only rounding noise.

    Args:
        returns: log returns, oldest first.
        prices: what `relative_prices` makes of them, newest first.
    """
    newest = torch.flip(returns[:, -RSI_PERIOD:], (1,))
    half = torch.tanh(newest / 2)
    changes = prices[:, 1 : RSI_PERIOD + 1] * (2 * half / (1 - half))
    gains = changes.clamp(min=0).sum(dim=1, keepdim=True)
    moved = gains + changes.neg().clamp(min=0).sum(dim=1, keepdim=True)
    strength = gains / torch.where(moved > 0, moved, torch.ones_like(moved))
    return 100 * torch.where(moved > 0, strength, torch.full_like(moved, 0.5))


def ema_distance(prices: Float64[Tensor, "batch time"], period: int) -> Float64[Tensor, "batch 1"]:
    """Return the distance of the last price from its exponential average, `price / ema - 1`.

    The average starts at the window's first price and continues with `e <- a p + b e`, where
    `a = 2 / (period + 1)` and `b = 1 - a`. Written out for n prices, the price of age k minutes has
    weight `a b^k`, and the first price, also the starting value, has `b^(n-1)`. So it is one dot
    product without a loop. The weights sum to 1, so the same sum over `price - 1` gives `ema - 1`
    with all its digits.

    Args:
        prices: newest first, relative to the newest, which is 1.
        period: of the average, in minutes.
    """
    kept = 1 - 2 / (period + 1)
    weights = kept ** torch.arange(prices.shape[1], dtype=prices.dtype, device=prices.device)
    over_last = prices - 1
    start = kept * weights[-1:] * over_last[:, -1:]
    excess = (1 - kept) * (over_last * weights).sum(dim=1, keepdim=True) + start
    return -excess / (1 + excess)


def _check_length(windows: Tensor) -> None:
    if windows.shape[1] < SHORTEST_WINDOW:
        raise ValueError(
            f"windows of {SHORTEST_WINDOW} minutes or more expected, got {tuple(windows.shape)}"
        )


def _scaler_row(name: str, values: Floats, width: int) -> Tensor:
    row = np.array(values, dtype=np.float64)
    if row.shape != (width,) or not np.isfinite(row).all():
        raise ValueError(f"scaler {name}: {width} finite numbers expected, got {values}")
    return torch.from_numpy(row)
