"""The barrier at which threads that run one program wait for each other.

Each thread runs the whole program on its share of every instruction's output, and waits where the
program says so. A wait takes a few tenths of a microsecond when every thread has a core. If one
has none, the others spin for some 40 us, then yield their cores, and then sleep in short naps, so
that they take no core from it or from other programs, and note that a thread is late.
"""

from __future__ import annotations

from kernels.base.jit import inline
from kernels.machine.atomics import atomic_add, atomic_load, atomic_store
from kernels.machine.pauses import give_way, nap, now, spin

ARRIVED, GENERATION, PATIENCE, LATE, BARRIER = 0, 16, 32, 33, 34
"""Indices into the int64 that threads share, and their number.

Each counter of the barrier is two cache lines from all else, since processors fetch lines in pairs.
Behind them are the nanoseconds after which a thread that is waited for is late, and whether one
was.
"""

_SPINS = 200  # spins, some microseconds, before a waiting thread looks at the clock
_SPINNING = 40_000  # nanoseconds before it sleeps


@inline
def wait(barrier, threads):
    """Wait until all `threads` threads have called this."""
    if threads == 1:
        return
    generation = atomic_load(barrier, GENERATION)
    if atomic_add(barrier, ARRIVED, 1) == threads - 1:
        atomic_store(barrier, ARRIVED, 0)
        atomic_store(barrier, GENERATION, generation + 1)
        return
    spins, began = 0, 0
    while atomic_load(barrier, GENERATION) == generation:
        spins += 1
        if spins < _SPINS:
            spin()
        elif began == 0:
            began = now()
        else:
            _be_patient(barrier, now() - began)


@inline
def _be_patient(barrier, waited):
    """Spin at first, then yield the core, then sleep; note if the wait is too long.

    It has lasted `waited` nanoseconds.
    """
    patience = barrier[PATIENCE]
    if waited < _SPINNING:
        spin()
    elif 2 * waited < patience:
        give_way()
    else:
        if waited > patience:
            atomic_store(barrier, LATE, 1)
        nap()


@inline
def share(items, thread, threads):
    """Return this thread's share of `items`: its first item, and the one after its last."""
    return items * thread // threads, items * (thread + 1) // threads
