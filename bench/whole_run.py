"""A whole training run by one library, as a script whose process is measured.

    python bench/whole_run.py torch mnist --goal 97 --goal 98 --out result.json

trains until the test accuracy has reached all goals, at most for `--epochs`, and writes
seconds of training (without evaluation), epochs, loss and accuracy as JSON. With `--warm`
the library compiles before the clock starts, and these seconds are written separately.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def run(
    library: str,
    task: str,
    *,
    goals: list[float],
    epochs: int,
    seed: int = 0,
    threads: int | None = None,
    rows: int | None = None,
    warm: bool = False,
) -> dict[str, Any]:
    """Train; return seconds, epochs, loss, accuracy, and the seconds to each goal."""
    from bench import data
    from bench.workloads import WHOLE_RUNS

    workload = WHOLE_RUNS[task]
    workload = dataclasses.replace(workload, samples=min(rows or sys.maxsize, workload.samples))
    module = importlib.import_module(f"bench.learners.with_{library}")
    learner = module.Learner(workload, data.samples(workload), threads)
    result: dict[str, Any] = {"goals": {}}
    if warm and learner.compiles:
        from bench.peers import compile_seconds

        result["compile_seconds"] = compile_seconds(lambda: learner.train(1, 0))
    learner.reset(seed)
    clock = _Clock()

    def after_epoch() -> bool:
        clock.stop()
        result["loss"], result["accuracy"] = learner.score()
        result["epochs"] = result.get("epochs", 0) + 1
        for goal in goals:
            if result["accuracy"] >= goal:
                result["goals"].setdefault(f"{goal:g}", clock.seconds)
        clock.start()
        return bool(goals) and len(result["goals"]) == len(goals)

    clock.start()
    learner.train(epochs, seed, after_epoch)
    return result | {"seconds": clock.seconds}


class _Clock:
    """Stopwatch for the sum of the seconds between starts and stops."""

    seconds = 0.0

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> None:
        self.seconds += time.perf_counter() - self._started


def command(library: str, task: str, out: Path, *, goals=(), **options) -> list[str]:
    """Return the command line of a run with options of `run`."""
    words = [sys.executable, "-P", __file__, library, task, "--out", str(out)]
    for goal in goals:
        words += ["--goal", f"{goal:g}"]
    if options.pop("warm", False):
        words.append("--warm")
    for name, value in options.items():
        words += [f"--{name}", str(value)] if value is not None else []
    return words


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library")
    parser.add_argument("task")
    parser.add_argument("--goal", dest="goals", type=float, action="append", default=[])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    given = vars(parser.parse_args())
    out = given.pop("out")
    if given["threads"] is not None:
        os.environ["NPROC"] = str(given["threads"])  # read by JAX
    sys.path.append(str(ROOT))
    out.write_text(json.dumps(run(**given)), encoding="utf-8")


if __name__ == "__main__":
    _main()
