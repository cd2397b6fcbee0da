"""The runner of a program: it runs batches on threads, in slices of about 30 ms.

Between slices Python moves a progress bar and handles Ctrl-C. The threads are Python
threads, which release the global interpreter lock while they compute and while they wait for
the next slice. Waiting must stay shorter than an epoch of a small network.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from kernels.base import host, subnormals
from kernels.base.jit import real_type
from kernels.base.memory import aligned_zeros
from kernels.functions.softmax import cross_entropy_scratch
from kernels.machine import barrier, interpreter
from kernels.machine.followers import Followers
from kernels.machine.state import HALT, KEPT, LOSS, OPEN, STATE, THREAD, THREADS, TICK
from kernels.machine.team import get_num_threads, set_num_threads

__all__ = ["get_num_threads", "set_num_threads"]

_SLICE = 0.03  # seconds between two checks for Ctrl-C


class Program(Protocol):
    """The attributes of a `fastnn.compiler.program.Program` that a runner reads."""

    batch: int
    dtype: np.dtype
    threads: int
    scratch: int
    totals: np.ndarray
    opening: np.ndarray
    table: np.ndarray
    closing: np.ndarray


class Runner:
    """A program, its threads and its progress through the batches; use it as a context manager."""

    def __init__(self, program: Program, samples: int):
        self.program, self.samples = program, samples
        self.batches = -(-samples // program.batch)
        self._run_batches: Any = interpreter.run[program.dtype]
        self._states = [np.zeros(STATE, np.int64) for _ in range(program.threads)]
        for number, state in enumerate(self._states):
            state[THREAD], state[THREADS] = number, program.threads
        lanes = host.lanes(real_type(program.dtype))
        size = max(program.scratch, cross_entropy_scratch(program.batch, lanes))
        self._barrier = aligned_zeros(barrier.BARRIER, np.int64)
        tables = program.opening, program.table, program.closing
        rows = samples, program.batch
        self._arguments, *others = (
            (*tables, state, aligned_zeros(size, program.dtype), self._barrier, *rows)
            for state in self._states
        )
        self._followers = Followers(interpreter.follow[program.dtype], others, subnormals.Flushed)
        self._pace = 1  # batches a slice

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._barrier[barrier.POSTED] = barrier.DISMISSED
        self._followers.end()

    @property
    def ticks(self) -> int:
        """Number of steps done so far."""
        return int(self._states[0][TICK])

    @property
    def kept(self) -> int:
        """Number of steps whose results have been copied back to the model."""
        return int(self._states[0][KEPT])

    @property
    def stopped(self) -> bool:
        """True if the loss of a batch was not finite."""
        return bool(self._states[0][HALT])

    @property
    def totals(self) -> np.ndarray:
        """Sums of the losses and of the right rows since they were last set to zero."""
        return self.program.totals

    @property
    def last_loss(self) -> float:
        """Sum of the losses of the last batch whose loss was not finite."""
        return float(self._states[0][LOSS : LOSS + 1].view(np.float64)[0])

    def slices(self, begin: int = 0, watched: bool = False):
        """Run the batches from `begin` slice by slice, yielding the next batch after each slice.

        The run ends early at a batch whose loss is not finite. The model gets the learned weights
        after the last batch or by `deliver`; if `watched`, after each slice, and the caller may
        change the model in between. A watched run also ends early if weights are not finite.
        """
        while begin < self.batches:
            until = min(self.batches, begin + self._pace)
            started = time.perf_counter()
            done = self._post(begin, until, watched or until == self.batches)
            elapsed = time.perf_counter() - started
            begin += done
            yield begin
            if begin < until:
                return
            if watched:
                if self.kept != self.ticks:
                    return
                self.renew()
            fitting = done * _SLICE / max(elapsed, 1e-6)
            self._pace = max(1, int(min(fitting, 4 * self._pace, self.batches)))

    def run(self, begin: int, end: int) -> int:
        """Run batches `begin` to `end`, update the model, and return the number of batches done."""
        return self._post(begin, end, True)

    def deliver(self) -> bool:
        """Copy the learned weights back to the model, if all of them are finite.

        Returns True if the model now holds the results of all steps.
        """
        if self.kept != self.ticks:
            self._post(0, 0, True)
        return self.kept == self.ticks

    def renew(self) -> None:
        """Make the next run read the model's weights again, since they may have been changed."""
        for state in self._states:
            state[OPEN] = 0

    def rewind(self) -> None:
        """Go back to the last step whose results the model holds, and clear the stop flag."""
        self.renew()
        for state in self._states:
            state[TICK], state[HALT] = state[KEPT], 0

    def redo(self, begin: int, end: int) -> int:
        """Run batches `begin` to `end` one by one, after `rewind`, until weights are not finite.

        Returns the batch that made them so, or `end`; the model holds the weights before it.
        """
        for batch in range(begin, end):
            self.run(batch, batch + 1)
            if self.kept != self.ticks:
                self.rewind()
                return batch
        return end

    def _post(self, begin: int, end: int, close: bool) -> int:
        """Run batches on all threads; return the number of batches done."""
        if not self._followers:
            return self._run(begin, end, close)
        with self._followers.wanted:
            self._followers.gather(time.perf_counter())
            return self._run(begin, end, close)

    def _run(self, begin: int, end: int, close: bool) -> int:
        """Run this thread's share, with subnormal numbers flushed to 0."""
        with subnormals.Flushed():
            return self._run_batches(*self._arguments, begin, end, close)
