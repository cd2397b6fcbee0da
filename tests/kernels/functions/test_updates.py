import itertools

import numpy as np
import pytest
import torch
from kit import FLOATS, normal, settings_of, whole
from numpy.testing import assert_array_equal

from kernels import gradient_norm
from kernels.base.simd import advance, peek, poke
from kernels.functions import updates

SIZES = (1, 2, 7, 8, 15, 16, 17, 33, 100, 1001)


def gradients(size, dtype, steps=10):
    return [normal(size, dtype, 100 + step) for step in range(steps)]


def run(rule, settings_, start, slopes, decays=True):
    """Return parameters after all steps, and what the rule remembers."""
    p, memory = start.copy(), np.zeros((rule.memories, start.size), start.dtype)
    for step, g in enumerate(slopes):
        held = g.copy()
        updates.update_flat(rule, decays, step, settings_, p, g, memory)
        assert_array_equal(g, held)
    return p, *memory


def run_torch(make, start, slopes, clip=lambda tensor: None):
    tensor = torch.tensor(start, requires_grad=True)
    optimizer = make([tensor])
    for g in slopes:
        tensor.grad = torch.tensor(g)
        clip(tensor)
        optimizer.step()
    return tensor.detach()


def assert_close(actual, expected):
    torch.testing.assert_close(torch.from_numpy(actual), expected)


# ------------------------------------------------------------------------------- SGD


SGD_SWEEP = [
    {
        "lr": lr,
        "momentum": momentum,
        "dampening": dampening,
        "weight_decay": decay,
        "nesterov": ahead,
    }
    for lr, momentum, dampening, decay, ahead in itertools.product(
        (1e-3, 0.1, 1.0), (0.0, 0.5, 0.9), (0.0, 0.3), (0.0, 0.1), (False, True)
    )
    if not ahead or (momentum > 0 and dampening == 0)
]


def sgd(lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, **others):
    return settings_of(
        learning_rate=lr,
        momentum=momentum,
        dampening=dampening,
        weight_decay=weight_decay,
        nesterov=nesterov,
        **others,
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("options", SGD_SWEEP, ids=lambda o: "-".join(map(str, o.values())))
def test_sgd_is_torchs(options, dtype):
    start, slopes = normal(131, dtype), gradients(131, dtype)
    own, _ = run(updates.SGD, sgd(**options), start, slopes)
    assert_close(own, run_torch(lambda p: torch.optim.SGD(p, **options), start, slopes))


@pytest.mark.parametrize("dtype", FLOATS)
def test_sgd_without_momentum_remembers_nothing(dtype):
    _, velocity = run(updates.SGD, sgd(0.1), normal(50, dtype), gradients(50, dtype))
    assert not velocity.any()


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_velocity_is_torchs(dtype):
    start, slopes = normal(40, dtype), gradients(40, dtype)
    _, velocity = run(updates.SGD, sgd(0.1, 0.9, 0.3), start, slopes)
    tensor = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.SGD([tensor], 0.1, 0.9, 0.3)
    for g in slopes:
        tensor.grad = torch.tensor(g)
        optimizer.step()
    assert_close(velocity, optimizer.state[tensor]["momentum_buffer"])


# ------------------------------------------------------------------------------- Adam


ADAM_SWEEP = [
    {"lr": lr, "betas": betas, "eps": eps, "weight_decay": decay}
    for lr, betas, eps, decay in itertools.product(
        (1e-3, 0.1), ((0.9, 0.999), (0.5, 0.9), (0.0, 0.99), (0.9, 0.5)), (1e-8, 1e-3), (0.0, 0.1)
    )
]


def adam(lr, betas, eps=1e-8, weight_decay=0.0, decoupled=False, **others):
    return settings_of(
        learning_rate=lr,
        beta1=betas[0],
        beta2=betas[1],
        epsilon=eps,
        weight_decay=weight_decay,
        decoupled=decoupled,
        **others,
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("decoupled", [False, True], ids=["Adam", "AdamW"])
@pytest.mark.parametrize("options", ADAM_SWEEP, ids=lambda o: "-".join(map(str, o.values())))
def test_adam_is_torchs(options, decoupled, dtype):
    start, slopes = normal(131, dtype), gradients(131, dtype)
    own, _, _ = run(updates.ADAM, adam(**options, decoupled=decoupled), start, slopes)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    assert_close(own, run_torch(lambda p: kind(p, **options), start, slopes))


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_moments_are_torchs(dtype):
    start, slopes = normal(40, dtype), gradients(40, dtype)
    _, first, second = run(updates.ADAM, adam(0.1, (0.9, 0.99)), start, slopes)
    tensor = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.Adam([tensor], 0.1, (0.9, 0.99))
    for g in slopes:
        tensor.grad = torch.tensor(g)
        optimizer.step()
    assert_close(first, optimizer.state[tensor]["exp_avg"])
    assert_close(second, optimizer.state[tensor]["exp_avg_sq"])


@pytest.mark.parametrize("dtype", FLOATS)
def test_adam_after_many_steps(dtype):
    """The corrections for the first steps fade; the step counts from 0."""
    start, slopes = normal(9, dtype), gradients(9, dtype, 300)
    own, _, _ = run(updates.ADAM, adam(0.01, (0.9, 0.999)), start, slopes)
    expected = run_torch(lambda p: torch.optim.Adam(p, 0.01), start, slopes)
    # 300 steps each lose half an ulp of parameters of about 1.
    loose = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {}
    torch.testing.assert_close(torch.from_numpy(own), expected, **loose)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("decoupled", [False, True], ids=["Adam", "AdamW"])
@pytest.mark.parametrize("options", ADAM_SWEEP, ids=lambda o: "-".join(map(str, o.values())))
def test_amsgrad_is_torchs(options, decoupled, dtype):
    start = normal(131, dtype)
    slopes = [g / (step + 1) for step, g in enumerate(gradients(131, dtype))]  # v comes down again
    own, _, second, most = run(updates.AMSGRAD, adam(**options, decoupled=decoupled), start, slopes)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    assert_close(own, run_torch(lambda p: kind(p, **options, amsgrad=True), start, slopes))
    assert (most >= second).all()
    assert (most > second).any()


# ---------------------------------------------------------------------------- RMSprop


RMSPROP_SWEEP = [
    {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": decay, "momentum": momentum}
    for lr, alpha, eps, decay, momentum in itertools.product(
        (1e-3, 0.1), (0.99, 0.5, 0.0), (1e-8, 1e-3), (0.0, 0.1), (0.0, 0.9)
    )
]


def rmsprop(lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, **others):
    return settings_of(
        learning_rate=lr,
        alpha=alpha,
        epsilon=eps,
        weight_decay=weight_decay,
        momentum=momentum,
        **others,
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("options", RMSPROP_SWEEP, ids=lambda o: "-".join(map(str, o.values())))
def test_rmsprop_is_torchs(options, dtype):
    start, slopes = normal(131, dtype), gradients(131, dtype)
    own, _, speeds = run(updates.RMSPROP, rmsprop(**options), start, slopes)
    assert_close(own, run_torch(lambda p: torch.optim.RMSprop(p, **options), start, slopes))
    assert speeds.any() == (options["momentum"] > 0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "options",
    # With an alpha of 0 the variance is a difference of equal numbers.
    [each for each in RMSPROP_SWEEP if each["alpha"]],
    ids=lambda o: "-".join(map(str, o.values())),
)
def test_centered_rmsprop_is_torchs(options, dtype):
    start, slopes = normal(131, dtype), gradients(131, dtype)
    own, *_ = run(updates.CENTERED_RMSPROP, rmsprop(**options), start, slopes)
    expected = run_torch(lambda p: torch.optim.RMSprop(p, **options, centered=True), start, slopes)
    assert_close(own, expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_rmsprop_remembers_is_torchs(dtype):
    start, slopes = normal(40, dtype), gradients(40, dtype)
    _, *found = run(updates.CENTERED_RMSPROP, rmsprop(0.1, momentum=0.9), start, slopes)
    tensor = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.RMSprop([tensor], 0.1, momentum=0.9, centered=True)
    for g in slopes:
        tensor.grad = torch.tensor(g)
        optimizer.step()
    for own, name in zip(found, ("square_avg", "momentum_buffer", "grad_avg"), strict=True):
        assert_close(own, optimizer.state[tensor][name])


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_gradient_of_zero_moves_nothing(dtype):
    start, slopes = normal(20, dtype), [np.zeros(20, dtype)] * 3
    for rule, settings_ in (
        (updates.SGD, sgd(0.1, 0.9)),
        (updates.ADAM, adam(0.1, (0.9, 0.99))),
        (updates.AMSGRAD, adam(0.1, (0.9, 0.99))),
        (updates.RMSPROP, rmsprop(0.1, momentum=0.9)),
        (updates.CENTERED_RMSPROP, rmsprop(0.1)),
    ):
        assert_array_equal(run(rule, settings_, start, slopes)[0], start)


# --------------------------------------------------------------------------- clipping


RULES = {
    "SGD": (updates.SGD, sgd(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (updates.SGD, sgd(0.1, 0.9), lambda p: torch.optim.SGD(p, 0.1, 0.9)),
    "decay": (
        updates.SGD,
        sgd(0.1, 0.9, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.1),
    ),
    "Adam": (updates.ADAM, adam(0.1, (0.9, 0.99)), lambda p: torch.optim.Adam(p, 0.1, (0.9, 0.99))),
    "AMSGrad": (
        updates.AMSGRAD,
        adam(0.1, (0.9, 0.99)),
        lambda p: torch.optim.Adam(p, 0.1, (0.9, 0.99), amsgrad=True),
    ),
    "RMSprop": (
        updates.RMSPROP,
        rmsprop(0.1, momentum=0.9),
        lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.9),
    ),
    "centered RMSprop": (
        updates.CENTERED_RMSPROP,
        rmsprop(0.01),
        lambda p: torch.optim.RMSprop(p, 0.01, centered=True),
    ),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", RULES)
def test_undecayed_is_without_weight_decay(name, dtype):
    rule, settings_, _ = RULES[name]
    start, slopes = normal(77, dtype), gradients(77, dtype)
    settings_ = settings_.copy()
    settings_[updates.WEIGHT_DECAY] = 0.3
    own = run(rule, settings_, start, slopes, decays=False)
    decayed = run(rule, settings_, start, slopes)
    settings_[updates.WEIGHT_DECAY] = 0.0
    for one, other in zip(own, run(rule, settings_, start, slopes), strict=True):
        assert_array_equal(one, other)
    assert (own[0] != decayed[0]).any()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bound", [0.01, 0.5, 100.0, np.inf])
@pytest.mark.parametrize("name", RULES)
def test_clipping_by_value_is_torchs(name, bound, dtype):
    rule, settings_, make = RULES[name]
    settings_ = settings_.copy()
    settings_[updates.CLIP_VALUE] = bound
    start, slopes = normal(77, dtype), gradients(77, dtype)
    own, *_ = run(rule, settings_, start, slopes)
    expected = run_torch(make, start, slopes, lambda t: torch.nn.utils.clip_grad_value_([t], bound))
    assert_close(own, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bound", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("name", RULES)
def test_clipping_by_norm_is_torchs(name, bound, dtype):
    rule, settings_, make = RULES[name]
    settings_ = settings_.copy()
    start, slopes = normal(77, dtype), gradients(77, dtype)
    p, memory = start.copy(), np.zeros((rule.memories, start.size), dtype)
    for step, g in enumerate(slopes):
        settings_[updates.GRADIENT_SCALE] = updates.clip_factor.py_func(gradient_norm([g]), bound)
        updates.update_flat(rule, True, step, settings_, p, g, memory)
    expected = run_torch(make, start, slopes, lambda t: torch.nn.utils.clip_grad_norm_([t], bound))
    assert_close(p, expected)


def test_clip_factor():
    assert updates.clip_factor.py_func(2.0, 1.0) == 1.0 / (2.0 + 1e-6)
    assert updates.clip_factor.py_func(0.5, 1.0) == 1.0
    assert updates.clip_factor.py_func(0.0, 1.0) == 1.0
    assert updates.clip_factor.py_func(3.0, np.inf) == 1.0
    assert np.isnan(updates.clip_factor.py_func(np.inf, 1.0))
    assert np.isnan(updates.clip_factor.py_func(np.nan, 1.0))


def test_squares_that_overflow_have_a_norm():
    assert gradient_norm([np.full(4, 3e20, np.float32)]) == pytest.approx(6e20)
    assert gradient_norm([np.array([1, np.inf], np.float32)]) == np.inf


@pytest.mark.parametrize("name", RULES)
def test_a_scale_that_is_no_number_skips_the_update(name):
    rule, settings_, _ = RULES[name]
    settings_ = settings_.copy()
    settings_[updates.GRADIENT_SCALE] = np.nan
    start = normal(77, np.float32)
    own, *memories = run(rule, settings_, start, gradients(77, np.float32))
    assert_array_equal(own, start)
    assert not np.any(memories)


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_not_finite_in_a_gradient_is_as_in_torch(dtype):
    start = np.ones(6, dtype)
    slopes = [np.array([np.nan, np.inf, -np.inf, 1, -1, 0], dtype)]
    for name, (rule, settings_, make) in RULES.items():
        expected = run_torch(make, start, slopes)
        own, *_ = run(rule, settings_, start, slopes)
        left = np.finfo(dtype).eps  # by rounding, of a step from 1 to almost 0
        np.testing.assert_allclose(own, expected, 2e-6, left, err_msg=name)
        clipped = settings_.copy()
        clipped[updates.CLIP_VALUE] = 0.5
        own, *_ = run(rule, clipped, start, slopes)
        expected = run_torch(
            make, start, slopes, lambda t: torch.nn.utils.clip_grad_value_([t], 0.5)
        )
        np.testing.assert_allclose(own, expected, 2e-6, left, err_msg=name)


# ------------------------------------------------------------------------------- rules


@updates.rule(memories=3)
def COUNTING(step, settings, decay, rows, columns, p, g, memory):  # noqa: N802
    """p -= g + decay p; the first memory adds up g, the second p, the third counts."""
    for i in range(rows):
        for j in range(columns):
            place = i * p.ld + j
            slope, value = peek(g.pointer, i * g.ld + j), peek(p.pointer, place)
            for number in range(3):
                each = advance(memory.pointer, number * memory.apart)
                more = slope if number == 0 else value if number == 1 else 1.0
                poke(each, place, peek(each, place) + more)
            poke(p.pointer, place, value - (slope + decay * value))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_rule_may_remember_any_number_of_arrays(folder, dtype, decay):
    start, slopes = whole(1001, dtype), [whole(1001, dtype, step) for step in range(3)]
    p, total, values = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for g in slopes:
        total, values, p = total + g, values + p, p - (g + decay * p)
    found = run(COUNTING, settings_of(weight_decay=decay), start, slopes)
    for own, expected in zip(found, (p, total, values, np.full_like(p, 3)), strict=True):
        assert_array_equal(own, expected)


def test_what_a_rule_remembers():
    assert updates.remembered(updates.SGD, sgd(0.1)) == 0
    assert updates.remembered(updates.SGD, sgd(0.1, 0.9)) == 1
    assert updates.remembered(updates.ADAM, adam(0.1, (0.9, 0.99))) == 2
    assert updates.remembered(updates.AMSGRAD, adam(0.1, (0.9, 0.99))) == 3
    assert updates.remembered(updates.RMSPROP, rmsprop(0.1)) == 2
    assert updates.remembered(updates.CENTERED_RMSPROP, rmsprop(0.1)) == 3
    assert updates.remembered(COUNTING, settings_of()) == 3
    assert repr(updates.ADAM) == "Rule(ADAM)"


# ------------------------------------------------------------- sizes, the norm, guard pages


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", RULES)
def test_an_element_does_not_depend_on_its_place(name, dtype):
    rule, settings_, _ = RULES[name]
    start, slopes = normal(SIZES[-1], dtype), gradients(SIZES[-1], dtype, 3)
    whole = run(rule, settings_, start, slopes)
    for size in SIZES:
        for begin in (0, 3):
            here = slice(begin, size)
            part = run(
                rule, settings_, start[here], [np.ascontiguousarray(g[here]) for g in slopes]
            )
            for mine, theirs in zip(part, whole, strict=True):
                assert_array_equal(mine, theirs[here])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("before", [False, True], ids=["page after", "page before"])
def test_no_byte_outside_the_arrays_is_touched(guarded, before, dtype):
    settings_ = guarded((updates.SETTINGS,), np.float64, before)
    for name, (rule, values, _) in RULES.items():
        settings_[...] = values
        for size in SIZES:
            start, g = normal(size, dtype), normal(size, dtype, 1)
            expected = run(rule, values, start, [g])
            p, slope = (guarded((size,), dtype, before) for _ in range(2))
            p[...], slope[...] = start, g
            memory = guarded((rule.memories, size), dtype, before)
            updates.update_flat(rule, True, 0, settings_, p, slope, memory)
            for found, wanted in zip((p, *memory), expected, strict=True):
                assert_array_equal(found, wanted, err_msg=name)
            assert gradient_norm([slope]) == gradient_norm([g])


@pytest.mark.parametrize("dtype", FLOATS)
def test_gradient_norm(dtype):
    for sizes in ((0,), (1,), (17,), (5, 0, 33), (4095, 4096, 4097), (10001,)):
        arrays = [normal(size, dtype, size) for size in sizes]
        flat = np.concatenate(arrays).astype(np.longdouble)
        expected = float(np.sqrt((flat**2).sum()))
        # A chunk of 4096 is summed in the dtype, half an ulp a term in the worst case.
        bound = 4096 * np.finfo(dtype).eps * expected
        assert abs(gradient_norm(arrays) - expected) <= bound
    assert gradient_norm([]) == 0.0
    assert gradient_norm([np.array([3], dtype), np.array([4], dtype)]) == 5.0
    assert gradient_norm(iter([np.array([3, 4], dtype)])) == 5.0
    assert gradient_norm([np.array([1, np.inf], dtype)]) == np.inf
    assert np.isnan(gradient_norm([np.array([1, np.nan], dtype), np.ones(3, dtype)]))


def test_gradient_norm_of_many_numbers_is_torchs():
    x = normal(100_000, np.float32)
    expected = torch.linalg.vector_norm(torch.from_numpy(x).double()).item()
    assert gradient_norm([x]) == pytest.approx(expected, rel=1.3e-6)
    mixed = [x, x.astype(np.float64)]
    assert gradient_norm(mixed) == pytest.approx(np.sqrt(2) * expected, rel=1.3e-6)


@pytest.mark.parametrize(
    "array",
    [np.arange(3), np.ones(4)[::2], np.ones((2, 2)), np.ones(3, np.float16), [1.0, 2.0], True],
    ids=["integers", "strided", "2-d", "half", "list", "scalar"],
)
def test_gradient_norm_of_other_arrays(array):
    assert gradient_norm([array]) == np.linalg.norm(np.ravel(np.asarray(array, float)))


@pytest.mark.parametrize("array", [np.ones(3, complex), None, "abc"])
def test_gradient_norm_explains_bad_arguments(array):
    with pytest.raises(TypeError, match="array has dtype"):
        gradient_norm([np.ones(2), array])
