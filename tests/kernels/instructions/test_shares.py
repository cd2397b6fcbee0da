"""Threads share a batch by its rows, each of which is written by one of them."""

import numpy as np
from kit import block, carry_out, normal, nothing
from numpy.testing import assert_array_equal

import kernels
from kernels.functions.dropout import mask_columns
from kernels.instructions import layers, linear, losses, samples


def test_every_row_is_written_by_one_thread(dtype, threads):
    x, order = block(normal((9, 21), dtype)), np.arange(9)
    source, labels = normal((9, 21), dtype, 1), np.arange(9) % 21
    mask, ones = np.zeros((9, mask_columns(21)), np.uint8), np.ones(9, dtype)
    found = {"losses": np.zeros(9, dtype), "hits": np.zeros(9, np.uint8)}
    raw = {"normalising": 0, "mean": 0, "factor": 0}
    drawing = {"mask": mask, "seed": 1, "drawn": 0, "stream": 0, "keep": 2**15, "scale": 2.0}
    weighing = {"labels": labels, "weights": ones, "masses": 0}
    cases = [
        (samples.gather, "y", {"source": source, "order": order, **raw}),
        (linear.activation, "y", {"activation": kernels.ACTIVATIONS["exp"], "x": x}),
        (layers.softmax, "y", {"x": x}),
        (layers.dropout, "y", {"x": x, **drawing}),
        (losses.cross_entropy, "g", {"x": x, **weighing, **found}),
        (samples.collect, "results", {"x": x}),
    ]
    for kind, name, operands in cases:
        written = np.zeros(9, int)
        for thread in range(threads):
            target = nothing((9, 21), dtype)
            if name == "results":
                target = np.full((9, 21), np.nan, dtype)
            operands[name] = target
            carry_out(kind, dtype, 9, threads, only=thread, columns=21, **operands)
            written += ~np.isnan(target[:, 0])
        assert_array_equal(written, np.ones(9), err_msg=kind.name)
