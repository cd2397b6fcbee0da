import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import llvmlite.binding as llvm
import mpmath
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS
from scipy.special import ndtr

from kernels.base import host, simd, vectormath
from kernels.base.jit import inline

FUSED = "fma" in host.FEATURES or not host.IS_X86
# What the docstrings promise, in ulps.
BOUNDS = {"exp": 1.0 if FUSED else 1.3, "log": 1.0, "tanh": 1.6, "sigmoid": 1.7}
NAMES = sorted(BOUNDS)
PARTIAL = {"expm1": 1.5, "log1p": 1.5, "tail": 6.0}
CHUNK = 1 << 14  # larger temporary arrays come from the system anew each time


def elementwise(function):
    @numba.njit(nogil=True)
    def run(x, y):
        source, target = simd.data(x), simd.data(y)
        for i in range(0, x.size, simd.width(source)):
            count = x.size - i
            simd.store_first(target, i, function(simd.load_first(source, i, count)), count)

    def call(x):
        x = np.ascontiguousarray(x)
        y = np.empty_like(x)
        run(x, y)
        return y

    return call


@inline
def tail(x):
    _, m, e = vectormath.normal_tail(x)
    return m * e


FUNCTIONS = {name: elementwise(getattr(vectormath, name)) for name in [*NAMES, "expm1", "log1p"]}
FUNCTIONS["tail"] = elementwise(tail)


def exact(name, x, wide):
    """The function in a wider type, without overflow or cancellation on the way."""
    with np.errstate(all="ignore"):
        x = x.astype(wide)
        if name != "sigmoid":
            return getattr(np, name)(x)
        power = np.exp(-np.abs(x))
        return np.where(x < 0, power, 1) / (1 + power)


def float32_error(name, ulps, bits):
    """The largest error for the float32 inputs that have these bits."""
    chunks = (bits[i : i + CHUNK].view(np.float32) for i in range(0, bits.size, CHUNK))
    return max(ulps(FUNCTIONS[name](x), exact(name, x, np.float64)).max() for x in chunks)


@pytest.mark.parametrize("name", NAMES)
def test_float32_on_inputs_of_every_size(name, ulps):
    bits = np.arange(0, 1 << 32, 1021, dtype=np.uint32)  # a prime: all signs, exponents, fractions
    assert float32_error(name, ulps, bits) <= BOUNDS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_float32_on_every_input(name, ulps):
    share = 1 << 22

    def error(start):
        return float32_error(name, ulps, np.arange(start, start + share, dtype=np.uint32))

    with ThreadPoolExecutor(host.cores()) as pool:
        worst = max(pool.map(error, range(0, 1 << 32, share)))
    print(f"{name}: at most {worst:.3f} ulp")
    assert worst <= BOUNDS[name]


def float64_samples(name, rng):
    """Inputs over the whole range, and more of them where the method changes."""
    n = 1 << 16
    anything = rng.integers(0, 1 << 64, n, dtype=np.uint64).view(np.float64)
    usual = rng.normal(size=n)
    if name == "log":
        denormal = rng.integers(1, 1 << 52, n).view(np.float64)
        return np.concatenate([np.abs(anything), denormal, rng.uniform(0, 3, n), 1 + 1e-3 * usual])
    tiny = usual * 10.0 ** rng.uniform(-320, 0, n)
    sides = rng.uniform(-0.7, 0.7, n), rng.uniform(-40, 40, n)
    underflowing = rng.uniform(-746, -707, n)
    return np.concatenate([anything, usual, tiny, *sides, underflowing, rng.uniform(-746, 711, n)])


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="no wider type than float64 here")
@pytest.mark.parametrize("name", NAMES)
def test_float64_against_a_wider_type(name, ulps):
    x = float64_samples(name, np.random.default_rng(0))
    error = ulps(FUNCTIONS[name](x), exact(name, x, np.longdouble))
    assert error.max() <= BOUNDS[name], x[error.argmax()]


def exact_sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)  # the first call compiles
@given(x=st.floats(-760, 760) | st.floats(allow_nan=False, allow_infinity=False))
def test_float64_against_mpmath(name, x):
    x = abs(x) if name == "log" else x
    got = float(FUNCTIONS[name](np.array([x]))[0])
    with mpmath.workprec(2400):
        if name == "log" and x == 0:
            assert got == -np.inf
            return
        if abs(x) > 1e6 and name != "log":  # mpmath would not come back from e^1e300
            assert got == FUNCTIONS[name](np.array([np.copysign(1e6, x)]))[0]
            return
        value = (exact_sigmoid if name == "sigmoid" else getattr(mpmath, name))(mpmath.mpf(x))
        if abs(value) >= mpmath.mpf(2) ** 1024 * (1 - mpmath.mpf(2) ** -54):
            assert got == np.inf
            return
        unit = mpmath.mpf(2) ** (max(mpmath.frexp(value)[1] - 1, -1022) - 52)
        assert abs(got - value) / unit <= BOUNDS[name]


SPECIAL = {
    "exp": {np.nan: np.nan, np.inf: np.inf, -np.inf: 0.0, 0.0: 1.0, 1e30: np.inf, -1e30: 0.0},
    "log": {np.nan: np.nan, np.inf: np.inf, 0.0: -np.inf, 1.0: 0.0, -1.0: np.nan, -np.inf: np.nan},
    "tanh": {np.nan: np.nan, np.inf: 1.0, -np.inf: -1.0, 0.0: 0.0, 100.0: 1.0, -1e30: -1.0},
    "sigmoid": {np.nan: np.nan, np.inf: 1.0, -np.inf: 0.0, 0.0: 0.5, 1e30: 1.0, -1e30: 0.0},
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NAMES)
def test_special_values(name, dtype):
    x = np.array(list(SPECIAL[name]), dtype)
    np.testing.assert_array_equal(FUNCTIONS[name](x), list(SPECIAL[name].values()))


@pytest.mark.parametrize("dtype", FLOATS)
def test_signs_of_zeros(dtype):
    zeros = np.array([0.0, -0.0], dtype)
    assert np.signbit(FUNCTIONS["tanh"](zeros)).tolist() == [False, True]
    np.testing.assert_array_equal(FUNCTIONS["exp"](zeros), 1)
    np.testing.assert_array_equal(FUNCTIONS["sigmoid"](zeros), 0.5)
    assert not np.signbit(FUNCTIONS["log"](np.ones(1, dtype))).any()
    np.testing.assert_array_equal(FUNCTIONS["log"](zeros), -np.inf)
    negative = -np.finfo(dtype).smallest_subnormal
    assert np.isnan(FUNCTIONS["log"](np.array([negative], dtype))).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_exp_overflows_and_underflows_where_the_exact_value_does(dtype):
    wide = np.longdouble if dtype == np.float64 else np.float64
    info = np.finfo(dtype)
    for edge in (np.log(wide(info.max)), np.log(wide(info.smallest_subnormal) / 2)):
        x = np.full(2001, edge).astype(dtype)
        x += np.spacing(x) * np.arange(-1000, 1001, dtype=dtype)
        with np.errstate(over="ignore"):
            expected = exact("exp", x, wide).astype(dtype)
        got = FUNCTIONS["exp"](x)
        np.testing.assert_array_equal(np.isinf(got), np.isinf(expected))
        np.testing.assert_array_equal(got == 0, expected == 0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_symmetries(dtype):
    x = np.random.default_rng(0).normal(size=10_000).astype(dtype) * 4
    np.testing.assert_array_equal(FUNCTIONS["tanh"](-x), -FUNCTIONS["tanh"](x))
    positive, negative = (FUNCTIONS["sigmoid"](sign * np.abs(x)) for sign in (1, -1))
    np.testing.assert_array_equal(positive, 1 - negative)


# ------------------------------------------------------- functions of a part of the numbers


def within(name, x):
    """Numbers folded into the part where a function is good."""
    if name == "expm1":
        return -np.abs(x)
    if name == "log1p":
        return np.minimum(np.abs(x), 1 / np.maximum(np.abs(x), np.finfo(x.dtype).tiny))
    return x


def exact_part(name, x):
    with np.errstate(all="ignore"):
        return ndtr(-np.abs(x)) if name == "tail" else getattr(np, name)(x)


@pytest.mark.parametrize("name", PARTIAL)
def test_float32_of_a_part(name, ulps):
    bits = np.arange(0, 1 << 32, 1021, dtype=np.uint32)
    for i in range(0, bits.size, CHUNK):
        x = bits[i : i + CHUNK].view(np.float32)
        x = within(name, x[np.isfinite(x)])
        error = ulps(FUNCTIONS[name](x), exact_part(name, x.astype(np.float64)))
        assert error.max() <= PARTIAL[name], x[error.argmax()]


@pytest.mark.parametrize("name", PARTIAL)
@settings(deadline=None, max_examples=300)
@given(x=st.floats(-760, 760) | st.floats(-3, 3) | st.floats(-1e-300, 1e-300))
def test_float64_of_a_part_against_mpmath(name, x):
    x = float(within(name, np.array([x]))[0])
    got = float(FUNCTIONS[name](np.array([x]))[0])
    with mpmath.workprec(2400):
        functions = {
            "expm1": mpmath.expm1, "log1p": mpmath.log1p,
            "tail": lambda x: mpmath.erfc(abs(x) / mpmath.sqrt(2)) / 2,
        }  # fmt: skip
        value = functions[name](mpmath.mpf(x))
        if value == 0:
            assert got == 0
            return
        unit = mpmath.mpf(2) ** (max(mpmath.frexp(value)[1] - 1, -1022) - 52)
        assert abs(got - value) / unit <= PARTIAL[name]


@pytest.mark.parametrize("dtype", FLOATS)
def test_special_values_of_a_part(dtype):
    x = np.array([0.0, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(FUNCTIONS["expm1"](x), [0, -1, np.nan])
    np.testing.assert_array_equal(FUNCTIONS["log1p"](x[[0, 2]]), [0, np.nan])
    np.testing.assert_array_equal(FUNCTIONS["tail"](x), [0.5, 0, np.nan])


def processors():
    """Other processors that this one can run the code of: LLVM's name and features."""
    if not host.IS_X86:
        return []
    own = llvm.get_host_cpu_features()
    found = [("generic", "")]
    if own.get("avx2") and own.get("fma"):
        found.append(("haswell", "+avx,+avx2,+fma,+sse4.2,+bmi,+bmi2"))
    return found


@pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="this is such a test already")
@pytest.mark.parametrize(("name", "features"), processors())
def test_on_another_processor(name, features, tmp_path):
    """All tests of this file, and those of masked loads and stores, once more there."""
    environment = os.environ | {
        "NUMBA_CPU_NAME": name,
        "NUMBA_CPU_FEATURES": features,
        "FASTNN_CACHE_DIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    chosen = [__file__, str(Path(__file__).parents[1] / "functions" / "test_activations.py")]
    chosen += ["-k", "vectormath or beside or touched"]
    done = subprocess.run([*command, *chosen], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
