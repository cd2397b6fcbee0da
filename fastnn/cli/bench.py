"""`fastnn bench`: the benchmark suite of a checkout, and its report."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from fastnn.cli.errors import fail, reported_errors
from fastnn.runs.settings import SettingError

_NEEDED = ("pytest", "pytest_benchmark")
_INTERRUPTED = 130  # the exit status that shells give to a program ended by Ctrl-C


def bench(
    groups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GROUP]...",
            help="peak, matmul, elementwise, layers, calls, training, estimators, runs, "
            "startup, tables, quality or growth. [default: all]",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few sizes and rounds: minutes, not to be quoted.")
    ] = False,
    peers: Annotated[
        str | None,
        typer.Option(help="Libraries by commas: torch, compile, jax, sklearn, onnxruntime, numpy."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Folder of the results. [default: bench/results]")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget earlier results, rather than add to them.")
    ] = False,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Redraw tables and pictures; measure nothing.")
    ] = False,
) -> None:
    """Measure fastnn beside its peers, and draw the report; needs a checkout."""
    with reported_errors():
        root = _checkout()
        files = [_test_file(root, group) for group in groups or ()]
        folder = (results or root / "bench" / "results").resolve()
        if redraw:
            _redraw(root, folder / ("quick.json" if quick else "latest.json"))
        options = ["--results", str(folder)]
        options += ["--quick"] * quick + ["--fresh"] * fresh
        options += ["--peers", peers] if peers is not None else []
        paths = [str(each) for each in files] or [str(root / "bench")]
        raise typer.Exit(_run(root, ["pytest", "-q", *paths, *options]))


def _checkout() -> Path:
    """Return the folder with the suite: the current one, or the checkout that fastnn runs from."""
    for root in (Path.cwd(), Path(__file__).parents[2]):
        if (root / "bench" / "workloads.py").is_file():
            break
    else:
        fail(
            "the benchmarks are not part of the installed package: run fastnn bench in a checkout "
            "of the project, where there is a folder bench"
        )
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing).replace("_", "-")
        fail(f'the benchmarks need {names}: pip install ".[bench]"')
    return root


def _test_file(root: Path, group: str) -> Path:
    """Return the file of a group of benchmarks; raise SettingError for an unknown group."""
    known = {each.stem.removeprefix("test_"): each for each in root.glob("bench/test_*.py")}
    if group not in known:
        raise SettingError("group", f"{group!r} is none of {', '.join(sorted(known))}")
    return known[group]


def _redraw(root: Path, path: Path) -> None:
    if not path.is_file():
        fail(f"there are no results in {path}")
    raise typer.Exit(_run(root, ["bench.pages", str(path)]))


def _run(root: Path, arguments: list[str]) -> int:
    """Run a module in the checkout; return its exit status."""
    try:
        return subprocess.run([sys.executable, "-m", *arguments], cwd=root, check=False).returncode
    except KeyboardInterrupt:
        return _INTERRUPTED  # pytest has already said so, and written its results
