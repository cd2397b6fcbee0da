"""Options of the suite, and what its tests share: workers, pace, and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.measure import FULL, QUICK, Pace, Threads, fastest_count
from bench.report import Figure, Report, figure
from bench.worker import Side, Worker

_REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fastnn's benchmarks")
    group.addoption(
        "--quick", action="store_true", help="few sizes and rounds, to try the suite itself"
    )
    group.addoption(
        "--results", type=Path, default=Path(__file__).parent / "results",
        help="folder for the JSON and the table (default: bench/results)",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: left out with --quick")
    config.stash[_REPORT] = Report(quick=config.getoption("--quick"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        left_out = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    report = config.stash[_REPORT]
    if not report.figures:
        return
    path = report.write(config.getoption("--results"))
    terminalreporter.write_line("")
    terminalreporter.write(path.with_suffix(".md").read_text(encoding="utf-8"))
    terminalreporter.write_line(f"\nwritten to {path} and {path.with_suffix('.md').name}")


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    """Whether to be quick."""
    return request.config.getoption("--quick")


@pytest.fixture
def pace(quick: bool) -> Pace:
    """Rounds, and seconds a turn."""
    return QUICK if quick else FULL


@pytest.fixture(scope="session")
def workers(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Worker]]:
    """Function that gives the one worker of a library, started when there is none."""
    started: dict[str, Worker] = {}

    def worker(library: str) -> Worker:
        if library not in started or not started[library].alive:
            started[library] = Worker(f"bench.peers.with_{library}")
            request.config.stash[_REPORT].versions.update(started[library].ask("versions"))
        return started[library]

    yield worker
    for each in started.values():
        each.close()


@pytest.fixture
def prepare(workers: Callable[[str], Worker], pace: Pace) -> Iterator[Callable[..., Side]]:
    """Function that prepares an operation of a library, on so many threads or the best number."""
    prepared: list[Side] = []

    def make(library: str, operation: str, *, threads: int | Threads, **arguments) -> Side:
        side = workers(library).prepare(operation, **arguments)
        prepared.append(side)
        if threads is Threads.BEST:
            threads = _best(side, pace)
        side.use_threads(None if threads is Threads.OWN_CHOICE else threads)
        return side

    yield make
    for side in prepared:
        if side.worker.alive:
            side.drop()


def _best(side: Side, pace: Pace) -> int:
    def time_with(count: int) -> float:
        side.use_threads(count)
        return side.time(pace.seconds)

    return fastest_count(time_with)


@pytest.fixture
def record(request: pytest.FixtureRequest, benchmark) -> Callable[..., Figure]:
    """Function that adds a figure to the report, and to pytest-benchmark's extra information."""

    def add(section: str, subject: str, quantity: str, value, target=None) -> Figure:
        made = figure(section, subject, quantity, value, target)
        request.config.stash[_REPORT].figures.append(made)
        benchmark.extra_info[quantity] = made.to_dict()
        return made

    return add
