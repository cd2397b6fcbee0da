"""The runner of a program: it runs batches on threads, in slices of about 30 ms.

Between slices Python moves a progress bar, handles Ctrl-C, and looks how many cores are free
(`kernels.machine.load`). Each slice begins on one thread, and the others help as soon as they are
there: nobody waits for a thread that starts, sleeps or has died.
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
from kernels.machine import interpreter, posts
from kernels.machine.barrier import LATE, PATIENCE
from kernels.machine.followers import Followers
from kernels.machine.load import LOAD
from kernels.machine.state import HALT, KEPT, LOSS, OPEN, ROOM, THREADS, TICK
from kernels.machine.team import get_num_threads, set_num_threads

__all__ = ["get_num_threads", "set_num_threads"]

_SLICE = 0.03  # seconds between two checks for Ctrl-C
_TOGETHER = 0.01  # seconds of a slice of several threads, which goes on alone after one was late
_GLANCE = 0.001  # seconds of the first slice on fewer threads; each next one takes twice as long
_PATIENT = (
    1.5e6  # nanoseconds, and half a step more, after which a thread that is waited for is late
)


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

    def bind(self, inputs: dict[str, np.ndarray]) -> None: ...
    def release(self) -> None: ...


class Runner:
    """A program, its threads and its progress through the batches; use it as a context manager."""

    def __init__(self, program: Program, samples: int):
        self.program, self.samples = program, samples
        self.batches = -(-samples // program.batch)
        self._run_batches: Any = interpreter.run[program.dtype]
        self._state = aligned_zeros(ROOM, np.int64)
        self._state[THREADS] = program.threads
        lanes = host.lanes(real_type(program.dtype))
        size = max(program.scratch, cross_entropy_scratch(program.batch, lanes))
        self._board = aligned_zeros(posts.size(program.threads), np.int64)

        def arguments(state: np.ndarray) -> tuple:
            """Return the arguments of a thread that all threads have."""
            tables = program.opening, program.table, program.closing
            scratch = aligned_zeros(size, program.dtype)
            return *tables, state, scratch, self._board, samples, program.batch

        self._arguments = arguments(self._state)
        others = [
            (*arguments(aligned_zeros(ROOM, np.int64)), number)
            for number in range(1, program.threads)
        ]
        follow = interpreter.follow[program.dtype]
        self._followers = Followers(follow, others, self._board, subnormals.Flushed)
        self._pace = 1  # batches a slice
        self._slice = _SLICE if program.threads == 1 else _TOGETHER
        self._alone = 0.0  # seconds of a slice on fewer threads; 0 while all work
        self._expect(0.01)

    def bind(self, inputs: dict[str, np.ndarray]) -> None:
        """Go on with other samples, whose arrays have the same names, dtypes and columns."""
        program = self.program
        program.bind(inputs)
        self.samples = len(inputs["order"])
        self.batches = -(-self.samples // program.batch)
        self._arguments = *self._arguments[:-2], self.samples, program.batch
        self.renew()

    def release(self) -> bool:
        """Let go of the samples; return False if the runner cannot be kept, for it has threads."""
        if self.program.threads > 1:
            return False
        self.program.release()
        return True

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._followers.end()

    @property
    def ticks(self) -> int:
        """Number of steps done so far."""
        return int(self._state[TICK])

    @property
    def kept(self) -> int:
        """Number of steps whose results have been copied back to the model."""
        return int(self._state[KEPT])

    @property
    def stopped(self) -> bool:
        """True if the loss of a batch was not finite."""
        return bool(self._state[HALT])

    @property
    def totals(self) -> np.ndarray:
        """Sums of the losses and of the right rows since they were last set to zero."""
        return self.program.totals

    @property
    def last_loss(self) -> float:
        """Sum of the losses of the last batch whose loss was not finite."""
        return float(self._state[LOSS : LOSS + 1].view(np.float64)[0])

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
            self._expect(elapsed / done)
            fitting = done * (self._alone or self._slice) / max(elapsed, 1e-6)
            self._pace = max(1, int(min(fitting, 4 * self._pace, self.batches)))

    def _expect(self, seconds: float) -> None:
        """Expect a step to take some time: a thread is late compared with that."""
        self._board[PATIENCE] = _PATIENT + 0.5e9 * seconds

    def run(self, begin: int, end: int) -> int:
        """Run batches `begin` to `end`, update the model, and return the number of batches done."""
        return self._post(begin, end, True)

    def deliver(self) -> bool:
        """Copy the learned weights back to the model, if all of them are finite.

        This needs no helping thread, which may have died. Returns True if the model now holds the
        results of all steps.
        """
        if self.kept != self.ticks:
            self._run(0, 0, True, 1)
        return self.kept == self.ticks

    def renew(self) -> None:
        """Make the next run read the model's weights again, since they may have been changed."""
        self._state[OPEN] = 0

    def rewind(self) -> None:
        """Go back to the last step whose results the model holds, and clear the stop flag."""
        self.renew()
        self._state[TICK], self._state[HALT] = self._state[KEPT], 0

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
        """Run batches on as many threads as there are cores; return the number of batches done."""
        company, all_threads = LOAD.threads(self.program.threads), self.program.threads
        if company < all_threads:
            self._alone = min(2 * self._alone or _GLANCE, _SLICE)
        else:
            self._alone = 0.0
        if company == 1:
            return self._run(begin, end, close, 1)
        started = time.perf_counter()
        try:
            self._followers.gather(company, started)
            done = self._run(begin, end, close, company)
        finally:
            self._followers.company = 0
        late = bool(self._board[LATE])
        if late or self._board[posts.COMPANY] > 1:
            LOAD.learn(time.perf_counter() - started, late)
        return done

    def _run(self, begin: int, end: int, close: bool, company: int) -> int:
        """Run this thread's part of batches; return how many are done."""
        return self._run_batches(*self._arguments, begin, end, close, company)
