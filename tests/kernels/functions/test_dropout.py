import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS
from numpy.testing import assert_array_equal

from kernels import dropout, dropout_gradient
from kernels.functions.dropout import keep_halves, keep_scale, mask_columns

MASK = 0xFFFFFFFF


def philox(counter, key, rounds):
    """Philox-4x32 as in Salmon et al., 2011, section 4.2."""
    a, b, c, d = counter
    k, other = key
    for _ in range(rounds):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = second >> 32 ^ b ^ k, second & MASK, first >> 32 ^ d ^ other, first & MASK
        k, other = (k + 0x9E3779B9) & MASK, (other + 0xBB67AE85) & MASK
    return a, b, c, d


def reference_mask(shape, p, seed, step, stream):
    """Which elements are kept: 128 of a row share 16 counters, of which each gives eight."""
    key = seed & MASK, seed >> 32 & MASK
    kept = np.zeros(shape, bool)
    for i, j in np.ndindex(shape):
        counter = j // 128 * 16 + j % 16, i, step & MASK, stream & MASK
        word, half = divmod(j % 128 // 16, 2)
        kept[i, j] = philox(counter, key, 7)[word] >> 16 * half & 0xFFFF < keep_halves(p)
    return kept


def test_the_reference_gives_the_published_numbers():
    """Known answers of Random123, for ten rounds."""
    zeros = philox((0, 0, 0, 0), (0, 0), 10)
    assert zeros == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    ones = philox((MASK,) * 4, (MASK, MASK), 10)
    assert ones == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    counter, key = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
    assert philox(counter, key, 10) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("seed", "step", "stream"),
    [
        (0, 0, 0),
        (1, 2, 3),
        (2**40 + 17, 2**31, 2**20),
        (2**63 - 1, 2**32 - 1, 2**32 - 1),
        (-1, 5, 6),
    ],
)
def test_masks_are_philox(seed, step, stream, dtype):
    for shape, p in (((3, 200), 0.5), ((2, 1), 0.1), ((1, 64), 0.9), ((4, 65), 0.25)):
        x = np.ones(shape, dtype)
        y, mask = dropout(x, p, seed=seed, step=step, stream=stream)
        expected = reference_mask(shape, p, seed, step, stream)
        assert_array_equal(mask[:, : shape[1]], expected)
        assert_array_equal(y, np.where(expected, dtype(1) * dtype(keep_scale(p)), 0))


def test_the_whole_seed_counts():
    x = np.ones((4, 64), np.float32)
    masks = [dropout(x, seed=seed)[1] for seed in (0, 1, 2**32, 2**62, 2**63 - 1, -1)]
    assert len({mask.tobytes() for mask in masks}) == len(masks)


@pytest.mark.parametrize("seed", [2**63, 2**64 - 1])
def test_a_seed_may_have_64_bits(seed):
    x = np.ones((2, 70), np.float32)
    assert_array_equal(dropout(x, seed=seed)[1][:, :70], reference_mask((2, 70), 0.5, seed, 0, 0))


@pytest.mark.parametrize("dtype", FLOATS)
@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(0, 20),
    columns=st.integers(0, 200),
    p=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
def test_values_masks_and_gradients(rows, columns, p, seed, dtype):
    x = np.random.default_rng(0).standard_normal((rows, columns)).astype(dtype)
    held = x.copy()
    y, mask = dropout(x, p, seed=seed)
    assert y.dtype == dtype
    assert mask.dtype == np.uint8
    assert mask.shape == (rows, mask_columns(columns))
    assert mask_columns(columns) % 128 == 0
    assert np.isin(mask, (0, 1)).all()
    kept = mask[:, :columns].astype(bool)
    assert_array_equal(y, np.where(kept, x * dtype(1 / (1 - p)), 0))
    assert_array_equal(dropout_gradient(x, mask, p), y)
    assert_array_equal(x, held)


def test_as_many_are_kept_as_the_probability_says():
    x = np.ones((1000, 1000), np.float32)
    for p in (0.01, 0.2, 0.5, 0.8, 0.99):
        y, mask = dropout(x, p, seed=7)
        share = mask[:, :1000].mean()
        # Within five standard deviations of a million throws; the seed is fixed.
        assert abs(share - (1 - p)) < 5 * np.sqrt(p * (1 - p) / x.size)
        assert abs(y.mean() - 1) < 5 * np.sqrt(p / (1 - p) / x.size)


def test_neighbours_rows_steps_and_streams_are_independent():
    x = np.ones((64, 4096), np.float32)

    def drawn(**place):
        return dropout(x, seed=3, **place)[1].astype(float) - 0.5

    base = drawn()
    others = [drawn(step=1), drawn(stream=1), dropout(x, seed=4)[1] - 0.5]
    others += [np.roll(base, shift, axis) for axis in (0, 1) for shift in (1, 4, 16, 32)]
    for other in others:
        # Correlations of 2^18 independent throws, within five standard deviations.
        assert abs((base * other).mean() * 4) < 5 / np.sqrt(base.size)


@pytest.mark.parametrize("dtype", FLOATS)
def test_an_element_does_not_depend_on_the_shape_of_the_batch(dtype):
    whole = dropout(np.ones((50, 300), dtype), 0.3, seed=9, step=4, stream=2)[1]
    for rows, columns in ((1, 1), (7, 63), (50, 64), (31, 65), (50, 299)):
        part = dropout(np.ones((rows, columns), dtype), 0.3, seed=9, step=4, stream=2)[1]
        assert_array_equal(part[:, :columns], whole[:rows, :columns])
    single, double = (dropout(np.ones((9, 90), d), seed=5)[1] for d in FLOATS)
    assert_array_equal(single, double)


def test_calls_at_the_same_time_draw_the_same_mask():
    x = np.ones((200, 500), np.float32)
    expected = dropout(x, seed=11)[1]
    masks = []
    threads = [
        threading.Thread(target=lambda: masks.append(dropout(x, seed=11)[1])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(masks) == 4
    for mask in masks:
        assert_array_equal(mask, expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_no_dropout(dtype):
    x = np.array([[np.nan, np.inf, -0.0, 3.0] * 5], dtype)
    y, mask = dropout(x, 0.0)
    assert y is not x
    assert_array_equal(y, x)
    assert np.signbit(y[0, 2])
    assert mask[:, :20].all()
    assert_array_equal(dropout_gradient(x, mask, 0.0), x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nothing_kept(dtype):
    x = np.full((3, 70), np.nan, dtype)
    x[1] = np.inf
    y, mask = dropout(x, 1.0)
    assert_array_equal(y, np.zeros((3, 70)))
    assert not mask.any()
    assert_array_equal(dropout_gradient(x, mask, 1.0), np.zeros((3, 70)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_dropped_leaves_no_trace(value, dtype):
    x = np.full((20, 33), value, dtype)
    y, mask = dropout(x, 0.5, seed=1)
    kept = mask[:, :33] == 1
    assert kept.any()
    assert not kept.all()
    assert_array_equal(y, np.where(kept, x, 0))
    assert_array_equal(dropout_gradient(x, mask, 0.5), np.where(kept, x, 0))


def test_probabilities_next_to_0_and_1():
    for p in (1e-300, 1e-12, 2.0**-32, 1 - 2.0**-53):
        assert 0 <= keep_halves(p) <= 2**16
    x = np.ones((50, 64), np.float32)
    assert dropout(x, 1e-12)[1].all()
    assert not dropout(x, 1 - 1e-12)[1].any()
    assert keep_halves(0.5) == 2**15
    assert keep_halves(1.0) == 0


def test_layouts_and_dtypes():
    x = np.random.default_rng(0).standard_normal((9, 70))
    y, mask = dropout(x, seed=2)
    for layout in (np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2], x.tolist()):
        assert_array_equal(dropout(layout, seed=2)[0], y)
        assert_array_equal(dropout_gradient(layout, mask), y)
    assert_array_equal(dropout_gradient(x, np.asfortranarray(mask)), y)
    assert dropout(np.ones((2, 3), int))[0].dtype == np.float64


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "told"),
    [
        ((X, -0.1), {}, ValueError, "p is -0.1"),
        ((X, 1.1), {}, ValueError, "p is 1.1"),
        ((X, np.nan), {}, ValueError, "p is nan"),
        ((X, "half"), {}, TypeError, "p is 'half'"),
        ((X[0],), {}, ValueError, "x has shape (3,)"),
        ((X[None],), {}, ValueError, "x has shape (1, 2, 3)"),
        ((X.astype(complex),), {}, TypeError, "x has dtype complex128"),
        ((X,), {"seed": 1.5}, TypeError, "seed is 1.5"),
        ((X,), {"seed": None}, TypeError, "seed is None"),
        ((X,), {"seed": 2**64}, ValueError, f"seed is {2**64}"),
    ],
)
def test_bad_arguments_are_explained(arguments, options, error, told):
    with pytest.raises(error) as caught:
        dropout(*arguments, **options)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ((X, np.ones((2, 3), np.uint8)), ValueError, "mask has shape (2, 3)"),
        ((X, np.ones((3, 128), np.uint8)), ValueError, "mask has shape (3, 128)"),
        ((X, np.ones((2, 64))), TypeError, "mask has dtype float64"),
        ((X, [1, 0]), (TypeError, ValueError), "mask"),
        ((X[0], np.ones((1, 128), np.uint8)), ValueError, "gradient has shape (3,)"),
        ((X, np.ones((2, 128), np.uint8), 2.0), ValueError, "p is 2.0"),
    ],
)
def test_bad_gradient_arguments_are_explained(arguments, error, told):
    with pytest.raises(error) as caught:
        dropout_gradient(*arguments)
    assert told in str(caught.value)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("before", [False, True], ids=["page after", "page before"])
def test_no_byte_outside_the_arrays_is_touched(guarded, before, dtype):
    for columns in (1, 3, 4, 7, 8, 9, 15, 16, 17, 33, 63, 64, 65, 127, 128, 129, 130, 260):
        for rows in (1, 2, 5):
            x = guarded((rows, columns), dtype, before)
            x[...] = 1
            y, drawn = dropout(x, 0.5)
            mask = guarded(drawn.shape, np.uint8, before)
            mask[...] = drawn
            assert_array_equal(dropout_gradient(x, mask, 0.5), y)
