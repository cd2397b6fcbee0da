from functools import partial

import numpy as np
import pytest
from kit import block, carry_out, normal, nothing, only_inside
from numpy.testing import assert_array_equal

import kernels
from kernels.functions.losses import compare
from kernels.instructions import losses as instructions
from kernels.machine.state import HALT, LOSS

LOSSES = {
    "indices": (kernels.softmax_cross_entropy, instructions.cross_entropy),
    "probabilities": (kernels.softmax_cross_entropy, instructions.cross_entropy_probability),
    "squares": (kernels.mean_squared_error, instructions.ERROR["squared"]),
    "sizes": (kernels.mean_absolute_error, instructions.ERROR["absolute"]),
    "huber": (kernels.huber, instructions.ERROR["huber"]),
    "events": (kernels.poisson, instructions.ERROR["poisson"]),
    "yes or no": (kernels.binary_cross_entropy, instructions.ERROR["binary_cross_entropy"]),
    "quantiles": (partial(compare, "pinball"), instructions.ERROR["pinball"]),
    "means and variances": (partial(compare, "gaussian"), instructions.ERROR["gaussian"]),
    "likelihood": (kernels.negative_log_likelihood, instructions.log_likelihood),
}


def test_there_is_a_case_for_each_error():
    assert {*instructions.ERROR.values()} < {kind for _, kind in LOSSES.values()}


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("kind", LOSSES)
def test_losses(kind, weighted, dtype, threads):
    """As the functions for Python, for the rows that the batch has; in place as well."""
    random = np.random.default_rng(0)
    columns = 42 if kind == "means and variances" else 21
    z, labels = normal((9, columns), dtype), random.integers(0, 21, 9)
    t, weights = block(random.random((9, 21)), dtype), random.random(9).astype(dtype)
    factors = random.random(columns).astype(dtype)
    if not weighted:
        weights = np.ones(9, dtype)
    function, instruction = LOSSES[kind]
    by_label = kind in ("indices", "likelihood")
    targets = {"labels": labels} if by_label else {"t": t}
    own = {"factors": factors}
    tables = {
        "probabilities": {**own, "smoothing": 0.1},
        "yes or no": own,
        "quantiles": own,
        "means and variances": own,
        "huber": {"factors": np.full(21, 0.7, dtype)},
    }.get(kind, {} if by_label else {"factors": np.ones(21, dtype)})
    extra = (factors,) if tables.get("factors") is factors else ()
    extra = {"probabilities": (factors, 0.1), "huber": (0.7,)}.get(kind, extra)
    arguments = z[:8], (labels if by_label else t)[:8], weights[:8], *extra
    expected = function(*arguments)
    masses = weights if weighted else 0
    for in_place in (False, True):
        x = block(z)
        g = x if in_place else nothing((9, columns), dtype)
        losses, hits = np.full(9, np.nan, dtype), np.full(9, 7, np.uint8)
        carry_out(
            instruction,
            dtype,
            8,
            threads,
            columns=21,
            x=x,
            **targets,
            **tables,
            weights=weights,
            masses=masses,
            g=g,
            losses=losses,
            hits=hits,
        )
        assert_array_equal(losses[:8], expected.losses)
        assert hits[:8].sum() == expected.correct
        assert_array_equal(g[:8], expected.gradient)
        assert np.isnan(losses[8])
        assert hits[8] == 7
        assert_array_equal(g[8], z[8] if in_place else np.full(columns, np.nan))
        assert only_inside(g)


def test_one_hot(dtype, threads):
    labels, t = np.random.default_rng(0).integers(0, 21, 9), nothing((9, 21), dtype)
    carry_out(instructions.one_hot, dtype, 8, threads, columns=21, labels=labels, t=t)
    assert_array_equal(t[:8], np.eye(21)[labels[:8]])
    assert np.isnan(t[8:]).all()
    assert only_inside(t)


def test_weights_of_nothing(dtype, threads):
    x, g = block(normal((4, 5), dtype)), nothing((4, 5), dtype)
    losses, hits, weights = np.full(4, np.nan, dtype), np.zeros(4, np.uint8), np.zeros(4, dtype)
    carry_out(
        instructions.cross_entropy,
        dtype,
        4,
        threads,
        columns=5,
        x=x,
        labels=np.zeros(4, int),
        weights=weights,
        masses=weights,
        g=g,
        losses=losses,
        hits=hits,
    )
    assert_array_equal(g, np.zeros((4, 5)))
    assert_array_equal(losses, np.zeros(4))


def tally(losses, hits, totals, halting, dtype, rows, threads):
    """Tally rows, and return the states of the threads."""
    operands = {"losses": losses, "hits": hits, "totals": totals, "halting": halting}
    return carry_out(instructions.tally, dtype, rows, threads, **operands)


def test_tally(dtype, threads):
    losses, hits = normal(9, dtype), np.array([1, 0, 1, 1, 0, 1, 0, 1, 1], np.uint8)
    totals = np.array([10.0, 20.0])
    for stops in (False, True):
        before = totals.copy()
        states = tally(losses, hits, totals, stops, dtype, 8, threads)
        assert totals[0] - before[0] == pytest.approx(losses[:8].sum(dtype=np.float64), rel=1e-12)
        assert totals[1] - before[1] == 5
        assert not any(state[HALT] for state in states)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_tally_stops_every_thread_at_a_loss_that_is_not_finite(value, dtype, threads):
    losses, hits, totals = normal(9, dtype), np.ones(9, np.uint8), np.array([1.0, 2.0])
    losses[5] = value
    for state in tally(losses, hits, totals, True, dtype, 8, threads):
        assert state[HALT] == 1
        assert_array_equal(state[LOSS : LOSS + 1].view(np.float64), [value])
    assert_array_equal(totals, [1, 2])
    # Where nothing is learned, what is not finite is only counted; and so are rows to come.
    states = tally(losses, hits, totals, False, dtype, 8, threads)
    assert not any(state[HALT] for state in states)
    assert_array_equal(totals, [value, 10])
    states = tally(losses, hits, totals, True, dtype, 5, threads)
    assert not any(state[HALT] for state in states)
