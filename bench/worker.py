"""A worker process that times the operations of one library, and the handle to it.

Requests and answers are lines of JSON on the process's standard input and output. The
process runs this file as a script, with the installed fastnn and the `bench` of this file.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

_WARM_SHARE = 8  # timed calls for each untimed one, which warms the caches again


class WorkerError(RuntimeError):
    """Error for a request that a worker could not answer."""


# -------------------------------------------------------------------- in the process


class _Timed:
    """A case, and the number of calls that last as long as the last requested time."""

    def __init__(self, case):
        self._case, self._calls = case, 1
        self.forget()

    def check(self) -> dict[str, float]:
        return self._case.check()

    def time(self, seconds: float) -> float:
        """Return the mean seconds of a call, from enough calls to last about `seconds`."""
        while True:
            asked = self._calls
            if asked > 1:
                self._run(max(1, asked // _WARM_SHARE))
            before = time.process_time()
            elapsed = self._run(asked)
            cpu = time.process_time() - before
            self._calls = max(1, min(round(asked * seconds / max(elapsed, 1e-9)), 10 * asked))
            if elapsed > seconds / 2:
                self._timed, self._cpu = self._timed + asked, self._cpu + cpu
                return elapsed / asked

    def forget(self) -> None:
        """Forget the CPU time of the calls so far."""
        self._timed, self._cpu = 0, 0.0

    def cpu(self) -> float:
        """Return the mean CPU time of the timed calls in seconds, that of all threads together."""
        return self._cpu / self._timed

    def _run(self, calls: int) -> float:
        call = self._case.call
        gc.disable()
        started = time.perf_counter()
        for _ in itertools.repeat(None, calls):
            call()
        elapsed = time.perf_counter() - started
        gc.enable()
        return elapsed


class _Server:
    """Server in the worker process; its methods are the requests."""

    def __init__(self, module):
        self._module = module
        self._cases: dict[int, _Timed] = {}
        self._numbers = itertools.count()

    def versions(self) -> dict[str, str]:
        return self._module.VERSIONS

    def threads(self, count: int | None) -> None:
        self._module.set_threads(count)
        for case in self._cases.values():
            case.forget()

    def prepare(self, operation: str, arguments: dict[str, Any]) -> int:
        number = next(self._numbers)
        self._cases[number] = _Timed(self._module.OPERATIONS[operation](**arguments))
        return number

    def check(self, case: int) -> dict[str, float]:
        return self._cases[case].check()

    def time(self, case: int, seconds: float) -> float:
        return self._cases[case].time(seconds)

    def cpu(self, case: int) -> float:
        return self._cases[case].cpu()

    def drop(self, case: int) -> None:
        del self._cases[case]
        gc.collect()

    def answer(self, line: str) -> dict[str, Any]:
        try:
            name, arguments = json.loads(line)
            return {"result": getattr(self, name)(**arguments)}
        except Exception:
            return {"error": traceback.format_exc()}


def serve(module_name: str, requests: IO[str], answers: IO[str]) -> None:
    """Answer requests to the operations of a module until the input ends."""
    server = _Server(importlib.import_module(module_name))
    for line in requests:
        answers.write(json.dumps(server.answer(line)) + "\n")
        answers.flush()


def _main() -> None:
    # Output that a library prints goes to stderr, so that it does not mix with the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.path.append(str(Path(__file__).parents[1]))
    serve(sys.argv[1], sys.stdin, answers)


# ----------------------------------------------------------------- from the other side


class Worker:
    """Handle of a process for the operations of one module, which is started at once.

    `environment` is added to this process's environment.
    """

    def __init__(self, module_name: str, environment: Mapping[str, str] | None = None):
        self.module_name = module_name
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, module_name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict(environment or {}),
        )

    def ask(self, request: str, **arguments) -> Any:
        """Return the result of a server method; raise WorkerError if it or the process fails."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        try:
            requests.write(json.dumps([request, arguments]) + "\n")
            requests.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"the worker for {self.module_name} ended at {request!r}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.module_name}: {request!r} failed\n{answer['error']}")
        return answer["result"]

    def prepare(self, operation: str, **arguments) -> Side:
        """Return an operation with its inputs, which has run once and was checked."""
        return Side(self, self.ask("prepare", operation=operation, arguments=arguments))

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Side:
    """One side of a comparison: an operation in a worker, ready to be timed."""

    def __init__(self, worker: Worker, case: int, threads: int | None = None):
        self.worker, self.case, self.threads = worker, case, threads
        self.facts: dict[str, float] = worker.ask("check", case=case)

    def time(self, seconds: float) -> float:
        """Return the mean seconds of a call, from enough calls to last about `seconds`."""
        return self.worker.ask("time", case=self.case, seconds=seconds)

    def cpu(self) -> float:
        """Return the mean CPU time in seconds of the calls timed with this number of threads."""
        return self.worker.ask("cpu", case=self.case)

    def use_threads(self, count: int | None) -> None:
        """Set the worker's number of threads; None lets the library choose."""
        self.worker.ask("threads", count=count)
        self.threads = count

    def drop(self) -> None:
        """Free the memory of the inputs."""
        self.worker.ask("drop", case=self.case)


if __name__ == "__main__":
    _main()
