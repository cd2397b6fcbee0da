import os

import pytest

from processes import python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


def test_a_fork_waits_until_nobody_compiles():
    """And its child compiles."""
    program = """
import os, sys, threading, time
import numpy as np
from numba.core.compiler_lock import global_compiler_lock
from llvmlite.binding import ffi
import kernels

inside, over = threading.Event(), False

def compile_for_long():
    global over
    with global_compiler_lock, ffi.lib._lock:
        inside.set()
        time.sleep(0.3)
        over = True

thread = threading.Thread(target=compile_for_long)
thread.start()
inside.wait()
child = os.fork()
assert over
if child == 0:
    import numba
    assert numba.njit(lambda x: x + 1)(1) == 2
    assert kernels.relu(np.float32([-1, 1])).tolist() == [0, 1]
    os._exit(0)
thread.join()
with global_compiler_lock:  # it is free in the parent, too
    pass
sys.exit(os.waitpid(child, 0)[1])
"""
    python(program, timeout=120)


def test_forks_of_several_threads_at_once():
    program = """
import os, threading
from numba.core.compiler_lock import global_compiler_lock
import kernels

def fork():
    for _ in range(20):
        child = os.fork()
        if child == 0:
            with global_compiler_lock:
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

threads = [threading.Thread(target=fork) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
with global_compiler_lock:
    print("free")
"""
    assert python(program, timeout=120).stdout == "free\n"


def test_a_thread_that_compiles_may_fork():
    program = """
import os, sys
from numba.core.compiler_lock import global_compiler_lock
import kernels

with global_compiler_lock:
    child = os.fork()
    if child == 0:
        os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""
    python(program, timeout=60)


def test_ctrl_c_ends_the_wait_for_a_compilation():
    program = """
import os, signal, threading, time
from numba.core.compiler_lock import global_compiler_lock
import kernels

inside, over = threading.Event(), threading.Event()

def compile_for_long():
    with global_compiler_lock:
        inside.set()
        over.wait()

threading.Thread(target=compile_for_long, daemon=True).start()
inside.wait()
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
over.set()
with global_compiler_lock:
    print("free")
"""
    assert "free" in python(program, timeout=60).stdout
