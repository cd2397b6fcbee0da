"""Starting: `fastnn train` from process start to files written, and the memory it takes."""

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
from bench.process import CommandError, Cost, cost
from bench.report import Target

TIME = "`fastnn train` on digits, seconds from process start to files written"
MEMORY = "Peak memory while training MNIST, MB"

COLD, WARM, TRAINING = Target(15, False), Target(2.5, False), Target(0.3, False)
PYTORCH_SCRIPT = Path(__file__).parent / "peers" / "mnist_torch.py"
DATA_SET = 70_000 * (784 + 8)  # bytes of pictures, and labels as int64
PEAK = Target(DATA_SET / 1e6 + 150, False)
COLD_ROUNDS, ROUNDS, MEMORY_ROUNDS, QUICK_ROUNDS = 3, 11, 3, 1
EPOCHS, ROWS, QUICK_ROWS = 1, 60_000, 2_000

pytestmark = [
    pytest.mark.benchmark(group="starting", timer=CLOCK),
    pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the costs of a child process"),
]


def fastnn(*arguments: str) -> list[str]:
    """The command line as installed beside this Python, or else found on its path."""
    script = shutil.which("fastnn", path=str(Path(sys.executable).parent))
    start = [script] if script else [sys.executable, "-P", "-m", "fastnn"]
    return [*start, *arguments]


def python(code: str) -> list[str]:
    """A Python process that does no more than this."""
    return [sys.executable, "-P", "-c", code]


class Command(NamedTuple):
    """A command that takes its turn: each is one call, whatever seconds are asked for."""

    command: list[str]
    environment: Mapping[str, str]
    costs: list[Cost]

    def time(self, seconds: float) -> float:
        """Seconds from start to end."""
        self.costs.append(cost(self.command, self.environment))
        return self.costs[-1].seconds

    @property
    def megabytes(self) -> Spread:
        """Peak memory of the runs so far."""
        return Spread.of(each.peak_bytes / 1e6 for each in self.costs)


def caches(folder: Path) -> dict[str, str]:
    """Environment in which everything kept between runs is kept in a folder."""
    return {"FASTNN_CACHE_DIR": str(folder / "kernels"), "MPLCONFIGDIR": str(folder / "fonts")}


def training_seconds(out: Path) -> float:
    """Seconds of all epochs, as `fastnn train` wrote them."""
    history = json.loads((out / "history.json").read_text(encoding="utf-8"))
    return sum(history.get("history", history)["seconds"])


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def compiled(request) -> Iterator[dict[str, str]]:
    """Environment in which everything is compiled: with --quick, the user's own."""
    if request.config.getoption("--quick"):
        yield {}
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        environment = caches(Path(name))
        cost(fastnn("train", "--epochs", "1", "--out", str(Path(name) / "out")), environment)
        yield environment


@pytest.mark.full
def test_cold(folder, benchmark, record):
    """Nothing compiled yet, not even matplotlib's list of fonts."""

    class Cold:
        rounds = 0

        def time(self, seconds: float) -> float:
            self.rounds += 1
            place = folder / str(self.rounds)
            return cost(fastnn("train", "--out", str(place / "out")), caches(place)).seconds

    rounds = in_turns(benchmark, {"fastnn": Cold()}, Pace(COLD_ROUNDS, 0))
    record(TIME, "cold: the first ever", "s", rounds.of("fastnn"), COLD)


def test_warm(folder, compiled, benchmark, quick, record):
    """Everything compiled; and what of it is training."""
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
    record(TIME, "warm", "s", rounds.of("fastnn"), WARM)
    record(TIME, "of which training", "s", Spread.of(training), TRAINING)
    record(TIME, "`import numba` alone", "s", rounds.of("numba"))
    record(TIME, "`import torch` alone", "s", rounds.of("torch"))


def test_memory(folder, compiled, benchmark, quick, record):
    """784-128-10, batch 64, with the kernels compiled beforehand."""
    train = fastnn(
        "train", "mnist", "--hidden", "128", "--batch-size", "64", "--epochs", str(EPOCHS),
        "--out", str(folder / "out"),
    )  # fmt: skip
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
    record(MEMORY, "`fastnn train mnist`", "MB", sides["fastnn"].megabytes, PEAK)
    record(MEMORY, "the same by PyTorch", "MB", sides["torch"].megabytes)
    record(MEMORY, "`import numba` alone", "MB", sides["numba"].megabytes)
    record(MEMORY, "the data set", "MB", DATA_SET / 1e6)
