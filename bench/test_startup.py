"""Startup: from process start to a trained digits model, and to the files of `fastnn train`."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.measure import CLOCK, Pace, Spread, Timeable, in_turns
from bench.peers import PEERS
from bench.process import CommandError, Cost, cost
from bench.report import Target
from bench.sections import COMMAND, COMMAND_MEMORY, TRAINED
from bench.whole_run import command

GOALS = (97.0,)

COLD, WARM, TRAINING = Target(15, False), Target(2.5, False), Target(0.3, False)
PYTORCH_SCRIPT = Path(__file__).parent / "peers" / "mnist_torch.py"
DATA_SET = 70_000 * (784 + 8)  # bytes of pictures and of int64 labels
PEAK = Target(DATA_SET / 1e6 + 150, False)
COLD_ROUNDS, COLD_TRAINED_ROUNDS, ROUNDS, PEER_ROUNDS, MEMORY_ROUNDS = 3, 2, 11, 7, 3
QUICK_ROUNDS = 1
EPOCHS, ROWS, QUICK_ROWS = 1, 60_000, 2_000

pytestmark = [
    pytest.mark.benchmark(group="starting", timer=CLOCK),
    pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the costs of a child process"),
]


def fastnn(*arguments: str) -> list[str]:
    """Return the command line of fastnn as installed beside this Python, else of its module."""
    script = shutil.which("fastnn", path=str(Path(sys.executable).parent))
    start = [script] if script else [sys.executable, "-P", "-m", "fastnn"]
    return [*start, *arguments]


def python(code: str) -> list[str]:
    """Return the command line of a Python process that runs only this code."""
    return [sys.executable, "-P", "-c", code]


class Command(NamedTuple):
    """A command that can be timed: `time` runs it once, whatever seconds are given."""

    command: list[str]
    environment: Mapping[str, str]
    costs: list[Cost]

    def time(self, seconds: float) -> float:
        """Return the seconds from start to end."""
        self.costs.append(cost(self.command, self.environment))
        return self.costs[-1].seconds

    @property
    def megabytes(self) -> Spread:
        """Peak memory of the runs so far in MB."""
        return Spread.of(each.peak_bytes / 1e6 for each in self.costs)


def caches(folder: Path) -> dict[str, str]:
    """Return an environment in which all caches between runs are in a folder."""
    return {"FASTNN_CACHE_DIR": str(folder / "kernels"), "MPLCONFIGDIR": str(folder / "fonts")}


def training_seconds(out: Path) -> float:
    """Return the seconds of all epochs in the history that `fastnn train` wrote."""
    history = json.loads((out / "history.json").read_text(encoding="utf-8"))
    return sum(history.get("history", history)["seconds"])


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield an empty folder, and remove it afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def compiled(request) -> Iterator[dict[str, str]]:
    """Yield an environment in which all kernels are compiled; with --quick, the user's own."""
    if request.config.getoption("--quick"):
        yield {}
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        environment = caches(Path(name))
        cost(fastnn("train", "--epochs", "1", "--out", str(Path(name) / "out")), environment)
        yield environment


@pytest.mark.full
def test_cold(folder, benchmark, record):
    """Measure the first run ever: no kernels compiled, no list of fonts by matplotlib."""

    class Cold:
        rounds = 0

        def time(self, seconds: float) -> float:
            self.rounds += 1
            place = folder / str(self.rounds)
            return cost(fastnn("train", "--out", str(place / "out")), caches(place)).seconds

    rounds = in_turns(benchmark, {"fastnn": Cold()}, Pace(COLD_ROUNDS, 0))
    record(COMMAND, "cold: the first ever", "s", rounds.of("fastnn"), COLD)


def test_warm(folder, compiled, benchmark, quick, record):
    """Measure with compiled kernels, and the share of training."""
    out = folder / "out"
    train = Command(fastnn("train", "--out", str(out)), compiled, [])
    training: list[float] = []

    class Train:
        def time(self, seconds: float) -> float:
            elapsed = train.time(seconds)
            training.append(training_seconds(out))
            return elapsed

    sides: dict[str, Timeable] = {
        "fastnn": Train(),
        "numba": Command(python("import numba"), {}, []),
        "torch": Command(python("import torch"), {}, []),
    }
    rounds = in_turns(benchmark, sides, Pace(QUICK_ROUNDS if quick else ROUNDS, 0))
    record(COMMAND, "warm", "s", rounds.of("fastnn"), WARM)
    record(COMMAND, "of which training", "s", Spread.of(training), TRAINING)
    record(COMMAND, "`import numba` alone", "s", rounds.of("numba"))
    record(COMMAND, "`import torch` alone", "s", rounds.of("torch"))


@pytest.mark.full
def test_trained_cold(folder, benchmark, record):
    """Measure training on digits, with nothing compiled yet."""

    class Cold:
        rounds = 0

        def time(self, seconds: float) -> float:
            self.rounds += 1
            run = command("fastnn", "digits", folder / "out.json", goals=GOALS, threads=1)
            return cost(run, caches(folder / str(self.rounds))).seconds

    rounds = in_turns(benchmark, {"fastnn": Cold()}, Pace(COLD_TRAINED_ROUNDS, 0))
    record(TRAINED, "fastnn, cold: the first ever", "s", rounds.of("fastnn"))


def test_trained(folder, compiled, benchmark, quick, peers, record, report):
    """Compare training on digits with peers; fastnn's kernels are compiled beforehand."""

    def run(library):
        return command(library, "digits", folder / f"{library}.json", goals=GOALS, threads=1)

    sides: dict[str, Timeable] = {"fastnn": Command(run("fastnn"), compiled, [])}
    for library in peers:
        reason = PEERS[library].missing()
        report.note(f"test_trained: {PEERS[library].title}", reason)
        if reason is None and library != "compile":
            sides[library] = Command(run(library), {}, [])
    if PEERS["torch"].missing() is None:
        sides["import"] = Command(python("import torch"), {}, [])
    rounds = in_turns(benchmark, sides, Pace(QUICK_ROUNDS if quick else PEER_ROUNDS, 0))
    results = {
        library: json.loads((folder / f"{library}.json").read_text(encoding="utf-8"))
        for library in sides
        if library != "import"
    }
    for library, result in results.items():
        name = "fastnn, warm" if library == "fastnn" else PEERS[library].title
        record(TRAINED, name, "s", rounds.of(library))
        record(TRAINED, name, "of which training", result["seconds"])
        record(TRAINED, name, "test accuracy, %", result["accuracy"])
    if "import" in sides:
        record(TRAINED, "`import torch` alone", "s", rounds.of("import"))
        ratio = rounds.ratio("import", "fastnn")
        record(TRAINED, "`import torch` alone", "times fastnn, warm", ratio, Target(1.0))
    assert all(result["goals"] for result in results.values())


@pytest.mark.full
def test_trained_compiled_by_torch(folder, benchmark, peers, record, report):
    """Measure training on digits by torch.compile, once, because it compiles for long."""
    reason = PEERS["compile"].missing() if "compile" in peers else "not asked for"
    report.note("test_trained: torch.compile", None if "compile" not in peers else reason)
    if reason:
        pytest.skip(reason)
    run = Command(command("compile", "digits", folder / "out.json", goals=GOALS), {}, [])
    rounds = in_turns(benchmark, {"compile": run}, Pace(1, 0))
    record(TRAINED, PEERS["compile"].title, "s", rounds.of("compile"))


def test_memory(folder, compiled, benchmark, quick, record):
    """Measure the memory of 784-128-10, batch 64, with kernels compiled beforehand."""
    words = f"train mnist --hidden 128 --batch-size 64 --epochs {EPOCHS} --out".split()
    train = fastnn(*words, str(folder / "out"))
    few = ["--subset", str(QUICK_ROWS)]
    try:
        cost([*train, *few], compiled)
    except CommandError as error:
        if "could not be downloaded" in str(error):
            pytest.skip("MNIST is neither in FASTNN_DATA nor to be downloaded")
        raise
    rows = str(QUICK_ROWS if quick else ROWS)
    script = [sys.executable, str(PYTORCH_SCRIPT), str(EPOCHS), rows, str(folder / "torch.pt")]
    sides = {
        "fastnn": Command([*train, *few] if quick else train, compiled, []),
        "torch": Command(script, {}, []),
        "numba": Command(python("import numba"), {}, []),
    }
    in_turns(benchmark, sides, Pace(QUICK_ROUNDS if quick else MEMORY_ROUNDS, 0))
    record(COMMAND_MEMORY, "`fastnn train mnist`", "MB", sides["fastnn"].megabytes, PEAK)
    record(COMMAND_MEMORY, "the same by PyTorch", "MB", sides["torch"].megabytes)
    record(COMMAND_MEMORY, "`import numba` alone", "MB", sides["numba"].megabytes)
    record(COMMAND_MEMORY, "the data set", "MB", DATA_SET / 1e6)
