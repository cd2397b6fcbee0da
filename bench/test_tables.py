"""Tables: from a CSV file to arrays, to a trained network, and to a file of predictions."""

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.measure import CLOCK, Pace, Spread, in_turns
from bench.process import cost
from bench.report import Target
from bench.sections import TABLE_COMMANDS, TABLE_READING

ROWS, COLUMNS = 500_000, 20
LARGE = 5_000_000
QUICK_ROWS = 20_000
READING, TRAINING, PREDICTING = Target(1.5, False), Target(4, False), Target(3, False)
TRAINING_PEAK, LARGE_SECONDS = Target(500, False), Target(30, False)
LARGE_PEAK = Target(2 * LARGE * COLUMNS * 4 / 1e6, False)  # twice the float32 numbers
ROUNDS, QUICK_ROUNDS, COMMAND_ROUNDS = 9, 1, 5

needs_costs = pytest.mark.skipif(
    not hasattr(os, "wait4"), reason="needs the costs of a child process"
)
pytestmark = pytest.mark.benchmark(group="tables", timer=CLOCK)


class Call:
    """A function that can be timed: `time` calls it once, whatever seconds are given."""

    def __init__(self, function: Callable[[], object]):
        self.function = function

    def time(self, seconds: float) -> float:
        """Return the seconds of a call."""
        began = time.perf_counter()
        self.function()
        return time.perf_counter() - began


def write_table(path: Path, rows: int) -> None:
    """Write a CSV file of random numbers, whose last column depends on two others."""
    block = min(rows, 50_000)
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(",".join(f"c{i}" for i in range(COLUMNS)) + ",y\n")
        for _ in range(rows // block):
            x = rng.standard_normal((block, COLUMNS))
            y = 2 * x[:, 0] + np.sin(x[:, 1]) + 0.1 * rng.standard_normal(block)
            np.savetxt(file, np.column_stack([x, y]), fmt="%.5g", delimiter=",")


@pytest.fixture(scope="module")
def table(request) -> Iterator[Path]:
    """Yield a CSV file."""
    quick = request.config.getoption("--quick")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "table.csv")
        write_table(path, QUICK_ROWS if quick else ROWS)
        yield path


def by_pandas(path: Path) -> None:
    """Read and prepare a table as users of scikit-learn do."""
    import pandas
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pandas.read_csv(path)
    train, test = train_test_split(frame, test_size=0.2, random_state=0)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prepare = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=object)),
    )
    prepare.fit(train.drop(columns="y"))
    for part in (train, test):
        prepare.transform(part.drop(columns="y")).astype(np.float32)


def test_reading(table, benchmark, quick, record):
    """Compare reading and preparing with DuckDB's own way to NumPy, and with pandas."""
    import duckdb

    import fastnn

    def by_duckdb():
        return duckdb.connect().execute(f"FROM '{table}'").fetchnumpy()

    sides = {
        "fastnn": Call(lambda: fastnn.datasets.load(table, target="y")),
        "duckdb": Call(by_duckdb),
    }
    if importlib.util.find_spec("pandas"):
        sides["pandas"] = Call(lambda: by_pandas(table))
    for side in sides.values():
        side.function()
    rounds = in_turns(benchmark, sides, Pace(QUICK_ROUNDS if quick else ROUNDS, 0))
    record(TABLE_READING, "fastnn, read and prepared", "s", rounds.of("fastnn"))
    record(TABLE_READING, "DuckDB alone, to NumPy", "s", rounds.of("duckdb"))
    ratio = rounds.ratio("fastnn", "duckdb")
    record(TABLE_READING, "fastnn, read and prepared", "times DuckDB alone", ratio, READING)
    if "pandas" in sides:
        record(TABLE_READING, "pandas and scikit-learn", "s", rounds.of("pandas"))


def _run(record, subject: str, command: list[str], rounds: int, target: Target, peak=None) -> None:
    """Record seconds and peak memory of a command, started some times after a first one."""
    costs = [cost(command) for _ in range(rounds + 1)][1 if rounds > 1 else 0 :]
    record(TABLE_COMMANDS, subject, "s", Spread.of(each.seconds for each in costs), target)
    memory = Spread.of(each.peak_bytes / 1e6 for each in costs)
    record(TABLE_COMMANDS, subject, "peak memory, MB", memory, peak)


def _fastnn(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "fastnn", *map(str, arguments)]


@needs_costs
def test_commands(table, quick, record):
    """Measure training on a table, and predicting from CSV to CSV."""
    out, rounds = table.parent / "run", QUICK_ROUNDS if quick else COMMAND_ROUNDS
    train = _fastnn("train", table, "--target", "y", "--out", out)
    _run(record, "`fastnn train`", train, rounds, TRAINING, TRAINING_PEAK)
    model, predictions = out / "model.safetensors", table.parent / "predictions.csv"
    predict = _fastnn("predict", model, table, "--out", predictions)
    _run(record, "`fastnn predict`, CSV to CSV", predict, rounds, PREDICTING)


@needs_costs
@pytest.mark.full
def test_large(record, tmp_path):
    """Measure reading and preparing 5,000,000 rows of 20 numbers."""
    path = tmp_path / "large.csv"
    write_table(path, LARGE)
    code = "import sys, fastnn; fastnn.datasets.load(sys.argv[1], target='y')"
    command = [sys.executable, "-P", "-c", code, str(path)]
    _run(record, "5,000,000 rows, read and prepared", command, 1, LARGE_SECONDS, LARGE_PEAK)
