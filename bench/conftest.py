"""Options of the suite, and fixtures of its tests: workers, pace, and the report."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.measure import FULL, QUICK, Pace, Threads, fastest_count, thread_counts
from bench.peers import PEERS
from bench.report import Figure, Report, figure
from bench.worker import Side, Worker, WorkerError

_REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fastnn's benchmarks")
    group.addoption(
        "--quick", action="store_true", help="few sizes and rounds, to try the suite itself"
    )
    group.addoption(
        "--peers",
        type=_peers,
        default=[name for name in PEERS if name != "fastnn"],
        help=f"libraries to compare with, by commas (default: all of {', '.join(PEERS)})",
    )
    group.addoption(
        "--fresh", action="store_true", help="forget earlier results, rather than add to them"
    )
    group.addoption(
        "--results",
        type=Path,
        default=Path(__file__).parent / "results",
        help="folder for the JSON and the table (default: bench/results)",
    )


def _peers(text: str) -> list[str]:
    """Return the names of peers in a comma-separated text."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)} is none of the peers {', '.join(PEERS)}"
        )
    return [name for name in names if name != "fastnn"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: left out with --quick")
    path, quick = _path(config), config.getoption("--quick")
    fresh = config.getoption("--fresh") or not path.exists()
    try:
        report = Report(quick=quick) if fresh else Report.read(path)
    except ValueError as error:
        raise pytest.UsageError(f"{error}; --fresh begins a new file") from None
    report.start()
    config.stash[_REPORT] = report


def _path(config: pytest.Config) -> Path:
    """Return the path of the results."""
    return config.getoption("--results") / (
        "quick.json" if config.getoption("--quick") else "latest.json"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        left_out = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Write the figures of a test, and whether it failed, as soon as it is done."""
    outcome = yield
    result = outcome.get_result()
    report = item.config.stash[_REPORT]
    if result.failed:
        report.note(item.name, _last_line(result))
    elif result.when == "call" and result.passed:
        report.note(item.name, None)
    if result.when == "teardown" and report.measured:
        report.write(_path(item.config))


def _last_line(result: pytest.TestReport) -> str:
    """Return the first line of an error's message."""
    crash = getattr(result.longrepr, "reprcrash", None)
    text = crash.message if crash else str(result.longrepr)
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[0] if lines else "failed"


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if not config.stash[_REPORT].measured:
        return
    from bench.pages import write_pages  # imports matplotlib only after all measurements

    path = _path(config)
    pages = write_pages(path)
    terminalreporter.write_line("")
    terminalreporter.write(pages[0].read_text(encoding="utf-8"))
    terminalreporter.write_line(f"\nwritten to {path}, with {', '.join(p.name for p in pages)}")


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    """Return whether `--quick` was given."""
    return request.config.getoption("--quick")


@pytest.fixture
def pace(quick: bool) -> Pace:
    """Return the number of rounds, and the seconds of a turn."""
    return QUICK if quick else FULL


@pytest.fixture
def peers(request: pytest.FixtureRequest) -> list[str]:
    """Return the names of the libraries to compare with."""
    return request.config.getoption("--peers")


@pytest.fixture(scope="session")
def workers(request: pytest.FixtureRequest) -> Iterator[Callable[..., Worker]]:
    """Yield a function that returns the worker of a library, and starts it if needed.

    A library that reads its number of threads only at the start has a worker for each number.
    """
    started: dict[tuple[str, int | None], Worker] = {}

    def worker(library: str, threads: int | None = None) -> Worker:
        key = library, threads
        if key not in started or not started[key].alive:
            variable = PEERS[library].threads_variable
            environment = {variable: str(threads)} if variable and threads else {}
            started[key] = Worker(f"bench.peers.with_{library}", environment)
            request.config.stash[_REPORT].note_versions(started[key].ask("versions"))
        return started[key]

    yield worker
    for each in started.values():
        each.close()


@pytest.fixture
def prepare(workers: Callable[..., Worker], pace: Pace) -> Iterator[Callable[..., Side]]:
    """Yield a function that prepares a library's operation for a number of threads, or the best."""
    prepared: list[Side] = []

    def side_on(library: str, operation: str, count: int | None, arguments: dict) -> Side:
        side = workers(library, count).prepare(operation, **arguments)
        prepared.append(side)
        return side

    def best_of_workers(library: str, operation: str, arguments: dict) -> Side:
        """Return the fastest side of several workers with different numbers of threads."""
        sides = {count: side_on(library, operation, count, arguments) for count in thread_counts()}
        best = fastest_count(lambda count: sides[count].time(pace.seconds))
        for count in sides.keys() - {best}:
            sides[count].drop()
            prepared.remove(sides[count])
        sides[best].threads = best
        return sides[best]

    def make(library: str, operation: str, *, threads: int | Threads, **arguments) -> Side:
        fixed = PEERS[library].threads_variable is not None
        if fixed and threads is Threads.BEST:
            return best_of_workers(library, operation, arguments)
        given = threads if isinstance(threads, int) else None
        side = side_on(library, operation, given if fixed else None, arguments)
        if threads is Threads.BEST:
            threads = _best(side, pace)
        side.use_threads(None if threads is Threads.OWN_CHOICE else threads)
        return side

    yield make
    for side in prepared:
        if side.worker.alive:
            side.drop()


@pytest.fixture
def prepare_peers(
    request: pytest.FixtureRequest, prepare: Callable[..., Side], peers: list[str], report: Report
) -> Callable[..., dict[str, Side]]:
    """Return a function that prepares an operation of all peers that have it.

    A peer that is missing or fails is left out, and the report says why.
    """

    def make(operation: str, among=(), *, threads: int | Threads, **arguments) -> dict[str, Side]:
        sides = {}
        for library in (peer for peer in peers if peer in (among or PEERS)):
            reason = PEERS[library].missing()
            try:
                if reason is None:
                    sides[library] = prepare(library, operation, threads=threads, **arguments)
            except WorkerError as error:
                reason = str(error).strip().splitlines()[-1]
                if "NotImplementedError" in reason:
                    continue
            title = PEERS[library].title
            report.note(f"{request.node.name}: {title}", reason)
            if reason is not None:
                warnings.warn(f"{title} is left out: {reason}", stacklevel=2)
        return sides

    return make


def _best(side: Side, pace: Pace) -> int:
    def time_with(count: int) -> float:
        side.use_threads(count)
        return side.time(pace.seconds)

    return fastest_count(time_with)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Return the report with all figures so far, including those of earlier runs."""
    return request.config.stash[_REPORT]


@pytest.fixture
def record(report: Report, benchmark) -> Callable[..., Figure]:
    """Return a function that adds a figure to the report, and to pytest-benchmark's extra info."""

    def add(section: str, subject: str, quantity: str, value, target=None, at=None) -> Figure:
        made = figure(section, subject, quantity, value, target, at)
        report.add(made)
        benchmark.extra_info[quantity] = made.to_dict()
        return made

    return add
