"""`fastnn reproduce`: run the experiments of five reports by fastnn and by PyTorch."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastnn.cli.arguments import check_folder
from fastnn.cli.errors import fail, reported_errors
from fastnn.cli.output import say
from fastnn.cli.tables import print_rich
from fastnn.files.texts import visible
from fastnn.runs.settings import SettingError, one_of

if TYPE_CHECKING:
    from fastnn.reports.reproduction import Reproduction

ALL = "all"
_INTERRUPTED = 130  # the exit status that shells give to a program ended by Ctrl-C


def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="single-layer, two-layer, digits-tanh, disk, mnist-linear or all."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("runs", "reproduce"),
    torch: Annotated[
        bool, typer.Option("--torch/--no-torch", help="Run PyTorch from the same start too.")
    ] = True,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the epochs.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Run finished ones again.")] = False,
) -> None:
    """Run a report's experiment; write a page, its figures and results."""
    from fastnn.reports import EXPERIMENTS

    try:
        one_of("name", name, [*EXPERIMENTS, ALL])
    except SettingError as error:
        raise typer.BadParameter(str(error), param_hint="'NAME'") from None
    if torch and importlib.util.find_spec("torch") is None:
        raise typer.BadParameter(
            "PyTorch is not installed; pip install 'fastnn[torch]', or leave it out with "
            "--no-torch",
            param_hint="'--torch'",
        )
    with reported_errors():
        check_folder(out)

        from fastnn.files.atomic import locked
        from fastnn.reports.reproduction import RESULTS, Options, Reproduction

        work = Reproduction(out, Options(torch, quick), progress=sys.stdout.isatty(), say=say)
        names = list(EXPERIMENTS) if name == ALL else [name]
        with locked(out, RESULTS):
            results = _run(work, names, again)
        for each in results:
            _print_results(each)
    say(f"{out}: report.html, results.json, and a folder of figures for each experiment")
    if work.missing:
        fail("; ".join(f"{each} could not run: {why}" for each, why in work.missing.items()))


def _run(work: Reproduction, names: list[str], again: bool) -> list[dict[str, Any]]:
    """Run experiments one after another; on Ctrl-C, keep the finished ones."""
    results: list[dict[str, Any]] = []
    for name in names:
        try:
            found = work.run(name, again)
        except KeyboardInterrupt:
            kept = ", ".join(each["name"] for each in results) or "none"
            fail(
                f"interrupted in {name}; finished and kept in {work.out}: {kept}. The same command "
                "goes on from there",
                _INTERRUPTED,
            )
        if found is not None:
            results.append(found)
    return results


def _print_results(results: dict[str, Any]) -> None:
    """Print a table of an experiment's runs, and its findings."""
    from rich import box
    from rich.padding import Padding
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=f"{results['name']}", title_justify="left"
    )
    for title in ("run", "by", "train loss", "accuracy", "test loss", "accuracy", "seconds"):
        table.add_column(title, justify="left" if title in ("run", "by") else "right")
    for run in results["runs"]:
        for place, (side, made) in enumerate(run["sides"].items()):
            numbers = [
                text
                for part in (made["train"], made["test"])
                for text in (f"{part['loss']:.4g}", f"{part['accuracy']:.2%}")
            ]
            cells = "" if place else run["name"], side, *numbers, f"{made['seconds']:.3g}"
            table.add_row(*map(visible, cells))
    lines = [
        Padding(visible(f"{run['name']}: {line}"), (0, 0, 0, 2))
        for run in results["runs"]
        for line in _lines(run)
    ]
    findings = [
        Padding(visible(f"{finding['question']} {finding['answer']}"), (1, 0, 0, 2))
        for finding in results["findings"]
    ]
    print_rich(table, *lines, *findings, "")


def _lines(run: dict[str, Any]) -> list[str]:
    """Return lines of text: the report's figures, and the difference between the libraries."""
    lines = [f"the report: {run['reported']}"] if run["reported"] else []
    if run["agreement"]:
        a = run["agreement"]
        lines.append(
            f"largest difference in loss {a['largest_difference']:.1e} (epoch {a['at_epoch']}); "
            f"over the first {a['early_epochs']} epochs "
            f"{a['largest_relative_difference_early']:.1e} of it"
        )
    return lines
