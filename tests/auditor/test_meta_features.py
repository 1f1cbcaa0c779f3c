import io
import math
import warnings

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import jaxtyped
from torch import Tensor, nn

from quantgod.auditor.meta_features import MetaFeatures
from quantgod.auditor.meta_features import meta_features as many_meta_features
from quantgod.contracts import FEATURES, META_FEATURES
from quantgod.dataset.book_blocks import open_all_blocks
from quantgod.dataset.book_view import view_of_table
from quantgod.served.blocks import relative
from tests.dataset.books import books_of, store_books
from tests.synthetic import synthetic_bars

WINDOW = 60
RETURNS = FEATURES.index("log_ret_close")


class TinyNetwork(nn.Module):
    """Convolution, BatchNorm, LSTM and head: every kind of layer that the real one exports."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(9, 4, 3)
        self.norm = nn.BatchNorm1d(4)
        self.lstm = nn.LSTM(4, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, bars: Tensor) -> dict[str, Tensor]:
        seen = self.norm(self.convolution(nn.functional.pad(bars.transpose(1, 2), (2, 0))))
        _, (hidden, _) = self.lstm(seen.transpose(1, 2))
        logits = self.head(hidden[-1])[:, None]
        return {"logits": logits, "probs": torch.softmax(logits, dim=-1)}


class FixedNetwork(nn.Module):
    """Says the same of every window."""

    def __init__(self, *probs: float) -> None:
        super().__init__()
        self.register_buffer("probs", torch.tensor(probs))

    def forward(self, bars: Tensor) -> dict[str, Tensor]:
        return {"probs": self.probs.repeat(len(bars), 1, 1)}


def meta_features(network: nn.Module | None = None) -> MetaFeatures:
    torch.manual_seed(3)
    mean = np.linspace(-1e-4, 1e-4, 9)
    return MetaFeatures(network or TinyNetwork(), mean, np.linspace(5e-4, 2.0, 9))


def windows_of(minutes: int, window: int = WINDOW, seed: int = 0) -> np.ndarray:
    bars = synthetic_bars(minutes, seed=seed)[list(FEATURES)].to_numpy()
    return np.stack([bars[end - window : end] for end in range(window, minutes + 1)])


def computed(module: MetaFeatures, windows: np.ndarray) -> pd.DataFrame:
    forward = jaxtyped(typechecker=beartype)(module.forward)
    with torch.inference_mode():
        out = forward(torch.from_numpy(windows))
    return pd.DataFrame(out.numpy(), columns=list(META_FEATURES))


def with_returns(returns: np.ndarray) -> np.ndarray:
    windows = np.zeros((len(returns), returns.shape[1], 9))
    windows[:, :, RETURNS] = returns
    return windows


def plain_rsi(price: np.ndarray) -> float:
    rises = falls = 0.0
    for older, newer in zip(price[-15:-1], price[-14:], strict=True):
        rises += max(newer - older, 0.0) / 14
        falls += max(older - newer, 0.0) / 14
    if rises == falls == 0:
        return 50.0
    return 100.0 if falls == 0 else 100 - 100 / (1 + rises / falls)


def plain_distance(price: np.ndarray, span: int) -> float:
    return price[-1] / pd.Series(price).ewm(span=span, adjust=False).mean().iloc[-1] - 1


@pytest.mark.parametrize("window", [15, WINDOW, 720])  # at 720 the first price no longer weighs
def test_indicators_agree_with_pandas_and_a_plain_loop_on_prices(window):
    windows = windows_of(window + 80, window)
    out = computed(meta_features(), windows)
    for at, rows in enumerate(windows):
        price = 40_000 * np.exp(np.cumsum(rows[:, RETURNS]))
        row = out.iloc[at]
        assert row.rsi_14 == pytest.approx(plain_rsi(price), abs=1e-6)
        assert row.ema_9_dist == pytest.approx(plain_distance(price, 9), abs=1e-12)
        assert row.ema_50_dist == pytest.approx(plain_distance(price, 50), abs=1e-12)


def test_the_network_sees_scaled_windows_and_the_last_minute_stays_raw():
    module = meta_features()
    windows = windows_of(70)
    out = computed(module, windows)
    scaled = (windows - module.mean.numpy()) / module.std.numpy()
    with torch.inference_mode():
        probs = module.network(torch.from_numpy(scaled.astype(np.float32)))["probs"][:, 0].numpy()
    assert np.array_equal(out[["prob_sell", "prob_neutral", "prob_buy"]], probs)
    assert out.entropy.to_numpy() == pytest.approx(
        [-sum(p * math.log(p) for p in r) for r in probs]
    )
    raw = list(META_FEATURES[4:11])
    last = pd.DataFrame(windows[:, -1], columns=list(FEATURES))
    pd.testing.assert_frame_equal(out[raw], last[raw])


@pytest.mark.parametrize(
    ("probs", "entropy"), [((0.0, 1.0, 0.0), 0.0), ((0.5, 0.5, 0.0), math.log(2))]
)
def test_entropy_is_finite_where_a_probability_is_zero(probs, entropy):
    out = computed(meta_features(FixedNetwork(*probs)), windows_of(60))
    assert out.entropy[0] == pytest.approx(entropy)


def test_a_flat_series_has_rsi_50_and_no_distance():
    out = computed(meta_features(), with_returns(np.zeros((2, WINDOW))))
    assert (out.rsi_14 == 50).all()
    assert (out[["ema_9_dist", "ema_50_dist"]] == 0).all(axis=None)


def test_rsi_is_100_without_losses_and_0_without_gains():
    returns = np.full((2, WINDOW), 1e-4) * [[1], [-1]]
    returns[:, -3:] = 0
    assert list(computed(meta_features(), with_returns(returns)).rsi_14) == [100, 0]


def test_rsi_keeps_the_sign_of_returns_that_no_price_would_show():
    out = computed(meta_features(), with_returns(np.full((1, WINDOW), 1e-18)))
    assert out.rsi_14[0] == 100


RETURN_PATHS = hnp.arrays(
    np.float64, (2, WINDOW), elements=st.floats(-0.05, 0.05, allow_subnormal=False)
)


@settings(deadline=None, max_examples=60)
@given(RETURN_PATHS, st.floats(-0.05, 0.05))
def test_indicators_are_bounded_and_blind_to_the_price_level(returns, first):
    module = meta_features(FixedNetwork(0.2, 0.6, 0.2))
    out = computed(module, with_returns(returns))
    assert out.rsi_14.between(0, 100).all()
    assert np.isfinite(out).all(axis=None)
    moved = returns.copy()
    moved[:, 0] = first  # leads into the window: it only sets the level that the path starts from
    indicators = ["rsi_14", "ema_9_dist", "ema_50_dist"]
    pd.testing.assert_frame_equal(
        out[indicators], computed(module, with_returns(moved))[indicators], check_exact=True
    )


@settings(deadline=None, max_examples=60)
@given(RETURN_PATHS)
def test_rising_paths_stand_above_their_averages_and_falling_ones_below(returns):
    module = meta_features(FixedNetwork(0.2, 0.6, 0.2))
    rising = np.abs(returns) + 1e-6
    up, down = (computed(module, with_returns(sign * rising)) for sign in (1, -1))
    assert (up.rsi_14 == 100).all()
    assert (down.rsi_14 == 0).all()
    assert (up[["ema_9_dist", "ema_50_dist"]] > 0).all(axis=None)
    assert (down[["ema_9_dist", "ema_50_dist"]] < 0).all(axis=None)


def test_a_window_says_the_same_alone_and_in_a_batch():
    module = meta_features()
    windows = windows_of(80)
    whole = computed(module, windows)
    alone = pd.concat([computed(module, windows[i : i + 1]) for i in (0, 7)], ignore_index=True)
    pd.testing.assert_frame_equal(
        whole.iloc[[0, 7]].reset_index(drop=True), alone, rtol=0, atol=1e-7
    )


class Looking(nn.Module):
    """Keeps what it was shown."""

    def forward(self, features: Tensor, aux: Tensor) -> dict[str, Tensor]:
        self.seen = {"features": features, "aux": aux}
        return {"probs": torch.softmax(aux[:, None, :3], dim=-1)}


def test_a_network_of_the_112_sees_them_scaled_and_the_auditor_reads_the_nine():
    rng, bars = np.random.default_rng(4), windows_of(62)
    windows = np.concatenate([bars, rng.normal(3.0, 2.0, (*bars.shape[:2], 112))], axis=2)
    mean, std = rng.normal(size=121), rng.uniform(0.5, 2.0, 121)
    std[20] = 0.0
    module = MetaFeatures(Looking(), mean, std, ("features", "aux"))
    out = computed(module, windows)
    scaled = ((windows - mean) / np.where(std > 0, std, 1.0)).astype(np.float32)[:, :, 9:]
    scaled[:, :, 11] = 0.0
    assert np.array_equal(module.network.seen["features"], scaled)
    assert np.array_equal(module.network.seen["aux"], scaled[:, -1])
    alone = computed(meta_features(FixedNetwork(0.2, 0.5, 0.3)), bars)
    of_the_nine = list(META_FEATURES[4:])
    pd.testing.assert_frame_equal(out[of_the_nine], alone[of_the_nine], check_exact=True)


def test_a_network_of_the_112_needs_a_scaler_of_all_columns():
    with pytest.raises(ValueError, match="121 finite numbers expected"):
        MetaFeatures(Looking(), np.zeros(112), np.ones(112), ("features", "aux"))


class Reading(nn.Module):
    """Keeps the book that it was shown."""

    def forward(self, book: Tensor) -> dict[str, Tensor]:
        self.seen = book
        return {"probs": torch.softmax(book[:, None, 0, 0, :3], dim=-1)}


def test_a_network_of_the_book_sees_raw_blocks_scaled_as_in_training(tmp_path):
    bars = synthetic_bars(WINDOW + 40)
    books = books_of(bars["close"].to_numpy())
    store_books(tmp_path, bars.index, books)
    view = view_of_table(open_all_blocks(tmp_path, "BTCUSDT"), bars)
    rows = torch.arange(WINDOW - 1, len(bars))
    module = MetaFeatures(Reading(), np.zeros(9), np.ones(9), ("book",))
    given = relative(books.transpose(0, 1, 3, 2, 4).reshape(len(bars), *view.shape))
    out = module(torch.from_numpy(windows_of(len(bars))), torch.from_numpy(given)[rows]).numpy()
    assert module.network.seen.dtype == torch.float32
    trained = view(rows)
    np.testing.assert_allclose(module.network.seen, trained, rtol=3e-6, atol=3e-6)
    assert trained.abs().amax() > 0.1, "what is compared is not nothing"
    stored = meta_features_of(module, bars, rows.numpy(), view.stored).meta
    np.testing.assert_allclose(out, stored, rtol=1e-6)
    with pytest.raises(ValueError, match="expects its snapshots beside the windows"):
        module(torch.from_numpy(windows_of(len(bars))))


def meta_features_of(module, bars, rows, book):
    matrix = bars[list(FEATURES)].to_numpy()
    return many_meta_features(module, matrix, rows, WINDOW, 16, book=book, device="cpu")


def test_the_network_stays_in_eval_mode():
    network = TinyNetwork().train()
    assert not meta_features(network).network.training


def test_a_window_too_short_for_the_rsi_is_refused():
    with pytest.raises(ValueError, match="15 minutes or more"):
        meta_features()(torch.zeros(1, 14, 9, dtype=torch.float64))


@pytest.mark.parametrize(
    ("mean", "std"),
    [(np.zeros(8), np.ones(9)), (np.zeros(9), -np.ones(9)), (np.full(9, np.nan), np.ones(9))],
)
def test_a_scaler_that_cannot_scale_is_refused(mean, std):
    with pytest.raises(ValueError, match="expected"):
        MetaFeatures(TinyNetwork(), mean, std)


@pytest.fixture(scope="module")
def exported():
    module = meta_features()
    graph = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of LSTM's own shape checks
        torch.onnx.export(
            module,
            (torch.zeros(2, WINDOW, 9, dtype=torch.float64),),
            graph,
            dynamo=False,
            opset_version=17,
            input_names=["windows"],
            output_names=["meta"],
            dynamic_axes={"windows": {0: "batch"}, "meta": {0: "batch"}},
        )
    return module, ort.InferenceSession(graph.getvalue(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("kind", ["usual", "extreme", "flat", "tiny"])
def test_the_exported_graph_agrees_with_torch(exported, batch, kind):
    module, session = exported
    rng = np.random.default_rng(batch)
    windows = windows_of(WINDOW + batch - 1, seed=batch)
    if kind != "usual":
        size = {"extreme": 0.05, "flat": 0.0, "tiny": 1e-15}[kind]
        windows[:, :, RETURNS] = size * rng.choice([-1, 1], (batch, WINDOW))
    (out,) = session.run(None, {"windows": windows})
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, computed(module, windows), rtol=0, atol=1e-6)
