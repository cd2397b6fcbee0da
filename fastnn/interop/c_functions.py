"""C source of the kernels' functions, for the headers that `fastnn.to_c` writes.

The functions compute in the order of the kernels (`kernels.base.vectormath`,
`kernels.functions`), so that a header has their bits where processors have fused multiply-add.
Without branches and calls of a library, compilers turn loops over them into vector code.

In `functions.c.in`, REAL is float or double, WORD the unsigned integer of its width, PICK(a, b) is
`a` for float and `b` for double, and names begin with N_ in place of the model's name. Decimals are
of type REAL. LANES are the partial sums of a row, as many as a vector of this processor has lanes,
WIDTH the outputs that a product computes together. Polynomials are not there, but in this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

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

_SOURCE = Path(__file__).with_name("functions.c.in").read_text("ascii")

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
    texts = re.split(r"\n(?=\n/\*|\n(?:REAL|WORD))", _SOURCE)
    *texts, times = texts
    texts += [times.replace("WIDTH", str(width)) for width in WIDTHS]
    for name, kinds in _POLYNOMIALS.items():
        texts.append(_polynomial(name, kinds[dtype == "float64"].split()))
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
