"""Export of chains to C: a header with one function, which computes the outputs for one row."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn._version import __version__
from fastnn.files.atomic import replacing
from fastnn.interop.c_graph import TYPES, Graph, literals
from fastnn.interop.chain import layers_of, read_input_dtype, widths
from fastnn.nn.activations import Sigmoid
from fastnn.nn.layer import Layer
from fastnn.nn.sequential import Sequential, model_dtype
from fastnn.nn.softmax import Softmax
from kernels.base import arrays

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_UNFUSED = """\
#ifdef __FAST_MATH__
#error "-ffast-math would make these functions wrong: compile this file without it"
#endif

/* A product and a sum are fused where the source says so, nowhere else. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
"""
_FUSED_AGAIN = """\
#if defined(__clang__)
#pragma STDC FP_CONTRACT DEFAULT
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
"""
_A_LINE, _AT_ONCE = 8, 2**13  # numbers in a line of text, and those to make text of at a time


def to_c(
    model: Sequential,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    probabilities: bool | None = None,
    input_dtype: DTypeLike | None = None,
    columns: int | None = None,
) -> None:
    """Write a chain to a C header; see `fastnn.to_c`."""
    chain = layers_of(model, "to_c")
    given = read_input_dtype(input_dtype, model, "to_c")
    graph = Graph(_read_name(name, path), model_dtype(model), _read_columns(model, columns))
    inputs = graph.columns
    x, last = _add_layers(graph, chain, given)
    meaning = "the outputs of the network"
    if _classifies(model) if probabilities is None else probabilities:
        x, meaning = _add_probabilities(graph, model, x, last)
    graph.result("y", x)
    signature = f"static void {graph.name}_predict(const {TYPES[given.name]} *x, {graph.real} *y)"
    comment = _comment(graph, model, signature, inputs, meaning)
    with replacing(path) as file:
        file.writelines(each.encode("ascii") for each in _header(graph, comment, signature))


def _read_name(name: str | None, path: str | os.PathLike[str]) -> str:
    """Return the name of the model in C, made from that of the file if none is given."""
    if name is None:
        made = re.sub(r"[^A-Za-z0-9]+", "_", Path(os.fsdecode(path)).stem).strip("_")
        return made if _NAME.fullmatch(made) else f"model_{made}".rstrip("_")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"to_c: name is {name!r}; expected a letter of A to Z or a to z, and after it letters, "
            "digits and _"
        )
    return name


def _read_columns(model: Sequential, columns: int | None) -> int:
    """Return the number of input columns: the layers', else the schema's, else `columns`.

    Raises the errors of layers that do not fit each other, too.
    """
    told = columns
    if columns is not None:
        told = arrays.count("to_c: columns", columns)
    elif model.schema is not None and model.schema.columns:
        told = model.schema.width
    found, _ = widths(model, told)
    if found is None:
        raise ValueError(
            "to_c: no layer fixes the number of columns of x; fastnn.to_c takes it as `columns`"
        )
    if columns not in (None, found):
        raise ValueError(f"to_c: columns is {columns}; the layers expect {found}")
    return found


def _add_layers(
    graph: Graph, chain: list[tuple[str, Layer]], given: np.dtype
) -> tuple[str, Layer | None]:
    """Add layers to a graph; return the output, and the last layer that changes anything."""
    x, last = "x[j]", None
    if given != graph.dtype:
        x = graph.cast(x, graph.dtype)
    for place, layer in chain:
        before = graph.short(x)
        x = layer.to_c(graph, place, before)
        if x != before:
            last = layer
    return x, last


# --------------------------------------------------------------------------- probabilities


def _classifies(model: Sequential) -> bool:
    """Return True for a classifier: by the loss of `fit`, names of classes, or a table's target."""
    target = None if model.schema is None else model.schema.target
    of_classes = target is not None and target.task == "classification"
    return model.link is not None or bool(model.classes) or of_classes


def _add_probabilities(
    graph: Graph, model: Sequential, x: str, last: Layer | None
) -> tuple[str, str]:
    """Add what makes probabilities of outputs; return these, and a phrase that says what it is."""
    what = "the probability of the second class" if graph.columns == 1 else "probabilities"
    link = model.link
    if link is None:
        if isinstance(last, (Softmax, Sigmoid)):
            return x, f"{what}, which the network gives"
        if model.schema is not None and model.schema.link == "identity":
            return graph.shares(x), f"{what}, the network's outputs divided by their sum"
        link = "sigmoid" if graph.columns == 1 else "softmax"
    if link == "softmax":
        return graph.add("Softmax", x, axis=1), f"{what}, the softmax of the network's outputs"
    return graph.add("Sigmoid", x), f"{what}, the sigmoid of the network's outputs"


# ------------------------------------------------------------------------------- the file


def _header(graph: Graph, comment: str, signature: str) -> Iterator[str]:
    """Yield the text of the header, in parts."""
    body = "".join(f"    {line}\n" for line in [*graph.declarations(), *graph.lines])
    unused = "\n#ifdef __GNUC__\n__attribute__((unused))\n#endif\n"
    code = f"{graph.functions()}{unused}{signature}\n{{\n{body}}}\n"
    # Another model of the same name is an error of the compiler, not left out by the guard.
    guard = f"FASTNN_{graph.name}_{_digest(graph, comment + code):08X}_H"
    yield f"{comment}#ifndef {guard}\n#define {guard}\n\n"
    yield "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n\n"
    for name, array in graph.arrays.items():
        yield f"static const {graph.real} {name}[{array.size}] = {{\n"
        yield from _numbers(array)
        yield "};\n\n"
    yield f"{_UNFUSED}\n{code}\n{_FUSED_AGAIN}\n#endif\n"


def _digest(graph: Graph, text: str) -> int:
    """Return a digest of all that a header says."""
    digest = zlib.crc32(text.encode("ascii"))
    for array in graph.arrays.values():
        digest = zlib.crc32(np.ascontiguousarray(array).data, digest)
    return digest


def _numbers(array: np.ndarray) -> Iterator[str]:
    """Yield the lines of an array's numbers."""
    for start in range(0, array.size, _AT_ONCE):
        texts = literals(array[start : start + _AT_ONCE])
        for i in range(0, len(texts), _A_LINE):
            yield f"    {', '.join(texts[i : i + _A_LINE])},\n"


def _comment(graph: Graph, model: Sequential, signature: str, inputs: int, meaning: str) -> str:
    """Return the comment at the beginning of a header."""
    constants = sum(array.nbytes for array in graph.arrays.values())
    outputs = f"the row y, {_counted(graph.columns)}: {meaning}."
    lines = [
        f"{graph.name}: a neural network, written by fastnn {__version__}.",
        "",
        f"Memory: {constants:,} bytes of constants and at most {graph.stack():,} bytes of stack.",
        "",
        f"    {signature};",
        "",
        f"computes from a row x, {_counted(inputs)},",
        outputs,
        "x and y may begin at one address. Threads may call the function at once.",
        *_outputs(model, graph.columns),
        *_inputs(model, inputs),
    ]
    return "/* " + "\n * ".join(lines).replace(" * \n", " *\n") + "\n */\n"


def _counted(numbers: int) -> str:
    return f"{numbers:,} number{'' if numbers == 1 else 's'}"


def _outputs(model: Sequential, columns: int) -> list[str]:
    """Return lines that name the columns of y: the classes, or the target of a table."""
    names = [str(each) for each in model.classes]
    if not names and model.schema is not None and model.schema.target is not None:
        names = [model.schema.target.name]
    if columns == 1 and len(names) == 2:
        names = names[1:]
    return _named("y", names, columns)


def _inputs(model: Sequential, columns: int) -> list[str]:
    """Return lines that name the columns of x, and tell the schema that makes them of a table."""
    if model.schema is None:
        return []
    told = ["", f"schema: {_quoted(model.schema.to_dict())}"]
    return [*_named("x", model.schema.features, columns), *told]


def _named(array: str, names: Sequence[str], columns: int) -> list[str]:
    """Return a line for each column, if there is a name for each."""
    if len(names) != columns:
        return []
    return ["", *(f"{array}[{place}]: {_quoted(name)}" for place, name in enumerate(names))]


def _quoted(value: Any) -> str:
    """Return JSON of ASCII, in which nothing ends a comment or a line."""
    return json.dumps(value).replace("*", r"\u002a")
