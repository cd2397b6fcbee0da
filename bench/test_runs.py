"""Whole runs: seconds to a test accuracy on MNIST, a fit on digits, and their peak memory."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.measure import CLOCK, Pace, Rounds, Spread, Threads, cores, fastest_count, in_turns
from bench.peers import PEERS
from bench.process import CommandError, Cost, cost
from bench.report import Target
from bench.sections import FIT, RUN_MEMORY, TO_ACCURACY
from bench.whole_run import command
from bench.workloads import DIGITS_FIT

GOALS, QUICK_GOALS = (97.0, 98.0), (80.0, 85.0)
QUARTER, HALF = Target(4.0), Target(2.0)
ROUNDS, EPOCHS = 3, 25
SEVERAL_TIMES = ("fastnn", "torch", "jax")  # the others take long, so they run once
QUICK_ROWS, QUICK_PEERS = 6_000, ("torch", "jax")
WORST_POINTS = 0.3  # allowed difference of accuracy in % from PyTorch

needs_costs = pytest.mark.skipif(
    not hasattr(os, "wait4"), reason="needs the costs of a child process"
)
pytestmark = pytest.mark.benchmark(group="runs", timer=CLOCK)


class Run:
    """Whole runs by one library; each call of `time` makes one, with another seed."""

    def __init__(self, library: str, task: str, folder: Path, **options):
        self.library, self.task, self.out = library, task, folder / f"{library}.json"
        self.options, self.threads = options, None
        self.costs: list[Cost] = []
        self.results: list[dict] = []

    def once(self, **changes) -> dict:
        """Run once; return the results that the run wrote."""
        options = {"threads": self.threads} | self.options | changes
        self.costs.append(cost(command(self.library, self.task, self.out, **options)))
        return json.loads(self.out.read_text(encoding="utf-8"))

    def time(self, seconds: float) -> float:
        """Return the seconds of training until all goals are reached."""
        self.results.append(self.once(seed=len(self.results)))
        return self.results[-1]["seconds"]

    def find_threads(self) -> None:
        """Set `threads` to the number with which an epoch is fastest."""

        def epoch(count: int) -> float:
            return self.once(threads=count, goals=(), epochs=1)["seconds"]

        self.threads = fastest_count(epoch, trials=1)
        self.costs.clear()

    @property
    def megabytes(self) -> Spread:
        """Peak memory of the runs so far in MB."""
        return Spread.of(each.peak_bytes / 1e6 for each in self.costs)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield an empty folder, and remove it afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
def runs(folder, peers, report, request):
    """Return a function that makes a run by each library; the report says why one cannot run."""

    def make(task, among=PEERS, **options) -> dict[str, Run]:
        made = {}
        for library in ("fastnn", *(peer for peer in peers if peer in among)):
            title = PEERS[library].title
            reason, run = PEERS[library].missing(), Run(library, task, folder, **options)
            try:
                if reason is None:
                    if library != "compile":  # it would compile again for each number of threads
                        run.find_threads()
                    made[library] = run
            except CommandError as error:
                reason = str(error).strip().splitlines()[-1]
                if "could not be downloaded" in reason:
                    pytest.skip("MNIST is neither in FASTNN_DATA nor to be downloaded")
                if library == "fastnn":
                    pytest.fail(reason)
            report.note(f"{request.node.name}: {title}", reason)
        return made

    return make


@needs_costs
def test_mnist(runs, benchmark, quick, record):
    """Measure the seconds until accuracies are reached, and memory, with float32 samples."""
    goals = QUICK_GOALS if quick else GOALS
    rows = QUICK_ROWS if quick else None
    among = QUICK_PEERS if quick else PEERS
    sides = runs("mnist", among, goals=goals, epochs=EPOCHS, warm=True, rows=rows)
    several = {library: run for library, run in sides.items() if library in SEVERAL_TIMES}
    in_turns(benchmark, several, Pace(1 if quick else ROUNDS, 0))
    for library in sides.keys() - several.keys():
        sides[library].time(0)
    for goal in goals:
        _record_goal(f"{goal:g}", f"{goal:g}%", sides, record)
    for library, run in sides.items():
        title = PEERS[library].title
        last = [result["epochs"] for result in run.results]
        record(TO_ACCURACY, "epochs", title, Spread.of(last))
        record(TO_ACCURACY, "threads", title, run.threads or cores())
        for name in ("accuracy", "loss"):
            found = Spread.of(result[name] for result in run.results)
            record(TO_ACCURACY, f"{name} then", title, found)
        if "compile_seconds" in run.results[0]:
            compiling = Spread.of(result["compile_seconds"] for result in run.results)
            record(TO_ACCURACY, "compiling before, s", title, compiling)
    _record_memory("MNIST, samples as float32", sides, record, None)
    unreached = [PEERS[each].title for each, run in sides.items() if not _reached(run, goals)]
    assert not unreached, f"not within {EPOCHS} epochs: {', '.join(unreached)}"


def _reached(run, goals) -> bool:
    return all(f"{goal:g}" in result["goals"] for result in run.results for goal in goals)


def _record_goal(goal, name, sides, record):
    seconds = {
        library: [result["goals"][goal] for result in run.results]
        for library, run in sides.items()
        if all(goal in result["goals"] for result in run.results)
    }
    for library in seconds:
        spread = Spread.of(seconds[library])
        record(TO_ACCURACY, f"seconds to {name}", PEERS[library].title, spread)
    for library in seconds:
        if library != "fastnn" and "fastnn" in seconds:
            target = QUARTER if (library, goal) == ("torch", "98") else None
            rounds = len(seconds[library])  # each round has its own seed
            same = {each: seconds[each][:rounds] for each in (library, "fastnn")}
            ratio = Rounds(same).ratio(library, "fastnn")
            record(
                TO_ACCURACY,
                f"times as long as fastnn to {name}",
                PEERS[library].title,
                ratio,
                target,
            )


def _record_memory(subject, sides, record, target):
    for library, run in sides.items():
        record(RUN_MEMORY, subject, PEERS[library].title, run.megabytes)
    if "torch" in sides:
        ratio = sides["torch"].megabytes.median / sides["fastnn"].megabytes.median
        record(RUN_MEMORY, subject, "PyTorch / fastnn", ratio, target)


@needs_costs
def test_memory_of_bytes(runs, benchmark, quick, record):
    """Measure the memory of an epoch of MNIST, with samples as bytes."""
    rows = QUICK_ROWS if quick else None
    sides = runs("mnist-bytes", ("torch", "jax", "numpy"), epochs=1, rows=rows)
    in_turns(benchmark, sides, Pace(1, 0))
    _record_memory("MNIST, samples as bytes", sides, record, HALF)


@needs_costs
def test_memory_of_digits(runs, benchmark, record):
    """Measure the memory of a run on digits until the test accuracy is 97%."""
    sides = runs("digits", ("torch", "jax", "numpy", "sklearn"), goals=(97.0,))
    in_turns(benchmark, sides, Pace(1, 0))
    _record_memory("digits to 97%", sides, record, None)


def test_fit(benchmark, prepare, prepare_peers, pace, record):
    """Measure a fit as in scikit-learn, from arrays to a trained network."""
    settings = dataclasses.asdict(DIGITS_FIT)
    ours = prepare("fastnn", "training", threads=Threads.BEST, **settings)
    theirs = prepare_peers(
        "training", ("torch", "jax", "sklearn", "numpy"), threads=Threads.BEST, **settings
    )
    sides = {"fastnn": ours} | theirs
    rounds = in_turns(benchmark, sides, pace)
    for library, side in sides.items():
        title = PEERS[library].title
        record(FIT, title, "milliseconds", rounds.of(library) * 1e3)
        if library != "fastnn":
            record(FIT, title, "times as long as fastnn", rounds.ratio(library, "fastnn"))
        record(FIT, title, "test loss", side.facts["loss"])
        record(FIT, title, "test accuracy, %", side.facts["accuracy"])
    if "torch" in theirs:
        for library, side in sides.items():
            points = abs(side.facts["accuracy"] - theirs["torch"].facts["accuracy"])
            assert points <= WORST_POINTS, f"{library}: {points:.2f} points from PyTorch"
