"""A C function under construction, to which layers add operators as to an ONNX graph.

A value of the graph is a C expression of its column j, so that a chain of elementwise operators
becomes one loop. Values are stored in one of two buffers, in turns, where an operator reads whole
rows. Products and sums are taken in the order of the kernels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnn.interop import c_functions
from kernels.base.memory import line_elements
from kernels.product.choice import DEEP, NARROW
from kernels.product.few_outputs import in_halves
from kernels.product.sharing import columns_of

TYPES = {"uint8": "uint8_t", "float32": "float", "float64": "double"}
"""The types in C of dtypes."""

_CALLS = 256  # numbers on the stack of the functions that are called
_LONG = 100
"""Characters of an expression beyond which no layer takes it."""
_ELEMENTWISE = {"Add": "({} + {})", "Sub": "({} - {})", "Mul": "({} * {})", "Div": "({} / {})"}


class Graph:
    """The body of `static void NAME_predict(const float *x, float *y)`, for one row x.

    `columns` is the number of columns of the current value, at first of x.
    """

    def __init__(self, name: str, dtype: np.dtype, columns: int) -> None:
        self.name, self.dtype, self.columns = name, dtype, columns
        self.real = TYPES[dtype.name]
        self.lines: list[str] = []
        self.arrays: dict[str, np.ndarray] = {}
        """Constants that the body reads, by name."""
        self._constants: dict[str, np.ndarray] = {}
        self._buffers: dict[str, int] = {}
        self._functions: dict[str, None] = {}
        self._numbers = 0

    # ------------------------------------------------------------ the protocol of layers

    def constant(self, name: str, values: ArrayLike) -> str:
        """Return an expression of a constant: a number, or column j of an array."""
        array = np.array(values, self.dtype, order="C")
        if array.size == 1 and array.ndim < 2:
            expression = self.literal(array.reshape(-1)[0])
        else:
            expression = f"{self.name}_{name.replace('.', '_')}[j]"
        self._constants[expression] = array
        return expression

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        """Add an operator of ONNX; return an expression of its result."""
        if operator in _ELEMENTWISE:
            return _ELEMENTWISE[operator].format(*inputs)
        method = getattr(self, f"_{operator.lower()}", None)
        if method is None:
            raise NotImplementedError(f"there is no C source of ONNX's operator {operator}")
        return method(*inputs, **attributes)

    def cast(self, value: str, dtype: DTypeLike) -> str:
        """Return an expression of a value converted to a dtype."""
        return f"({TYPES[np.dtype(dtype).name]}){value}"

    def function(self, name: str, x: str, *parameters: float) -> str:
        """Return an expression of a kernel's function of each element of x."""
        given = parameters[: c_functions.parameters(name)]
        return self.call(name, x, *(self.literal(self.dtype.type(each)) for each in given))

    # ------------------------------------------------------------------- operators

    def _relu(self, x: str) -> str:
        return self.function("relu", x)

    def _tanh(self, x: str) -> str:
        return self.function("tanh", x)

    def _sigmoid(self, x: str) -> str:
        return self.function("sigmoid", x)

    def _sqrt(self, x: str) -> str:
        return self.call("sqrt", x)

    def _reducemean(self, x: str, axes: list[int]) -> str:
        """Return x, which is the mean over the rows of a batch of one row."""
        assert axes == [0]
        return x

    def _softmax(self, x: str, axis: int) -> str:
        stored, n = self._stored(x), self.columns
        largest = self._number("largest", self.call("largest", n, stored))
        u = self._store(stored, self.call("exp", f"{stored}[j] - {largest}"))
        factor = self._number("factor", f"{self.literal(1)} / {self.call('sum', n, u)}")
        return f"({u}[j] * {factor})"

    def _logsoftmax(self, x: str, axis: int) -> str:
        u, n = self._stored(x), self.columns
        largest = self._number("largest", self.call("largest", n, u))
        powers = self.call("powers", n, u, largest)
        logarithm = self._number("logarithm", self.call("log", powers))
        return f"({u}[j] - {largest} - {logarithm})"

    def _layernormalization(
        self, x: str, gain: str, shift: str = "", *, axis: int, epsilon: float
    ) -> str:
        u, n = self._stored(x), self.columns
        share, eps = repr(1.0 / n), repr(epsilon)
        mean = self._number("mean", f"({self.real})((double){self.call('sum', n, u)} * {share})")
        squares = self.call("squares", n, u, mean)
        variance = self._number("variance", f"({self.real})((double){squares} * {share} + {eps})")
        factor = self._number("factor", f"{self.literal(1)} / {self.call('sqrt', variance)}")
        z = f"({u}[j] - {mean}) * {factor}"
        return self.call("fma", z, gain, shift or self.literal(0))

    def _batchnormalization(
        self, x: str, gain: str, shift: str, mean: str, variance: str, *, epsilon: float
    ) -> str:
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = 1 / np.sqrt(self._constants[variance] + self.dtype.type(epsilon))
        factors = self.constant(self._new("factor"), factor)
        return self.call("fma", f"({x} - {mean}) * {factors}", gain, shift)

    def shares(self, x: str) -> str:
        """Return an expression of the columns' shares in the row's sum, with negative ones as 0.

        A single column is what it is.
        """
        if self.columns == 1:
            return x
        tiny, n = self.literal(np.finfo(self.dtype).tiny), self.columns
        u = self._store(self._stored(x), self.call("maximum", x, tiny))
        total = self._number("total", self.call("sum", n, u))
        return f"({u}[j] / {total})"

    # -------------------------------------------------------------------- products

    def _gemm(self, x: str, weight: str, bias: str = "", *, transB: int) -> str:
        w, source = self._constants[weight], self._stored(x)
        self.columns, inputs = w.shape
        target = "v" if source == "u" else "u"
        self._reserve(target)
        if self.columns <= NARROW and inputs <= DEEP:
            self._add_dots(w, weight.removesuffix("[j]"), source, target, bias)
        else:
            self._add_tiles(w, weight.removesuffix("[j]"), source, target, bias)
        return f"{target}[j]"

    def _middle(self, inputs: int) -> int:
        """Return the number of inputs of the first half, all if they are not summed in halves."""
        line = line_elements(self.dtype)
        if not in_halves.py_func(inputs, self.columns, line):
            return inputs
        return columns_of.py_func(inputs, line, 1, 2)[0]

    def _add_dots(self, w: np.ndarray, weights: str, x: str, y: str, bias: str) -> None:
        """Add the products of one or two outputs, each a sum of vectors of inputs."""
        self.arrays[weights] = w.reshape(-1)
        inputs, middle = w.shape[1], self._middle(w.shape[1])
        halves = [(0, middle), (middle, inputs - middle)][: 1 + (middle < inputs)]
        offsets = self._constants[bias].reshape(-1) if bias else np.zeros(len(w))
        for row, offset in enumerate(offsets):
            sums = [
                self.call("dot", count, f"{x} + {at}", f"{weights} + {row * inputs + at}")
                for at, count in halves
            ]
            self.lines.append(f"{y}[{row}] = {' + '.join([*sums, self.literal(offset)])};")

    def _add_tiles(self, w: np.ndarray, weights: str, x: str, y: str, bias: str) -> None:
        """Add the products of more outputs, of which as many as registers hold are one call."""
        inputs, middle = w.shape[1], self._middle(w.shape[1])
        parts = list(tiles(len(w)))
        self.arrays[weights] = np.concatenate([w[i : i + n].T.reshape(-1) for i, n in parts])
        self._loop(f"{y}[j] = {bias if bias and middle == inputs else self.literal(0)};")
        for i, n in parts:
            self._add_tile(n, middle, x, f"{weights} + {i * inputs}", f"{y} + {i}")
        if middle < inputs:
            second = self._store("second", self.literal(0))
            for i, n in parts:
                place = f"{weights} + {i * inputs + middle * n}"
                self._add_tile(n, inputs - middle, f"{x} + {middle}", place, f"{second} + {i}")
            self._loop(
                f"{y}[j] = {' + '.join([f'{y}[j]', f'{second}[j]', *filter(None, [bias])])};"
            )

    def _add_tile(self, outputs: int, inputs: int, x: str, w: str, y: str) -> None:
        self.lines.append(f"{self.call(f'times_{outputs}', inputs, x, w, y)};")

    # ------------------------------------------------------------------- the source

    def literal(self, value) -> str:
        """Return a number of the graph's dtype in C, to the bit."""
        return literals(np.array([value], self.dtype))[0]

    def call(self, function: str, *arguments: object) -> str:
        """Return the call of a function of `c_functions`."""
        self._functions[function] = None
        return f"{self.name}_{function}({', '.join(map(str, arguments))})"

    def functions(self) -> str:
        """Return the source of the functions that the body calls."""
        return c_functions.source(self.name, self.dtype, self._functions)

    def declarations(self) -> list[str]:
        """Return the declarations of the buffers."""
        return [f"{self.real} {name}[{size}];" for name, size in self._buffers.items()]

    def stack(self) -> int:
        """Return the bytes of stack that the function takes at most, also without optimisation.

        They are those of the buffers, of calls, and of the variables of each line.
        """
        numbers = sum(self._buffers.values()) + _CALLS + len(self.lines)
        return numbers * self.dtype.itemsize

    def short(self, x: str) -> str:
        """Return a value's expression, stored first if it is long: layers may repeat it."""
        return f"{self._stored(x)}[j]" if len(x) > _LONG else x

    def result(self, y: str, x: str) -> None:
        """Add the storing of a value in the array y."""
        self._loop(f"{y}[j] = {x};")
        for name in re.findall(rf"\b({self.name}_\w+)\[j\]", "\n".join(self.lines)):
            if name not in self.arrays:
                self.arrays[name] = self._constants[f"{name}[j]"]

    def _stored(self, x: str) -> str:
        """Return the name of an array that holds a value; store it, unless one does."""
        found = re.fullmatch(r"([xuv])\[j\]", x)
        if found:
            return found[1]
        return self._store("v" if re.search(r"\bv\[j\]", x) else "u", x)

    def _store(self, place: str, x: str) -> str:
        """Store a value in a buffer, u if the place is the input; return the buffer's name."""
        buffer = "u" if place == "x" else place
        self._reserve(buffer)
        self._loop(f"{buffer}[j] = {x};")
        return buffer

    def _reserve(self, buffer: str) -> None:
        """See to it that a buffer has room for the columns."""
        self._buffers[buffer] = max(self._buffers.get(buffer, 0), self.columns)

    def _loop(self, statement: str) -> None:
        self.lines += [f"for (int j = 0; j < {self.columns}; ++j)", f"    {statement}"]

    def _number(self, kind: str, expression: str) -> str:
        """Add a number of the row; return its name."""
        name = self._new(kind)
        self.lines.append(f"const {self.real} {name} = {expression};")
        return name

    def _new(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}_{self._numbers}"


def tiles(outputs: int) -> Iterator[tuple[int, int]]:
    """Yield the first output and the number of outputs of each part of a product."""
    at = 0
    for width in c_functions.WIDTHS:
        while outputs - at >= width:
            yield at, width
            at += width


def literals(array: np.ndarray) -> list[str]:
    """Return numbers in C, each to the bit: the shortest decimals, NAN and INFINITY."""
    suffix = "f" if array.dtype == np.float32 else ""
    texts = [f"{each}{suffix}" for each in array.astype(str).tolist()]
    if not np.isfinite(array).all():
        names = {"nan": "NAN", "inf": "INFINITY", "-inf": "-INFINITY"}
        texts = [names.get(each.removesuffix(suffix), each) for each in texts]
    return texts
