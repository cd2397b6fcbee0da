"""C source of the kernels' functions, for the headers that `fastnn.to_c` writes.

The functions compute in the order of the kernels (`kernels.base.vectormath`,
`kernels.functions`), so that a header has their bits where processors have fused multiply-add.
Without branches and calls of a library, compilers turn loops over them into vector code.

In `_SOURCE`, REAL is float or double, WORD the unsigned integer of its width, PICK(a, b) is `a` for
float and `b` for double, and names begin with N_ in place of the model's name. Decimals are of
type REAL. LANES are the partial sums of a row, as many as a vector of this processor has lanes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from kernels.base import host
from kernels.base.jit import real_type

_TYPES = {"float32": ("float", "uint32_t"), "float64": ("double", "uint64_t")}

_POLYNOMIALS: dict[str, tuple[str, str]] = {
    "exp_slope": (
        "1.0 0.4999999403953552 0.1666652113199234 0.04166838899254799 0.00836874544620514 "
        "0.0013814540579915047",
        "1.0 0.5000000000000011 0.1666666666666641 0.041666666666529725 0.00833333333349498 "
        "0.0013888888943760036 0.00019841269505766723 2.4801492949546002e-05 "
        "2.755758681054473e-06 2.763030628448665e-07 2.5000016632105547e-08",
    ),
    "exp_twice": (
        "1.0 2.0 1.999967336654663 1.3333629369735718 0.6703135371208191 0.26622387766838074",
        "1.0 2.0 2.000000000000007 1.3333333333332933 0.6666666666638732 0.26666666667392563 "
        "0.08888888928902586 0.025396824872256543 0.006349180498059107 0.0014109503047791568 "
        "0.0002829554486913651 5.1188216102650015e-05",
    ),
    "tanh_bend": (
        "-0.33333149552345276 0.13328194618225098 -0.05349649116396904 0.01992698572576046 "
        "-0.00498991971835494",
        "-0.33333333333332854 0.1333333333326209 -0.053968253931267654 0.02186948757609363 "
        "-0.008863221002618169 0.0035919891737148622 -0.0014549588774683134 "
        "0.0005863165386214208 -0.00022856420761693518 7.714436263368639e-05 "
        "-1.6072567702696604e-05",
    ),
    "log_tail": (
        "0.6666677594184875 0.3997756540775299 0.2987120747566223",
        "0.6666666666666734 0.3999999999941566 0.28571428742189425 0.22222198591447595 "
        "0.1818356348308763 0.15314069478571482 0.14795785921517307",
    ),
    "tail": (
        "0.7290837168693542 -0.509332001209259 0.23001770675182343 -0.04726268723607063 "
        "-0.010462520644068718 0.006969301961362362 0.0010247837053611875 "
        "-0.001032523694448173 -0.00024475419195368886 0.00013125358964316547 "
        "5.44547765457537e-05",
        "0.769193049750063 -0.6653825028900567 0.49530561596997724 -0.3135331566712963 "
        "0.16502036617033972 -0.06911863870656701 0.020795066800788926 -0.002993376766761612 "
        "-0.0007978694074895102 0.0005448990339826112 -5.937567794519885e-05 "
        "-4.9762658694283026e-05 1.6681052637433154e-05 3.980399759669318e-06 "
        "-2.7689771042379977e-06 -3.355746027593885e-07 4.329132881535752e-07 "
        "4.093677770381401e-08 -6.60245282314408e-08 -8.341664639170223e-09 "
        "7.935875475086037e-09 1.4485165693785176e-09 -2.9650955640911926e-10",
    ),
}
_SINGLE, _DOUBLE = _POLYNOMIALS["exp_slope"]
_POLYNOMIALS["exp_bend"] = _SINGLE.removeprefix("1.0 "), _DOUBLE.removeprefix("1.0 ")
"""Coefficients of the polynomials of `kernels.base.vectormath`, constant term first."""

_FMA = {
    "float32": """
/* a b + c, rounded once. */
REAL N_fma(REAL a, REAL b, REAL c)
{
#if defined(FP_FAST_FMAF) || defined(__FP_FAST_FMAF) || defined(__FMA__) \\
    || defined(__ARM_FEATURE_FMA) || defined(__riscv_flen)
    return fmaf(a, b, c);
#else
    return (float)((double)a * b + c);
#endif
}
""",
    "float64": """
/* a b + c, rounded once. */
REAL N_fma(REAL a, REAL b, REAL c)
{
    return fma(a, b, c);
}
""",
}

_SOURCE = """
WORD N_bits(REAL x)
{
    WORD bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

REAL N_from_bits(WORD bits)
{
    REAL x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

REAL N_maximum(REAL x, REAL bound)
{
    return bound > x ? bound : x;
}

REAL N_minimum(REAL x, REAL bound)
{
    return bound < x ? bound : x;
}

REAL N_absolute(REAL x)
{
    return N_from_bits(N_bits(x) & PICK(0x7fffffffu, UINT64_C(0x7fffffffffffffff)));
}

/* x 2^n for whole numbers n. */
REAL N_scale(REAL x, REAL n)
{
    const WORD bits = N_bits(n + PICK(12583166.0, 6755399441057790.0));
    const WORD half = (bits << PICK(22, 51)) & PICK(0x7f800000u, UINT64_C(0x7ff0000000000000));
    const WORD rest = (bits << PICK(23, 52)) - half;
    return x * N_from_bits(half) * N_from_bits(rest);
}

/* Whole numbers n such that x = n ln 2 + r with |r| <= ln 2 / 2. */
REAL N_multiple(REAL x)
{
    return N_fma(x, 1.4426950408889634, PICK(12582912.0, 6755399441055744.0))
        - PICK(12582912.0, 6755399441055744.0);
}

REAL N_rest(REAL x, REAL n)
{
    return N_fma(n, PICK(-1.428606765330187e-06, -1.9082149292705877e-10),
        N_fma(n, PICK(-0.693145751953125, -0.6931471803691238), x));
}

REAL N_exp(REAL x)
{
    const REAL bounded = N_minimum(N_maximum(x, PICK(-104.0, -746.0)), PICK(89.0, 710.0));
    const REAL n = N_multiple(bounded), r = N_rest(bounded, n);
    return N_scale(N_fma(N_exp_slope(r), r, 1.0), n);
}

/* e^x - 1 for x <= 0. */
REAL N_expm1(REAL x)
{
    const REAL bounded = N_maximum(x, PICK(-104.0, -746.0));
    const REAL n = N_multiple(bounded), r = N_rest(bounded, n);
    const REAL power = N_scale(1.0, n);
    return N_fma(power, N_fma(N_exp_bend(r) * r, r, r), power - 1.0);
}

/* 1 / (2^-n + e^r) for a = n ln 2 + r >= 0: 2^n times the sigmoid of -a. */
REAL N_scaled_sigmoid(REAL a, REAL n)
{
    const REAL r = N_rest(a, n), slope = N_exp_slope(r), power = N_scale(1.0, -n);
    const REAL total = N_fma(slope, r, power + 1.0);
    const REAL lost = N_fma(slope, r, (1.0 - total) + power), inverse = 1.0 / total;
    return N_fma(inverse * lost, -inverse, inverse);
}

REAL N_sigmoid(REAL x)
{
    const REAL a = N_minimum(N_absolute(x), PICK(104.0, 746.0)), n = N_multiple(a);
    const REAL smaller = N_scale(N_scaled_sigmoid(a, n), -n);
    return x < 0.0 ? smaller : 1.0 - smaller;
}

REAL N_silu(REAL x)
{
    const REAL a = N_minimum(N_absolute(x), PICK(110.0, 755.0)), n = N_multiple(a);
    const REAL inverse = N_scaled_sigmoid(a, n), larger = 1.0 - N_scale(inverse, -n);
    return x < 0.0 ? N_scale(-(inverse * a), -n) : x * larger;
}

REAL N_tanh(REAL x)
{
    const REAL a = N_minimum(N_absolute(x), 20.0), square = a * a;
    const REAL near_0 = N_fma(a * square, N_tanh_bend(square), a);
    const REAL shift = PICK(12583039.0, 6755399441056767.0);
    const REAL shifted = N_fma(a, 2.8853900817779268, shift);
    const REAL r = N_fma(shifted - shift, -0.34657359027997264, a);
    const REAL power = N_from_bits(N_bits(shifted) << PICK(23, 52));
    const REAL far_out = 1.0 - 2.0 / N_fma(N_exp_twice(r), power, 1.0);
    const REAL magnitude = a < PICK(0.72, 0.625) ? near_0 : far_out;
    return N_from_bits(N_bits(magnitude) | (N_bits(x) & ~N_bits(N_absolute(x))));
}

/* log(1 + f) - f for 1 + f from sqrt(1/2) to sqrt(2). */
REAL N_log_reduced(REAL f)
{
    const REAL s = f / (f + 2.0), square = s * s, half = f * f * -0.5;
    return N_fma(s, square * N_log_tail(square) - half, half);
}

/* log x for x >= 1. */
REAL N_log(REAL x)
{
    const WORD root = PICK(0x3f3504f3u, UINT64_C(0x3fe6a09e667f3bcd));
    const WORD one = PICK(0x3f800000u, UINT64_C(0x3ff0000000000000));
    const WORD fraction = PICK(0x7fffffu, UINT64_C(0xfffffffffffff));
    const WORD bits = N_bits(x) - root + one;
    const REAL f = N_from_bits((bits & fraction) + root) - 1.0;
    const WORD rounder = PICK(0x4b400000u, UINT64_C(0x4338000000000000));
    const REAL shift = PICK(12583039.0, 6755399441056767.0);
    const REAL k = N_from_bits((bits >> PICK(23, 52)) | rounder) - shift;
    const REAL whole = k * PICK(0.693145751953125, 0.6931471803691238), total = whole + f;
    const REAL lost = f - (total - whole);
    const REAL rest = N_fma(k, PICK(1.428606765330187e-06, 1.9082149292705877e-10), lost);
    const REAL y = total + (rest + N_log_reduced(f));
    return x < (REAL)INFINITY ? y : x;
}

/* log(1 + x) for x from 0 to 1. */
REAL N_log1p(REAL x)
{
    const int is_far = x > 0.41421356;
    const REAL f = is_far ? (x - 1.0) * 0.5 : x, tail = N_log_reduced(f);
    const REAL low = PICK(1.428606765330187e-06, 1.9082149292705877e-10);
    return is_far ? PICK(0.693145751953125, 0.6931471803691238) + (f + (tail + low)) : f + tail;
}

REAL N_relu(REAL x)
{
    return N_maximum(x, 0.0);
}

REAL N_leaky_relu(REAL x, REAL slope)
{
    return x > 0.0 ? x : x * slope;
}

REAL N_elu(REAL x, REAL alpha)
{
    return x > 0.0 ? x : N_expm1(N_minimum(x, 0.0)) * alpha;
}

/* max(x, 0) - a m e, where m e is the normal distribution at -a = -|x|. */
REAL N_gelu(REAL x)
{
    const REAL a = N_minimum(N_absolute(x), PICK(14.5, 38.7));
    const REAL inverse = 1.0 / (a + PICK(3.0, 5.0));
    const REAL m = N_tail((a - PICK(3.0, 5.0)) * inverse) * inverse;
    const WORD high_half = PICK(0xfffff000u, UINT64_C(0xfffffffff8000000));
    const REAL high = N_from_bits(N_bits(a) & high_half);
    const REAL whole = high * high * -0.5, rest = (a - high) * (a + high) * -0.5;
    const REAL total = whole + rest, power = N_exp(total);
    const REAL e = N_fma(power, (whole - total) + rest, power);
    return N_maximum(x, 0.0) - (a * m) * e;
}

REAL N_gelu_tanh(REAL x)
{
    return x * N_sigmoid(x * N_fma(x * x, 0.07135481627260025, 1.5957691216057308));
}

REAL N_softplus(REAL x, REAL beta, REAL threshold)
{
    const REAL z = x * beta;
    const REAL y = (N_maximum(z, 0.0) + N_log1p(N_exp(-N_absolute(z)))) / beta;
    return z > threshold ? x : y;
}

REAL N_mish(REAL x)
{
    const REAL root = N_exp(x * 0.5), e = root * root;
    const REAL share = (e + 2.0) / N_fma(e, e + 2.0, 2.0);
    return x > 22.0 ? x : x * share * root * root;
}

REAL N_hardswish(REAL x)
{
    return x * (N_minimum(N_maximum(x + 3.0, 0.0), 6.0) / 6.0);
}

REAL N_hardtanh(REAL x, REAL low, REAL high)
{
    return N_minimum(N_maximum(x, low), high);
}

REAL N_smooth_clip(REAL x, REAL bound)
{
    const REAL share = N_minimum(N_maximum(x / bound, -1e12), 1e12);
    return share / N_sqrt(N_fma(share, share, 1.0)) * bound;
}

REAL N_sqrt(REAL x)
{
    return PICK(sqrtf(x), sqrt(x));
}

REAL N_halves(REAL *parts)
{
    for (int lanes = LANES / 2; lanes > 0; lanes /= 2)
        for (int i = 0; i < lanes; ++i)
            parts[i] += parts[i + lanes];
    return parts[0];
}

REAL N_sum(int n, const REAL *x)
{
    REAL parts[LANES] = {0.0};
    for (int first = 0; first < n; first += LANES) {
        const int count = n - first < LANES ? n - first : LANES;
        for (int i = 0; i < count; ++i)
            parts[i] += x[first + i];
    }
    return N_halves(parts);
}

/* Sum of (x - mean)^2. */
REAL N_squares(int n, const REAL *x, REAL mean)
{
    REAL parts[LANES] = {0.0};
    for (int first = 0; first < n; first += LANES) {
        const int count = n - first < LANES ? n - first : LANES;
        for (int i = 0; i < count; ++i)
            parts[i] = N_fma(x[first + i] - mean, x[first + i] - mean, parts[i]);
    }
    return N_halves(parts);
}

/* Sum of e^(x - shift). */
REAL N_powers(int n, const REAL *x, REAL shift)
{
    REAL parts[LANES] = {0.0};
    for (int first = 0; first < n; first += LANES) {
        const int count = n - first < LANES ? n - first : LANES;
        for (int i = 0; i < count; ++i)
            parts[i] += N_exp(x[first + i] - shift);
    }
    return N_halves(parts);
}

/* Sum of x w. */
REAL N_dot(int n, const REAL *x, const REAL *w)
{
    REAL parts[LANES] = {0.0};
    for (int first = 0; first < n; first += LANES) {
        const int count = n - first < LANES ? n - first : LANES;
        for (int i = 0; i < count; ++i)
            parts[i] = N_fma(x[first + i], w[first + i], parts[i]);
    }
    for (int lanes = LANES / 2; lanes > 0; lanes /= 2)
        for (int i = 0; i < lanes; ++i)
            parts[i] = parts[2 * i] + parts[2 * i + 1];
    return parts[0];
}

/* The largest number, or NaN if there is one. */
REAL N_largest(int n, const REAL *x)
{
    REAL best = x[0];
    for (int i = 1; i < n; ++i)
        best = x[i] > best || x[i] != x[i] ? x[i] : best;
    return best;
}
"""

_TIMES = """
/* Add w^T x to y, for n rows of w. */
void N_times_WIDTH(int n, const REAL *x, const REAL *w, REAL *y)
{
    REAL sums[WIDTH];
    for (int j = 0; j < WIDTH; ++j)
        sums[j] = y[j];
    for (; n > 0; --n, ++x, w += WIDTH)
        for (int j = 0; j < WIDTH; ++j)
            sums[j] = N_fma(*x, w[j], sums[j]);
    for (int j = 0; j < WIDTH; ++j)
        y[j] = sums[j];
}
"""

WIDTHS = 64, 32, 16, 8, 4, 2, 1
"""Outputs that a product computes together, in registers: powers of two fill vectors."""


def source(name: str, dtype: np.dtype, used: Iterable[str]) -> str:
    """Return the definitions of the functions used, and of those that they call.

    `name` begins the names of all.
    """
    definitions = _definitions(dtype.name)
    ordered: dict[str, str] = {}

    def define(function: str) -> None:
        if function not in ordered:
            text = definitions[function]
            for called in re.findall(r"N_(\w+)\(", text):
                if called != function:
                    define(called)
            ordered[function] = text

    for function in used:
        define(function)
    return "\n".join(_in_c(name, dtype.name, text) for text in ordered.values())


def parameters(function: str) -> int:
    """Return how many numbers an elementwise function takes beside x."""
    found = re.search(rf"^REAL N_{function}\(REAL x([^)]*)\)", _SOURCE, re.MULTILINE)
    if found is None:
        raise NotImplementedError(f"there is no C source of the function {function!r}")
    return found[1].count("REAL")


def _definitions(dtype: str) -> dict[str, str]:
    """Return the source of each function by name."""
    texts = re.split(r"\n(?=\n/\*|\n(?:REAL|WORD))", _FMA[dtype].rstrip() + "\n" + _SOURCE)
    for name, kinds in _POLYNOMIALS.items():
        texts.append(_polynomial(name, kinds[dtype == "float64"].split()))
    texts += [_TIMES.replace("WIDTH", str(width)) for width in WIDTHS]
    found = {}
    for text in texts:
        if match := re.search(r"^\w+ N_(\w+)\(", text, re.MULTILINE):
            found[match[1]] = text.strip() + "\n"
    return found


def _polynomial(name: str, coefficients: list[str]) -> str:
    """Return the source of a polynomial by Horner's rule."""
    *rest, last = coefficients
    steps = "".join(f"    y = N_fma(y, x, {each});\n" for each in reversed(rest))
    return f"\nREAL N_{name}(REAL x)\n{{\n    REAL y = {last};\n{steps}    return y;\n}}\n"


def _in_c(name: str, dtype: str, text: str) -> str:
    """Return source as C."""
    single = dtype == "float32"
    real, word = _TYPES[dtype]
    text = re.sub(_PICK, r"\1" if single else r"\2", text)
    if single:
        text = re.sub(r"(?<![\w.])(\d+\.\d+(?:e[+-]?\d+)?|\d+e[+-]?\d+)", r"\1f", text)
    text = re.sub(r"^(?=(REAL|WORD|void) N_)", "static inline ", text, flags=re.MULTILINE)
    lanes = host.lanes(real_type(dtype))
    text = text.replace("REAL", real).replace("WORD", word).replace("LANES", str(lanes))
    return re.sub(r"\bN_", f"{name}_", text)


_PART = r"((?:[^(),]|\([^()]*\))+)"
_PICK = re.compile(rf"PICK\({_PART}, {_PART}\)")
