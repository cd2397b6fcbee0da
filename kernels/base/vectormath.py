"""exp, expm1, log, log1p, tanh, sigmoid, silu and normal tails of vectors, without branches.

The method is the classic one (W. J. Cody and W. Waite, *Software Manual for the Elementary
Functions*, 1980; J.-M. Muller, *Elementary Functions*, 3rd ed. 2016, chapters 3 and 11): reduce
the argument to a short interval, evaluate a polynomial there, and undo the reduction. ln 2 is
subtracted in two parts, of which the first is short enough for exact multiples. A number is
rounded to an integer by adding 1.5 times 2^23 (2^52 in float64); the integer is then in the low
bits of the significand.

The coefficients are minimax fits of the relative error, computed for this file in 200-bit
arithmetic with Remez's exchange algorithm and then rounded. A comment beside each fit states
its remaining relative error. Values for float32 come first, then those for float64.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kernels.base import host, simd
from kernels.base.jit import inline

# ------------------------------------------------------------- values that depend on the dtype


def _integer(dtype):
    """Return the unsigned integer type of the width of a floating type."""
    return {32: types.uint32, 64: types.uint64}[dtype.bitwidth]


def _constant(single, double):
    """Return an intrinsic that returns `single` or `double`, by the lanes of its argument.

    A float gets the dtype of the lanes, an integer the unsigned type of their width.
    """

    @intrinsic
    def constant(typingctx, x):
        value = single if x.dtype.bitwidth == 32 else double
        kind = x.dtype if isinstance(value, float) else _integer(x.dtype)

        def codegen(context, builder, sig, args):
            return context.get_constant(kind, value)

        return kind(x), codegen

    return constant


def _polynomial(single, double):
    """Return an intrinsic that evaluates a polynomial by Horner's rule, constant term first."""

    @intrinsic
    def polynomial(typingctx, x):
        coefficients = single if x.dtype.bitwidth == 32 else double

        def codegen(context, builder, sig, args):
            value, *rest = (
                simd.emit_splat(builder, context.get_constant(x.dtype, coefficient), x)
                for coefficient in reversed(coefficients)
            )
            for coefficient in rest:
                value = simd.emit_fma(builder, value, args[0], coefficient, x)
            return value

        return x(x), codegen

    return polynomial


@intrinsic
def _bits(typingctx, x):
    """Return the bits of floating lanes as unsigned integers."""
    result = simd.Vector(_integer(x.dtype), x.lanes)

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], simd.llvm_vector(result))

    return result(x), codegen


@intrinsic
def _from_bits(typingctx, bits):
    """Return the floating lanes with these bits."""
    result = simd.Vector({32: types.float32, 64: types.float64}[bits.dtype.bitwidth], bits.lanes)

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], simd.llvm_vector(result))

    return result(bits), codegen


_BIAS = _constant(127.0, 1023.0)
_FRACTION_BITS = _constant(23, 52)
_FRACTION = _constant(2**23 - 1, 2**52 - 1)
_EXPONENT = _constant(0xFF << 23, 0x7FF << 52)
_SIGN = _constant(1 << 31, 1 << 63)
_ROUNDER = _constant(1.5 * 2.0**23, 1.5 * 2.0**52)

_LOG2_E = 1.4426950408889634
_LN2 = 0.6931471805599453
_LN2_HIGH = _constant(0.693145751953125, 0.6931471803691238)
_LN2_LOW = _constant(1.428606765330187e-06, 1.9082149292705877e-10)

# ----------------------------------------------------------------------- powers of two


@intrinsic
def _scale_at_once(typingctx, x, n):
    """Return x 2^n for whole numbers n, by AVX-512's `vscalef`."""

    def codegen(context, builder, sig, args):
        kind, mask, rounding = simd.llvm_vector(x), ir.IntType(x.lanes), ir.IntType(32)
        letter = "s" if x.dtype == types.float32 else "d"
        function = simd.declare(
            builder,
            f"llvm.x86.avx512.mask.scalef.p{letter}.512",
            kind,
            [kind, kind, kind, mask, rounding],
        )
        everywhere, as_usual = mask(-1), rounding(4)
        return builder.call(function, [*args, args[0], everywhere, as_usual])

    return x(x, x), codegen


@inline
def _scale_twice(x, n):
    """Return x 2^n for whole numbers n of at most twice the largest exponent, on any processor.

    2^n is multiplied in as two factors within the range, so that a denormal result is rounded
    only once, by the last product.
    """
    bits = _bits(n + (_ROUNDER(x) + 2.0 * _BIAS(x)))
    half = (bits << (_FRACTION_BITS(x) - 1)) & _EXPONENT(x)
    rest = (bits << _FRACTION_BITS(x)) - half
    return x * _from_bits(half) * _from_bits(rest)


_scale = _scale_at_once if "avx512f" in host.FEATURES else _scale_twice

# --------------------------------------------------------------------------------- exp

# Below and above these arguments, exp is 0 and inf.
_EXP_LEAST = _constant(-104.0, -746.0)
_EXP_GREATEST = _constant(89.0, 710.0)

# (e^r - 1) / r for |r| <= ln 2 / 2, leaving 2^-28.3 and 2^-57.9 of e^r.
_EXP_SLOPE_TERMS = (
    (
        1.0,
        0.4999999403953552,
        0.1666652113199234,
        0.04166838899254799,
        0.00836874544620514,
        0.0013814540579915047,
    ),
    (
        1.0,
        0.5000000000000011,
        0.1666666666666641,
        0.041666666666529725,
        0.00833333333349498,
        0.0013888888943760036,
        0.00019841269505766723,
        2.4801492949546002e-05,
        2.755758681054473e-06,
        2.763030628448665e-07,
        2.5000016632105547e-08,
    ),
)
_EXP_SLOPE = _polynomial(*_EXP_SLOPE_TERMS)
_EXP_BEND = _polynomial(*(terms[1:] for terms in _EXP_SLOPE_TERMS))  # (slope - 1) / r


@inline
def _reduce(x):
    """Return whole numbers n, and r with |r| <= ln 2 / 2, such that x = n ln 2 + r."""
    n = simd.fma(x, _LOG2_E, _ROUNDER(x)) - _ROUNDER(x)
    return n, simd.fma(n, -_LN2_LOW(x), simd.fma(n, -_LN2_HIGH(x), x))


@inline
def exp(x):
    """Return e^x within 1 ulp, or 1.3 ulp without fused multiply-add.

    Results above the range are inf; below it, they are denormal and then 0.
    """
    n, r = _reduce(simd.minimum(simd.maximum(x, _EXP_LEAST(x)), _EXP_GREATEST(x)))
    return _scale(simd.fma(_EXP_SLOPE(r), r, 1.0), n)


@inline
def expm1(x):
    """Return e^x - 1 within 1.5 ulp, for x <= 0."""
    n, r = _reduce(simd.maximum(x, _EXP_LEAST(x)))
    power = _scale(simd.splat(1.0, x), n)
    # r + r^2 bend: only the second, smaller term is rounded twice.
    change = simd.fma(_EXP_BEND(r) * r, r, r)
    return simd.fma(power, change, power - 1.0)


# ----------------------------------------------------------------------------- sigmoid


@inline
def _smaller_sigmoid(a):
    """Return m and n such that the sigmoid of -a is m 2^-n, for a >= 0.

    With a = n ln 2 + r, the sigmoid is 2^-n / (2^-n + e^r), whose numerator is exact.
    """
    n, r = _reduce(a)
    slope = _EXP_SLOPE(r)
    power = _scale(simd.splat(1.0, a), n * -1.0)
    total = simd.fma(slope, r, power + 1.0)
    # The rounding error of 2^-n + 1 + r slope is corrected in the inverse.
    lost = simd.fma(slope, r, (1.0 - total) + power)
    inverse = 1.0 / total
    return simd.fma(inverse * lost, inverse * -1.0, inverse), n


@inline
def sigmoid(x):
    """Return 1 / (1 + e^-x) within 1.7 ulp; denormals, then 0, for very negative x."""
    inverse, n = _smaller_sigmoid(simd.minimum(simd.fabs(x), -_EXP_LEAST(x)))
    smaller = _scale(inverse, n * -1.0)
    return simd.select(x < 0.0, smaller, 1.0 - smaller)


_SILU_LEAST = _constant(-110.0, -755.0)  # below it the result is 0


@inline
def silu(x):
    """Return x / (1 + e^-x) within 2.5 ulp."""
    # Multiply by x before scaling: a denormal sigmoid would have lost digits.
    a = simd.minimum(simd.fabs(x), -_SILU_LEAST(x))
    inverse, n = _smaller_sigmoid(a)
    larger = 1.0 - _scale(inverse, n * -1.0)
    return simd.select(x < 0.0, _scale(inverse * a * -1.0, n * -1.0), x * larger)


# -------------------------------------------------------------------------------- tanh

_TANH_NEAR = _constant(0.72, 0.625)
_TANH_ONE = 20.0

# (tanh(a) / a - 1) / a^2 in powers of a^2 for a <= `_TANH_NEAR`, leaving 2^-25.5 and 2^-56.5
# of tanh(a).
_TANH_BEND = _polynomial(
    (
        -0.33333149552345276,
        0.13328194618225098,
        -0.05349649116396904,
        0.01992698572576046,
        -0.00498991971835494,
    ),
    (
        -0.33333333333332854,
        0.1333333333326209,
        -0.053968253931267654,
        0.02186948757609363,
        -0.008863221002618169,
        0.0035919891737148622,
        -0.0014549588774683134,
        0.0005863165386214208,
        -0.00022856420761693518,
        7.714436263368639e-05,
        -1.6072567702696604e-05,
    ),
)

# e^2r for |2r| <= ln 2 / 2. In float32 the fit is weighted by its share in the error of tanh
# beyond `_TANH_NEAR`, leaving 2^-25.2 of tanh, and begins with 1 + 2r, whose constants are
# already in registers. In float64 it leaves 2^-58.2 of e^2r.
_EXP_TWICE = _polynomial(
    (
        1.0,
        2.0,
        1.999967336654663,
        1.3333629369735718,
        0.6703135371208191,
        0.26622387766838074,
    ),
    (
        1.0,
        2.0,
        2.000000000000007,
        1.3333333333332933,
        0.6666666666638732,
        0.26666666667392563,
        0.08888888928902586,
        0.025396824872256543,
        0.006349180498059107,
        0.0014109503047791568,
        0.0002829554486913651,
        5.1188216102650015e-05,
    ),
)


@inline
def _tanh_far(a):
    """Return tanh(a) = 1 - 2 / (e^2a + 1) for a between `_TANH_NEAR` and `_TANH_ONE`."""
    # One subtraction of n ln 2 suffices: its error grows with n, but e^-2a shrinks faster.
    shift = _ROUNDER(a) + _BIAS(a)
    shifted = simd.fma(a, 2.0 * _LOG2_E, shift)
    r = simd.fma(shifted - shift, -0.5 * _LN2, a)
    power = _from_bits(_bits(shifted) << _FRACTION_BITS(a))
    return 1.0 - 2.0 / simd.fma(_EXP_TWICE(r), power, 1.0)


@inline
def tanh(x):
    """Return the hyperbolic tangent within 1.6 ulp, and exactly 1 or -1 far from 0."""
    a = simd.minimum(simd.fabs(x), _TANH_ONE)
    square = a * a
    near = simd.fma(a * square, _TANH_BEND(square), a)
    magnitude = simd.select(a < _TANH_NEAR(x), near, _tanh_far(a))
    return _from_bits(_bits(magnitude) | (_bits(x) & _SIGN(x)))


# --------------------------------------------------------------------------------- log

_SMALLEST_NORMAL = _constant(2.0**-126, 2.0**-1022)
_DENORMAL_EXPONENT = _constant(23.0, 52.0)
_DENORMAL_SCALE = _constant(2.0**23, 2.0**52)
_EXPONENT_OF_ONE = _constant(0x7F << 23, 0x3FF << 52)
_SQRT_HALF = _constant(0x3F3504F3, 0x3FE6A09E667F3BCD)
_INFINITY = float("inf")
_NAN = float("nan")

# (log((1 + s) / (1 - s)) / s - 2) / s^2 in powers of s^2, for (1 + s) / (1 - s) between
# sqrt(1/2) and sqrt(2), leaving 2^-30.2 and 2^-59.5 of the logarithm.
_LOG_TAIL = _polynomial(
    (0.6666677594184875, 0.3997756540775299, 0.2987120747566223),
    (
        0.6666666666666734,
        0.3999999999941566,
        0.28571428742189425,
        0.22222198591447595,
        0.1818356348308763,
        0.15314069478571482,
        0.14795785921517307,
    ),
)


@inline
def _log_reduced(f):
    """Return log(1 + f) - f for 1 + f between sqrt(1/2) and sqrt(2)."""
    s = f / (f + 2.0)
    square = s * s
    half = f * f * -0.5
    return simd.fma(s, square * _LOG_TAIL(square) - half, half)


@inline
def log(x):
    """Return the natural logarithm within 1 ulp; -inf at 0 and NaN below."""
    denormal = x < _SMALLEST_NORMAL(x)
    normal = simd.select(denormal, x * _DENORMAL_SCALE(x), x)
    # For x = 2^k m with m between sqrt(1/2) and sqrt(2), subtracting the bits of sqrt(1/2) from
    # those of x leaves k in the exponent field; the exponent of 1 is added to keep it positive.
    bits = _bits(normal) - _SQRT_HALF(x) + _EXPONENT_OF_ONE(x)
    f = _from_bits((bits & _FRACTION(x)) + _SQRT_HALF(x)) - 1.0
    rounder = simd.splat(_ROUNDER(x), x)
    offset = simd.select(denormal, rounder + (_BIAS(x) + _DENORMAL_EXPONENT(x)), rounder + _BIAS(x))
    k = _from_bits((bits >> _FRACTION_BITS(x)) | _bits(rounder)) - offset
    # k ln 2 + f as a sum and its rounding error; the error is added to the small terms.
    whole = k * _LN2_HIGH(x)
    total = whole + f
    lost = f - (total - whole)
    y = total + (simd.fma(k, _LN2_LOW(x), lost) + _log_reduced(f))
    y = simd.select(x < _INFINITY, y, x)
    y = simd.select(x == 0.0, -_INFINITY, y)
    return simd.select(x < 0.0, _NAN, y)


@inline
def log1p(x):
    """Return log(1 + x) for x from 0 to 1, within 1.5 ulp."""
    # For x > sqrt(2) - 1 it is log 2 + log(1 + (x - 1) / 2), again with an argument near 1.
    far = x > 0.41421356
    f = simd.select(far, (x - 1.0) * 0.5, x)
    tail = _log_reduced(f)
    return simd.select(far, _LN2_HIGH(x) + (f + (tail + _LN2_LOW(x))), f + tail)


# -------------------------------------------------------------- the normal distribution

_TAIL_GREATEST = _constant(14.5, 38.7)  # beyond it the tail is 0
_TAIL_MIDDLE = _constant(3.0, 5.0)
_HIGH_HALF = _constant((1 << 32) - (1 << 12), (1 << 64) - (1 << 27))

# (a + k) e^(a^2 / 2) Phi(-a) in powers of (a - k) / (a + k), with k = `_TAIL_MIDDLE`, for a up to
# `_TAIL_GREATEST`, leaving 2^-30.0 and 2^-57.3.
_TAIL = _polynomial(
    (
        0.7290837168693542,
        -0.509332001209259,
        0.23001770675182343,
        -0.04726268723607063,
        -0.010462520644068718,
        0.006969301961362362,
        0.0010247837053611875,
        -0.001032523694448173,
        -0.00024475419195368886,
        0.00013125358964316547,
        5.44547765457537e-05,
    ),
    (
        0.769193049750063,
        -0.6653825028900567,
        0.49530561596997724,
        -0.3135331566712963,
        0.16502036617033972,
        -0.06911863870656701,
        0.020795066800788926,
        -0.002993376766761612,
        -0.0007978694074895102,
        0.0005448990339826112,
        -5.937567794519885e-05,
        -4.9762658694283026e-05,
        1.6681052637433154e-05,
        3.980399759669318e-06,
        -2.7689771042379977e-06,
        -3.355746027593885e-07,
        4.329132881535752e-07,
        4.093677770381401e-08,
        -6.60245282314408e-08,
        -8.341664639170223e-09,
        7.935875475086037e-09,
        1.4485165693785176e-09,
        -2.9650955640911926e-10,
    ),
)


@inline
def normal_tail(x):
    """Return a = |x|, m and e = exp(-a^2 / 2) with Phi(-a) = m e within 6 ulp.

    Phi is the normal distribution; a is bounded by the argument at which the tail is 0. The caller
    computes the product, and may multiply m by a larger factor first, so that a denormal m e does
    not lose digits.
    """
    a = simd.minimum(simd.fabs(x), _TAIL_GREATEST(x))
    inverse = 1.0 / (a + _TAIL_MIDDLE(x))
    m = _TAIL((a - _TAIL_MIDDLE(x)) * inverse) * inverse
    # -a^2 / 2 in two parts: from the high half of a, whose square is exact, and the rest.
    high = _from_bits(_bits(a) & _HIGH_HALF(x))
    whole, rest = high * high * -0.5, (a - high) * (a + high) * -0.5
    total = whole + rest
    e = exp(total)
    return a, m, simd.fma(e, (whole - total) + rest, e)
