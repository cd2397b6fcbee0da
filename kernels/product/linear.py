"""The three products of a linear layer, each split into blocks of its output.

Each block is finished (activation, its gradient, update of the parameters) while it lies in the
L1 cache. Threads take contiguous ranges of blocks; the value of a block does not depend on the
thread that computes it. Weights lie as (inputs, outputs), so that outputs fill vectors, or in
panels as wide as a tile (`kernels.product.panels`), where no cache line holds columns of two
threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numba import types

from kernels.base import host
from kernels.base.arrays import FLOATING, LARGEST, integer, matrix, output
from kernels.base.jit import entry, inline, real_type, routine
from kernels.base.kinds import (
    INTEGER,
    MATRIX,
    MEMORY,
    PANELS,
    REALS,
    UPDATE,
    Matrix,
    Memory,
    Panels,
    Strided,
    Update,
    below,
    beside,
    block_of,
    reads,
    row_at,
    writes,
)
from kernels.base.memory import address, aligned_zeros
from kernels.base.reductions import sum_columns
from kernels.base.simd import advance, data, pointer, width
from kernels.functions import updates
from kernels.functions.activations import IDENTITY, RELU, activate
from kernels.functions.updates import Rule, update
from kernels.machine.barrier import share
from kernels.product import few_outputs
from kernels.product.choice import (
    BLOCK_ROWS,
    BLOCKS_PER_THREAD,
    NARROW,
    PANEL_DEPTH,
    THIN,
    WIDE_ROWS,
)
from kernels.product.gemm import (
    TILE_ROWS,
    TILE_VECTORS,
    even_part,
    gemm,
    packing_pays,
    scratch_elements,
    tile_columns,
    transposed_product,
    zero_row,
)
from kernels.product.narrow import (
    is_narrow,
    narrow_forward,
    narrow_input_gradient,
    thin_weight_gradient,
)
from kernels.product.panels import panel_at
from kernels.product.sharing import columns_of, line_columns, own_columns, part, splits_columns
from kernels.product.tile import wide_columns, wide_tile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def scratch_size(dtype, widest: int) -> int:
    """Return the elements of aligned scratch memory that a thread needs for these products.

    `widest` is the largest number of inputs or outputs of a layer.
    """
    lanes = host.lanes(real_type(dtype))
    span = TILE_VECTORS * lanes
    block = BLOCK_ROWS * span
    update = (PANEL_DEPTH + lanes) * span + block
    product = scratch_elements.py_func(lanes, widest, widest)
    return 2 * span + max(few_outputs.scratch_size(lanes), product, update)


@routine(*(INTEGER,) * 4, MATRIX, PANELS, REALS, PANELS, INTEGER, INTEGER, REALS)
def linear_forward(rows, inputs, outputs, activation, x, w, bias, y, thread, threads, scratch):
    """Compute this thread's blocks of y = f(x w + bias).

    If y lies in panels, each thread has one for its columns. A y of few outputs
    (`kernels.product.few_outputs`) is one matrix, whose weights fill one panel at most.
    """
    weights, output = Matrix(w.pointer, w.ld), Matrix(y.pointer, y.ld)
    if few_outputs.in_halves(inputs, outputs, line_columns(x)):
        begin, end = share(rows, thread, threads)
        few_outputs.forward(
            end - begin,
            inputs,
            outputs,
            activation,
            below(x, begin),
            weights,
            bias,
            below(output, begin),
            scratch,
        )
        return
    if is_narrow(inputs, outputs):
        begin, end = share(rows, thread, threads)
        here = below(output, begin)
        narrow_forward(end - begin, inputs, outputs, below(x, begin), weights, bias, here, scratch)
        activate(activation, end - begin, outputs, here, here)
        return
    i, height, j, columns = part(rows, outputs, inputs, x, thread, threads)
    if y.panel != 0:  # shift y so that column j of it is the first of this thread's panel
        i, height, j, columns = own_columns(rows, outputs, x, thread, threads)
        output = beside(output, thread * y.panel - j)
    floor, after = (0.0, IDENTITY) if activation == RELU else (-np.inf, activation)
    if height <= WIDE_ROWS and (w.panel == 0 or j % w.ld == 0):
        few = block_of(output, i, j)
        right = Panels(panel_at(w, 0, j), w.ld, w.panel)
        _multiply_few(height, columns, inputs, below(x, i), right, advance(bias, j), few, floor)
        activate(after, height, columns, few, few)
        return
    left, end = Strided(row_at(x, i), x.ld, 1), j + columns
    while j < end:
        columns = end - j
        if w.panel != 0 and j % w.ld != 0:  # stop where the next panel begins
            columns = min(columns, w.ld - j % w.ld)
        here = block_of(output, i, j)
        gemm(
            height,
            columns,
            inputs,
            left,
            Strided(panel_at(w, 0, j), w.ld, 1),
            w.panel,
            Strided(advance(bias, j), 0, 1),
            here,
            floor,
            after,
            here,
            packing_pays(height, columns, left),
            0,
            scratch,
        )
        j += columns


@inline
def _multiply_few(rows, columns, depth, a, b, start, c, floor):
    """Compute C = max(start + A @ B, floor) for few rows, in tiles of many columns."""
    wide, span, left = wide_columns(rows, start), tile_columns(start), Strided(a.pointer, a.ld, 1)
    for j in range(0, columns, wide):
        right = Panels(panel_at(b, 0, j), b.ld, span if b.panel == 0 else b.panel)
        begin, here = Matrix(advance(start, j), 0), min(wide, columns - j)
        wide_tile(rows, here, depth, left, right, begin, beside(c, j), floor)


@routine(*(INTEGER,) * 4, MATRIX, *(PANELS,) * 3, INTEGER, INTEGER, REALS)
def linear_input_gradient(
    rows, inputs, outputs, activation, g, w, y, out, thread, threads, scratch
):
    """Compute this thread's blocks of out = (g w^T) f'(y), where y = f(.) is the layer's input.

    If y or `out` lies in panels, each thread has one for its columns.
    """
    i, height, j, columns = part(rows, inputs, outputs, g, thread, threads)
    before, target = Matrix(y.pointer, y.ld), Matrix(out.pointer, out.ld)
    if y.panel != 0 or out.panel != 0:
        i, height, j, columns = own_columns(rows, inputs, g, thread, threads)
        before = beside(before, thread * y.panel - (j if y.panel != 0 else 0))
        target = beside(target, thread * out.panel - (j if out.panel != 0 else 0))
    before, target, left = block_of(before, i, j), block_of(target, i, j), below(g, i)
    if outputs <= NARROW:
        weights = below(Matrix(w.pointer, w.ld), j)
        narrow_input_gradient(
            height, columns, outputs, activation, left, weights, before, target, scratch
        )
        return
    a = Strided(left.pointer, left.ld, 1)
    gemm(
        height,
        columns,
        outputs,
        a,
        Strided(advance(w.pointer, j * w.ld), 1, w.ld),
        w.panel,
        Strided(scratch, 0, 0),
        target,
        -np.inf,
        -activation,
        before,
        packing_pays(height, columns, a),
        1,
        zero_row(scratch),
    )


@inline
def _weight_block(inputs, panels, threads):
    """Return the rows of a weight gradient's block, small enough for threads to share blocks."""
    blocks = (inputs + BLOCK_ROWS - 1) // BLOCK_ROWS
    if threads > 1:
        wanted = (BLOCKS_PER_THREAD * threads + panels - 1) // panels
        blocks = max(blocks, min(wanted, (inputs + TILE_ROWS - 1) // TILE_ROWS))
    return even_part(inputs, (inputs + blocks - 1) // max(blocks, 1))


@routine(
    *(INTEGER,) * 3, *(PANELS,) * 3, MEMORY, UPDATE, REALS, MEMORY, UPDATE, INTEGER, INTEGER, REALS
)
def linear_update(
    rows,
    inputs,
    outputs,
    x,
    g,
    w,
    w_memory,
    of_w,
    bias,
    bias_memory,
    of_bias,
    thread,
    threads,
    scratch,
):
    """Update this thread's blocks of the weights by x^T g and of the bias by the column sums of g.

    The update uses each block of the gradient as soon as it is computed, so the whole gradient is
    never written. Without a rule (see `Update`), `w` and `bias` receive the gradient instead.
    The memory of the weights has their layout. Either `x` (if outputs are few) or `g` (if there
    are more outputs than rows of a tile) may lie in panels of each thread's columns.
    """
    memory, span = zero_row(scratch), tile_columns(x)
    begin, end = columns_of(outputs, line_columns(x), thread, threads)
    samples, gradient = Matrix(x.pointer, x.ld), Matrix(g.pointer, g.ld)
    if g.panel != 0:  # shift g so that column `begin` of it is the first of this thread's panel
        gradient = beside(gradient, thread * g.panel - begin)
    number, of, first = thread, threads, 0
    if x.panel != 0:  # update this thread's rows of the weights like a whole matrix
        first, last = columns_of(inputs, line_columns(x), thread, threads)
        samples, inputs, number, of = beside(samples, thread * x.panel), last - first, 0, 1
    weights = Panels(advance(w.pointer, first * w.ld), w.ld, w.panel)
    remembered = Memory(advance(w_memory.pointer, first * w.ld), w_memory.apart)
    if outputs <= min(TILE_ROWS, width(x)):
        few_outputs.update_weights(
            rows,
            inputs,
            outputs,
            samples,
            gradient,
            Matrix(weights.pointer, w.ld),
            remembered,
            of_w,
            number,
            of,
            scratch,
            memory,
        )
    else:
        own = g.panel != 0 or (w.panel != 0 and splits_columns(0, outputs, line_columns(x), of))
        _update_blocks(
            rows,
            inputs,
            outputs,
            samples,
            gradient,
            own,
            weights,
            remembered,
            of_w,
            number,
            of,
            scratch,
            memory,
        )
    for j in range(begin, end, span):
        columns = min(span, end - j)
        if of_bias.rule == 0:
            sum_columns(rows, columns, beside(gradient, j), advance(bias, j))
            continue
        sum_columns(rows, columns, beside(gradient, j), memory)
        update(
            of_bias,
            1,
            columns,
            Matrix(advance(bias, j), span),
            Matrix(memory, span),
            Memory(advance(bias_memory.pointer, j), bias_memory.apart),
        )


@inline
def _update_blocks(
    rows, inputs, outputs, x, g, own, w, w_memory, how, thread, threads, zero, memory
):
    """Update the weights for `linear_update` in blocks as wide as a tile.

    If `own` is true, each thread takes the blocks of its own columns.
    """
    span = tile_columns(x)
    panels = (outputs + span - 1) // span
    block = _weight_block(inputs, panels, 1 if own else threads)
    blocks = (inputs + block - 1) // block
    gradient = Matrix(memory, span)
    packed = advance(memory, block * span)
    own_begin, own_end, across = 0, outputs, panels
    begin, end = share(blocks * panels, thread, threads)
    if own:
        own_begin, own_end = columns_of(outputs, line_columns(x), thread, threads)
        across = (own_end + span - 1) // span - own_begin // span
        begin, end = 0, blocks * across
    for unit in range(begin, end):
        i, panel = unit // across * block, own_begin // span + unit % across
        j = max(panel * span, own_begin)
        height, columns = min(block, inputs - i), min((panel + 1) * span, own_end) - j
        left, right = beside(x, i), beside(g, j)
        here = Matrix(panel_at(w, i, j), w.ld)
        target = here if how.rule == 0 else gradient
        if 0 < rows <= THIN:
            thin_weight_gradient(rows, height, columns, left, right, target)
        else:
            transposed_product(height, columns, rows, left, right, packed, zero, target)
        if how.rule != 0:
            place = panel_at(Panels(w_memory.pointer, w.ld, w.panel), i, j)
            update(how, height, columns, here, gradient, Memory(place, w_memory.apart))


# ------------------------------------------------------------------ for use from Python


@entry(
    reads(2),
    reads(2),
    writes(2, layout="A"),
    writes(1),
    INTEGER,
    INTEGER,
    reads(1, types.float64),
    INTEGER,
    INTEGER,
    writes(1),
    writes(1),
)
def _matmul_update(x, g, w, bias, rule, step, settings, memory, apart, spare, scratch):
    how = Update(rule, 1, step, data(settings))
    (rows, inputs), outputs = x.shape, g.shape[1]
    linear_update(
        rows,
        inputs,
        outputs,
        Panels(data(x), inputs, 0),
        Panels(data(g), outputs, 0),
        Panels(data(w), w.strides[0] // w.itemsize, 0),
        Memory(pointer(memory, data(w)), apart),
        how,
        data(bias),
        Memory(data(spare), outputs),
        how,
        0,
        1,
        data(scratch),
    )


def matmul_update(
    a: ArrayLike,
    b: ArrayLike,
    parameter: np.ndarray,
    rule: Rule,
    step: int,
    settings: np.ndarray,
    first: np.ndarray | None = None,
    second: np.ndarray | None = None,
    third: np.ndarray | None = None,
) -> None:
    """Update a parameter by the gradient A^T B without writing the gradient to memory.

    Parameters
    ----------
    a : array_like of shape (depth, rows)
        Inputs of a layer, one sample a row; converted to the dtype of `parameter`.
    b : array_like of shape (depth, columns)
        Gradient of the loss with respect to the layer's outputs.
    parameter : ndarray of shape (rows, columns)
        Parameter to update in place, float32 or float64, with unit column stride.
    rule : Rule
        Rule of an optimizer, `SGD` or another one of `kernels.functions.updates`.
    step : int
        Number of earlier updates, from which Adam's bias correction follows.
    settings : ndarray of float64
        The optimizer's settings, at the indices named in `kernels.functions.updates`.
    first : ndarray of shape (rows, columns), optional
        First array that the rule remembers, with the dtype and strides of `parameter`.
    second : ndarray of shape (rows, columns), optional
        Second array that the rule remembers.
    third : ndarray of shape (rows, columns), optional
        Third array that the rule remembers.

    Raises
    ------
    TypeError
        If an array has another dtype, or `step` is no integer.
    ValueError
        If a shape or stride does not fit, an array that the rule needs is missing, or `rule` is
        no rule.

    Examples
    --------
    >>> import numpy as np
    >>> from kernels import matmul_update
    >>> from kernels.functions import updates
    >>> settings = np.zeros(updates.SETTINGS)
    >>> settings[updates.LEARNING_RATE] = 0.1
    >>> settings[updates.GRADIENT_SCALE], settings[updates.CLIP_VALUE] = 1.0, np.inf
    >>> weight = np.zeros((2, 2))
    >>> matmul_update([[1.0, 2.0]], [[1.0, -1.0]], weight, updates.SGD, 0, settings)
    >>> weight
    array([[-0.1,  0.1],
           [-0.2,  0.2]])
    """
    step = integer("step", step, 0, LARGEST)
    x, g = matrix("a", a), matrix("b", b)
    if x.shape[0] != g.shape[0]:
        raise ValueError(f"a has shape {x.shape} and b {g.shape}; expected the same first length")
    dtype = getattr(parameter, "dtype", None)
    if dtype not in FLOATING:
        found = dtype or type(parameter).__name__
        raise TypeError(f"parameter is of {found}; expected an array of float32 or float64")
    x, g = matrix("a", x, dtype), matrix("b", g, dtype)
    parameter, first, second, third = map(_seen, (parameter, first, second, third))
    remembered = {"first": first, "second": second, "third": third}
    needed = updates.remembered(rule, settings)
    for name in list(remembered)[:needed]:
        if remembered[name] is None:
            raise ValueError(f"{name} is None; {rule} remembers it in an array")
    for name, each in {"parameter": parameter, **remembered}.items():
        if each is None:
            continue
        output(name, each, (x.shape[1], g.shape[1]), dtype)
        regular = each.strides[0] % each.itemsize == 0 and each.strides[1] == each.itemsize
        if each.size and (each.strides != parameter.strides or not regular):
            raise ValueError(f"{name} has strides {each.strides}; expected rows of the same kind")
    if parameter.size == 0:
        return
    memories = [each for each in remembered.values() if each is not None][:needed]
    # The compiled update needs a bias too, which is discarded.
    bias, spare = (np.zeros(g.shape[1] * n, dtype) for n in (1, rule.memories))
    scratch = aligned_zeros(scratch_size(dtype, max(parameter.shape)), dtype)
    with _evenly_apart(memories, parameter) as (place, apart):
        _matmul_update[dtype](
            x,
            g,
            parameter,
            bias,
            rule.routine.address(real_type(dtype)),
            step,
            settings,
            place,
            apart,
            spare,
            scratch,
        )


def _seen(value):
    """Return a view of an array, whose shape and strides nobody else can change."""
    return value[...] if isinstance(value, np.ndarray) else value


@contextmanager
def _evenly_apart(memories: Sequence[np.ndarray], like: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the address of the first array, and the elements from each array to the next.

    Two arrays are used as they are if whole elements lie between them; otherwise arrays are copied
    to even distances, and copied back.
    """
    places = [address(each) for each in memories] or [address(like)]
    apart, rest = divmod(places[-1] - places[0], like.itemsize)
    if len(memories) < 3 and rest == 0:
        yield places[0], apart
        return
    rows = len(like)
    stride = like.strides[0] // like.itemsize
    copies = np.zeros((len(memories), rows, stride), like.dtype)
    for copy, each in zip(copies, memories, strict=True):
        copy[:, : each.shape[1]] = each
    yield address(copies), rows * stride
    for copy, each in zip(copies, memories, strict=True):
        each[...] = copy[:, : each.shape[1]]
