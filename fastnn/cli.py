"""The command line: `fastnn train`, `fastnn evaluate` and `fastnn info`.

What takes long to import is imported inside the commands, so that `--help` does not wait.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import fastnn
from fastnn.settings import LOSSES, SettingError, Settings, check_dataset, one_of

if TYPE_CHECKING:
    from fastnn.datasets import Dataset
    from fastnn.history import History
    from fastnn.runs import Run
    from fastnn.sequential import Sequential
    from fastnn.training import NonFiniteLossError

_INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended
_TABLE_ROWS = 10

app = typer.Typer(
    help="Train small neural networks on the CPU, in the blink of an eye.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry point of the `fastnn` command."""
    app(prog_name="fastnn")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fastnn {fastnn.__version__}")
        raise typer.Exit


@app.callback()
def _fastnn(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


# ------------------------------------------------------------------------------- commands

_DATASETS = "digits, mnist, fashion-mnist, disk or two-class."


@app.command()
def train(
    dataset: Annotated[str, typer.Argument(help=_DATASETS)] = Settings.dataset,
    hidden: Annotated[
        list[int] | None,
        typer.Option(help="Width of a hidden layer; repeat for more, 0 for none. [default: 100]"),
    ] = None,
    activation: Annotated[
        str, typer.Option(help="relu, tanh or sigmoid.")
    ] = Settings.activation,
    dropout: Annotated[
        float, typer.Option(help="Share dropped behind each activation.")
    ] = Settings.dropout,
    loss: Annotated[str, typer.Option(help="cross-entropy or mse.")] = Settings.loss,
    optimizer: Annotated[str, typer.Option(help="sgd, adam or adamw.")] = Settings.optimizer,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate. [default: 0.05 for sgd, 0.003 for adam and adamw]"),
    ] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Momentum, for sgd alone. [default: 0.9]")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Weight decay. [default: 0, 0.01 for adamw]")
    ] = None,
    schedule: Annotated[
        str, typer.Option(help="The learning rate: linear (falls to 0) or constant.")
    ] = Settings.schedule,
    batch_size: Annotated[int, typer.Option(help="Rows in a step.")] = Settings.batch_size,
    epochs: Annotated[int, typer.Option(help="Passes over the rows.")] = Settings.epochs,
    subset: Annotated[
        int | None, typer.Option(help="Training rows to take. [default: all]")
    ] = None,
    validation: Annotated[
        float, typer.Option(help="Share of them to validate on; with 0, the test rows do that.")
    ] = Settings.validation,
    seed: Annotated[
        int, typer.Option(help="Seed of initial weights, order of rows and dropout.")
    ] = Settings.seed,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = Settings.dtype,
    threads: Annotated[
        int | None, typer.Option(help="Threads. [default: as many as pay]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files. [default: runs/DATASET]")
    ] = None,
) -> None:
    """Train a network; write the model, its history, and pictures of both."""
    with _usage_errors():
        settings = Settings(
            dataset, tuple(hidden or Settings.hidden), activation, dropout, loss, optimizer, lr,
            momentum, weight_decay, schedule, batch_size, epochs, subset, validation, seed, dtype,
            threads,
        )  # fmt: skip
    folder = out or Path("runs", dataset)
    _check_folder(folder)
    with _usage_errors(), _run_time_errors():
        from fastnn.runs import Run

        run = Run(settings, _dataset(dataset, subset))
        _print_plan(run)
        _train(run, folder)
        test = run.evaluate()
        files = run.write(folder)
    _print_history(run.history)
    typer.echo(
        f"test accuracy {test.accuracy:.2%}, test loss {test.loss:.4g}; "
        f"{run.seconds:.3g} s of training"
    )
    typer.echo(f"{folder}: {', '.join(files)}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="File that `fastnn train` wrote.")],
    dataset: Annotated[str, typer.Argument(help=_DATASETS)],
    loss: Annotated[str, typer.Option(help="cross-entropy or mse.")] = Settings.loss,
) -> None:
    """Print a model's loss and accuracy on the test rows of a data set."""
    with _usage_errors():
        check_dataset(dataset)
        one_of("loss", loss, LOSSES)
    with _run_time_errors():
        chain, data = _model(model), _dataset(dataset)
        _check_fit(chain, model, data)
        result = fastnn.evaluate(
            chain, data.x_test, data.y_test, loss=getattr(fastnn, LOSSES[loss])()
        )
    typer.echo(
        f"accuracy {result.accuracy:.2%}, loss {result.loss:.4g} "
        f"on the {len(data.x_test):,} test rows of {dataset}"
    )


@app.command()
def info(
    model: Annotated[Path, typer.Argument(help="File that `fastnn train` wrote.")],
) -> None:
    """Show what a model file holds."""
    with _run_time_errors():
        chain = _model(model)
        size = model.stat().st_size
    _print_chain(chain)
    typer.echo(f"classes: {', '.join(chain.classes) or 'none'}")
    typer.echo(f"{model}: {size:,} bytes")


# --------------------------------------------------------------------------------- errors


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Report settings that are not allowed as misuse of the command."""
    try:
        yield
    except SettingError as error:
        name = error.setting
        hint = "DATASET" if name == "dataset" else f"--{name.replace('_', '-')}"
        raise typer.BadParameter(str(error), param_hint=f"'{hint}'") from None


@contextmanager
def _run_time_errors() -> Iterator[None]:
    """Report what the machine refuses in one line."""
    try:
        yield
    except OSError as error:
        _fail(str(error))
    except MemoryError as error:
        _fail(f"not enough memory: {error}")


def _fail(message: str) -> None:
    typer.echo(f"fastnn: {message}", err=True)
    raise typer.Exit(1)


def _check_folder(folder: Path) -> None:
    """Make the folder, and see that files can be written there, before there is any to lose."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise typer.BadParameter(
            f"cannot write in {folder}: {error.strerror}", param_hint="'--out'"
        ) from None


def _dataset(name: str, subset: int | None = None) -> Dataset:
    """Load a data set, the same for every run."""
    from fastnn import datasets

    try:
        return datasets.load(name, subset=subset)
    except datasets.SubsetError as error:
        raise SettingError("subset", str(error)) from None
    except ValueError as error:  # a damaged file
        _fail(str(error))
        raise


def _model(path: Path) -> Sequential:
    from fastnn.checkpoint import ModelFileError, load

    try:
        return load(path)
    except (OSError, ModelFileError) as error:
        raise typer.BadParameter(str(error), param_hint="'MODEL'") from None


def _check_fit(model: Sequential, path: Path, dataset: Dataset) -> None:
    """See that a model takes the columns of a data set and tells its classes apart."""
    from fastnn.layers import Linear
    from fastnn.program import flat_layers

    linear = [layer for layer in flat_layers(model) if isinstance(layer, Linear)]
    columns, classes = dataset.x_test.shape[1], len(dataset.classes)
    if linear and (linear[0].in_features, linear[-1].out_features) != (columns, classes):
        raise typer.BadParameter(
            f"{path} takes {linear[0].in_features} columns and gives {linear[-1].out_features}; "
            f"{dataset.name} has {columns} columns and {classes} classes",
            param_hint="'DATASET'",
        )


# ------------------------------------------------------------------------------- training


def _train(run: Run, folder: Path) -> None:
    """Train; when that ends early, keep what there is."""
    from fastnn.training import NonFiniteLossError

    _announce_compilation(run.settings.dtype)
    try:
        run.train(progress=sys.stdout.isatty())
    except KeyboardInterrupt:
        if run.optimizer.steps == 0:
            _fail("interrupted before the first step; nothing is written", _INTERRUPTED)
        run.write(folder)
        _print_history(run.history)
        _fail(
            f"interrupted in epoch {len(run.history) + 1} of {run.settings.epochs}; "
            f"{folder / MODEL} holds the model as it was then",
            _INTERRUPTED,
        )
    except NonFiniteLossError as error:
        run.write(folder)
        _print_history(run.history)
        _fail(f"{error}\n{folder / MODEL} holds these weights")


def _announce_compilation(dtype: str) -> None:
    """Say that the first run takes longer, if this is it."""
    from kernels import epoch, jit

    if not epoch.run.is_compiled(dtype):
        typer.echo(f"compiling, which is done once and then kept in {jit.cache_folder()}")


# --------------------------------------------------------------------------------- output


def _print_plan(run: Run) -> None:
    """Say what is going to be trained on what."""
    settings, rows = run.settings, run.rows()
    validate = f"{rows['validation']:,} to validate, " if settings.validation else ""
    widths = [run.dataset.x_train.shape[1], *settings.hidden, len(run.dataset.classes)]
    activation = f" {settings.activation}" if settings.hidden else ""
    typer.echo(
        f"{settings.dataset}: {rows['training']:,} rows to train, {validate}"
        f"{rows['test']:,} to test\n"
        f"{'-'.join(map(str, widths))}{activation}, {run.parameters:,} parameters; "
        f"{run.optimizer!r}, batches of {settings.batch_size}"
    )


def _print_history(history: History) -> None:
    """Print a table of some epochs, evenly spaced, and the last."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    step = -(-len(history) // _TABLE_ROWS)
    epochs = [*range(step, len(history), step), len(history)] if len(history) else []
    table = Table(box=box.SIMPLE_HEAD)
    columns = history.to_dict()
    for title in ("epoch", *(_TITLES[name] for name in columns)):
        table.add_column(title, justify="right")
    for epoch in epochs:
        numbers = (_FORMATS[name].format(columns[name][epoch - 1]) for name in columns)
        table.add_row(str(epoch), *numbers)
    if epochs:
        Console(width=80).print(table)


def _print_chain(model: Sequential) -> None:
    """Print the layers of a chain, their parameters, and the total."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer", no_wrap=True, max_width=60)
    table.add_column("parameters", justify="right")
    ...
