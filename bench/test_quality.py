"""How good the defaults for tables are, beside scikit-learn's at theirs: same rows, five splits."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bench.real_tables import CLASSIFICATIONS, REGRESSIONS, SPLITS, scores, split
from bench.report import Target

SECTIONS = {
    "regression": "Real tables: R2 on a fifth of the rows, mean of five splits",
    "classification": "Real tables: accuracy on a fifth of the rows, mean of five splits",
}
TABLES = {"regression": REGRESSIONS, "classification": CLASSIFICATIONS}
MEAN = "mean of the tables"
WORST = -0.03  # allowed difference to the linear model
QUICK = "mtcars", "iris"

pytestmark = pytest.mark.benchmark(group="quality")


@pytest.mark.parametrize("task", TABLES)
def test_quality(task, quick, benchmark, record):
    names = [name for name in TABLES[task] if not quick or name in QUICK]
    of_all = [of_table(task, name, record) for name in names]
    benchmark.pedantic(lambda: None)  # nothing is timed here
    means = {side: float(np.mean([each[side] for each in of_all])) for side in of_all[0]}
    best = max(value for side, value in means.items() if side != "fastnn")
    for side, value in means.items():
        bound = Target(best) if side == "fastnn" else None
        record(SECTIONS[task], MEAN, side, value, bound)


def of_table(task, name, record):
    """Record the mean scores on a table, and return them."""
    try:
        parts = [split(TABLES[task][name], task, seed) for seed in range(SPLITS)]
    except ImportError as error:
        pytest.skip(f'{error.name} is missing: pip install ".[bench]"')
    # Threads of OpenMP and BLAS that wait for a core would take minutes.
    with threadpool_limits(1):
        found = [scores(each) for each in parts]
    means = {side: float(np.mean([each[side] for each in found])) for side in found[0]}
    for side, value in means.items():
        record(SECTIONS[task], name, side, value)
    behind = means["fastnn"] - means["linear model"]
    record(SECTIONS[task], name, "fastnn - linear model", behind, Target(WORST))
    return means
