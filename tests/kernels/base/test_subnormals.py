import threading

import numpy as np
import pytest
from kit import FLOATS

from kernels.base import subnormals
from kernels.base.subnormals import Flushed
from processes import python

pytestmark = pytest.mark.skipif(not subnormals.FLUSH, reason="not x86 or Arm: nothing is flushed")


def keeps_subnormals(dtype):
    """Return whether this thread's arithmetic gives and takes subnormal numbers."""
    smallest = np.array([np.finfo(dtype).tiny], dtype)
    return bool((smallest / 4 * 4 == smallest).all())


@pytest.mark.parametrize("dtype", FLOATS)
def test_subnormals_are_zero_inside_alone(dtype):
    assert keeps_subnormals(dtype)
    with Flushed():
        assert not keeps_subnormals(dtype)
    assert keeps_subnormals(dtype)


def test_they_are_kept_again_after_an_error():
    with pytest.raises(KeyError), Flushed():
        raise KeyError
    assert keeps_subnormals(np.float32)


def test_one_context_in_another():
    with Flushed():
        with Flushed():
            pass
        assert not keeps_subnormals(np.float32)
    assert keeps_subnormals(np.float32)


def test_other_threads_go_on_as_they_were():
    kept, inside = [], threading.Event()
    # Running before: a new thread begins with the mode of the one that starts it.
    thread = threading.Thread(
        target=lambda: (inside.wait(), kept.append(keeps_subnormals(np.float32)))
    )
    thread.start()
    with Flushed():
        inside.set()
        thread.join()
    assert kept == [True]


@pytest.mark.parametrize("dtype", FLOATS)
def test_ordinary_arithmetic_is_the_same(dtype):
    x = np.random.default_rng(0).normal(size=1000).astype(dtype)
    x[:4] = 0.0, -0.0, np.inf, np.finfo(dtype).tiny
    usual = np.sqrt(np.abs(x)) / 3
    with Flushed():
        np.testing.assert_array_equal(np.sqrt(np.abs(x)) / 3, usual)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_function_leaves_them_as_they_were(dtype):
    @subnormals.kept
    def leaks():
        Flushed().__enter__()
        assert not keeps_subnormals(dtype)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leaks()
    assert keeps_subnormals(dtype)
    with Flushed():
        with pytest.raises(KeyboardInterrupt):
            leaks()
        assert not keeps_subnormals(dtype)


def test_numpy_knows_the_smallest_numbers_also_if_it_is_asked_inside():
    code = """
from kernels.base.subnormals import Flushed
import numpy as np
with Flushed():
    import numpy.ma
    found = [np.finfo(kind).smallest_subnormal for kind in (np.float32, np.float64)]
print(*found)
"""
    assert python(code, env={"PYTHONWARNINGS": "error::UserWarning"}).stdout == "1e-45 5e-324\n"
