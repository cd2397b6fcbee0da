"""`fastnn sweep`: train many networks on one data set in parallel processes."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastnn.cli import table_options as options
from fastnn.cli.arguments import check_folder, given, read_settled
from fastnn.cli.errors import fail, reported_errors
from fastnn.cli.output import say
from fastnn.cli.results import print_best, print_comparison, print_results, score_of, write_picture
from fastnn.cli.summary import print_summary
from fastnn.runs.search import grid, read_choices, sample
from fastnn.runs.settings import OF_TABLES, SettingError, Settings, key_of

if TYPE_CHECKING:
    from fastnn.data.dataset import Dataset
    from fastnn.runs.sweep import Sweep

_INTERRUPTED = 130
_CHOSEN = (
    "hidden", "activation", "dropout", "loss", "optimizer", "lr", "momentum", "weight_decay",
    "schedule", "batch_size", "epochs", "norm", "label_smoothing", "seed",
)  # fmt: skip


def _choice(description: str):
    return typer.Option(metavar="A,B,...", help=description)


Texts = list[str] | None


def sweep(
    context: typer.Context,
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="A data set or a file, as in fastnn train.")
    ] = Settings.dataset,
    hidden: Annotated[
        Texts, _choice("Widths: 32,64,128; 64-32 for two layers, 0 for none. [default: 100]")
    ] = None,
    activation: Annotated[Texts, _choice("Activations, as in fastnn train.")] = None,
    dropout: Annotated[Texts, _choice("Shares dropped behind each activation.")] = None,
    loss: Annotated[Texts, _choice("Losses.")] = None,
    optimizer: Annotated[Texts, _choice("Optimizers.")] = None,
    lr: Annotated[Texts, _choice("Learning rates, or with --random a range 0.001:0.1.")] = None,
    momentum: Annotated[Texts, _choice("Momenta, for optimizers that have one.")] = None,
    weight_decay: Annotated[Texts, _choice("Weight decays.")] = None,
    schedule: Annotated[Texts, _choice("Schedules.")] = None,
    batch_size: Annotated[Texts, _choice("Rows in a step.")] = None,
    epochs: Annotated[Texts, _choice("Passes over the rows.")] = None,
    norm: Annotated[Texts, _choice("Normalisations of hidden layers.")] = None,
    label_smoothing: Annotated[Texts, _choice("Shares of label smoothing.")] = None,
    seed: Annotated[Texts, _choice("Seeds; with several, settings rank by their mean.")] = None,
    random: Annotated[
        int | None,
        typer.Option(metavar="N", help="Train N random combinations. [default: all there are]"),
    ] = None,
    search_seed: Annotated[int, typer.Option(help="Seed of --random.")] = 0,
    subset: Annotated[
        int | None, typer.Option(help="Training rows to take. [default: all]")
    ] = None,
    validation: Annotated[
        float, typer.Option(help="Share of them to rank by; with 0, the test rows do that.")
    ] = 0.1,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = Settings.dtype,
    target: Annotated[
        str | None, typer.Option(help="Of a file: the column to predict, as in fastnn train.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="classification or regression.")] = None,
    impute: options.Impute = Settings.impute,
    drop: options.Drop = None,
    keep: options.Keep = None,
    categorical: options.Categorical = None,
    numeric: options.Numeric = None,
    dates: options.Dates = None,
    delimiter: options.Delimiter = None,
    decimal: options.Decimal = None,
    thousands: options.Thousands = None,
    encoding: options.Encoding = None,
    header: options.Header = None,
    missing: options.Missing = None,
    comment: options.Comment = None,
    group: options.Group = None,
    time: options.Time = None,
    test_file: options.TestFile = None,
    split_seed: Annotated[int, typer.Option(help="Seed that draws the test rows of a file.")] = 0,
    test: Annotated[float, typer.Option(help="Share of rows to hold out.")] = Settings.test,
    jobs: Annotated[
        int | None, typer.Option(help="Processes, of one thread each. [default: one a core]")
    ] = None,
    torch: Annotated[
        bool, typer.Option("--torch", help="Train them by PyTorch, too, and compare the time.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the sweep in the folder, or add to it.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files. [default: runs/DATASET-sweep]")
    ] = None,
) -> None:
    """Train a network for each combination of settings; keep the best and all results."""
    with reported_errors():
        texts = given(context, _CHOSEN)
        choices = {name: read_choices(name, ",".join(text)) for name, text in texts.items()}
        own = "dataset", "subset", "validation", "dtype", "target", "test", "split_seed"
        fixed = given(context, (*own, *OF_TABLES)) | {"threads": 1}
        for name, number in (("random", random), ("jobs", jobs)):
            if number is not None and number < 1:
                raise SettingError(name, f"{number}; expected a positive integer")
        points = (
            grid(fixed, choices) if random is None else sample(fixed, choices, random, search_seed)
        )
        folder = out or Path("runs", f"{Path(dataset).stem}-sweep")
        if torch:
            _check_torch()
        check_folder(folder)
        with _opened(points, folder) as found:
            _check_folder(found, points, resume)
            data = read_settled(points[0])
            _check_points(points, data)
            print_summary(data)
            _run(found, data, jobs or _cores())
            if found.best is None or found.best.outcome != "finished":
                fail(f"no run came to its end: see {folder / 'results.jsonl'}")
            print_results(found)
            print_best(found, data)
            if torch:
                _compare(found, data, jobs or _cores())
            say(f"{folder}: {', '.join(write_picture(found))}")


def _cores() -> int:
    from kernels.base import host

    return host.cores()


def _check_torch() -> None:
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise SettingError("torch", "PyTorch is not installed; pip install torch")


def _check_points(points: list[Settings], data: Dataset) -> None:
    """Raise SettingError before any training if settings do not fit the data."""
    from fastnn.runs.run import Run

    Run(points[0], data)
    for loss in {each.loss for each in points}:
        dataclasses.replace(points[0], loss=loss).choose_loss(data.task)


def _opened(points: list[Settings], folder: Path) -> Sweep:
    """Return the sweep of a folder; refuse damaged results."""
    from fastnn.runs.results import SweepFileError
    from fastnn.runs.sweep import Sweep

    try:
        return Sweep(points, folder)
    except SweepFileError as error:
        fail(str(error))


def _check_folder(found: Sweep, points: list[Settings], resume: bool) -> None:
    """Refuse results without `resume`, and those of another data set."""
    from fastnn.runs.results import RESULTS

    if found.results and not resume:
        raise SettingError(
            "resume",
            f"{found.folder / RESULTS} has {len(found.results)} results; add --resume to go on "
            "with them, or --out for another folder",
        )
    for result in found.results.values():
        if result.settings.dataset != points[0].dataset:
            path, dataset = found.folder / RESULTS, result.settings.dataset
            raise SettingError("dataset", f"{path} is of {dataset}")


def _run(found: Sweep, data: Dataset, jobs: int) -> None:
    """Train all models that are left, with a progress bar on a terminal."""
    left = len(found.left)
    done = len(found.points) - left
    say(f"{left:,} models to train on {jobs} processes" + (f", {done:,} are done" if done else ""))
    if not left:
        return
    try:
        with _progress(left) as show:
            for _ in found.run(data, jobs):
                note = f"{found.rate:.1f} a second  best {score_of(found.best)}"
                show(found.trained, note)
    except KeyboardInterrupt:
        fail(
            f"interrupted after {found.trained:,} of {left:,} models; --resume goes on",
            _INTERRUPTED,
        )
    except Exception as error:
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        if not isinstance(error, TerminatedWorkerError):
            raise
        fail(
            f"a process was ended from outside after {found.trained:,} of {left:,} models, perhaps "
            "for want of memory; --resume goes on, --jobs takes fewer"
        )
    say(f"{found.trained:,} models in {found.seconds:.3g} s: {found.rate:.3g} models a second")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, str], None]]:
    """Show a progress bar on a terminal; yield a function that sets its count and note."""
    if not sys.stdout.isatty():
        yield lambda count, note: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    note = TextColumn("{task.fields[note]}")
    with Progress(
        TextColumn("models"), BarColumn(), MofNCompleteColumn(), Remaining(), note
    ) as bar:
        task = bar.add_task("models", total=total, note="")
        yield lambda count, text: bar.update(task, completed=count, note=text)


def _compare(found: Sweep, data: Dataset, jobs: int) -> None:
    """Train the same networks by PyTorch, and print speed and scores of both libraries."""
    from fastnn.runs import in_torch
    from fastnn.runs.sweep import train_all

    total, seconds, scores = len(found.points), 0.0, []
    with _progress(total) as show:
        trained = train_all(in_torch.train, found.points, data, jobs)
        for count, (seconds, result) in enumerate(trained, 1):
            scores.append(result["val_accuracy"] if data.classes else result["val_loss"])
            show(count, f"PyTorch: {count / seconds:.1f} a second")
    ours = [found.results[key_of(each)] for each in found.points]
    print_comparison(ours, found.rate, total / seconds, scores)
