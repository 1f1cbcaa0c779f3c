"""Books as a network sees them: relative to the last mid, whole or not."""

from __future__ import annotations

import numpy as np

from quantgod.served.blocks import last_mid, positive, relative

RNG = np.random.default_rng(0)
PRICES = 60_000 + np.round(RNG.uniform(-50, 50, (5, 4, 3, 2)), 1)
SIZES = np.round(RNG.uniform(0.001, 9, PRICES.shape), 3)
BOOKS = np.stack([PRICES, SIZES], axis=-1).reshape(5, 4, 3, 4)


def test_prices_are_relative_to_the_mid_of_the_newest_snapshot_and_sizes_stay() -> None:
    seen = relative(BOOKS)
    assert seen.dtype == np.float32
    for block, mid, found in zip(BOOKS, last_mid(BOOKS), seen, strict=True):
        assert mid == (block[-1, 0, 0] + block[-1, 0, 2]) / 2
        assert np.array_equal(found[..., ::2], ((block[..., ::2] - mid) / mid).astype(np.float32))
        assert np.array_equal(found[..., 1::2], block[..., 1::2].astype(np.float32))
    restored = last_mid(BOOKS)[:, None, None, None] * (1 + seen[..., ::2].astype(np.float64))
    assert np.abs(restored - BOOKS[..., ::2]).max() < 0.001, "a hundredth of a tick"


def test_a_block_is_the_same_to_the_bit_alone_or_among_others() -> None:
    for place in range(len(BOOKS)):
        assert np.array_equal(relative(BOOKS[place : place + 1])[0], relative(BOOKS)[place])


def test_a_block_without_a_level_or_with_an_empty_one_is_not_whole() -> None:
    seen = relative(BOOKS)
    seen[1, 2, 0, 0], seen[2, 0, 1, 3], seen[3, 1, 2, 1] = np.nan, 0.0, np.inf
    assert positive(seen).tolist() == [True, False, False, False, True]
