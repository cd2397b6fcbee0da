"""The command line: `fastnn train`, `fastnn evaluate` and `fastnn info`.

What takes long to import is imported inside the commands, so that `--help` does not wait.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

import fastnn
from fastnn.settings import LOSSES, SettingError, Settings, check_dataset, one_of

if TYPE_CHECKING:
    from fastnn.datasets import Dataset
    from fastnn.history import History
    from fastnn.runs import Run
    from fastnn.sequential import Sequential

_INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended
_TABLE_ROWS = 10
_COLUMNS = {
    "loss": ("loss", "{:.4g}"),
    "accuracy": ("accuracy", "{:.2%}"),
    "val_loss": ("validation loss", "{:.4g}"),
    "val_accuracy": ("validation accuracy", "{:.2%}"),
    "seconds": ("seconds", "{:.3f}"),
}

app = typer.Typer(
    help="Train small neural networks on the CPU, in the blink of an eye.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the `fastnn` command."""
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
_MODEL = "File that `fastnn train` wrote."


@app.command()
def train(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=_DATASETS)] = Settings.dataset,
    hidden: Annotated[
        list[int] | None,
        typer.Option(
            metavar="<int>",
            help="Width of a hidden layer; repeat for more, 0 for none. [default: 100]",
        ),
    ] = None,
    activation: Annotated[str, typer.Option(help="relu, tanh or sigmoid.")] = Settings.activation,
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
        str, typer.Option(help="The learning rate is linear (falls to 0) or constant.")
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
    threads: Annotated[int | None, typer.Option(help="[default: as many as pay]")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files. [default: runs/DATASET]")
    ] = None,
) -> None:
    """Train a network; write the model, its history and pictures."""
    with _reported_errors():
        settings = Settings(
            dataset, tuple(hidden or Settings.hidden), activation, dropout, loss, optimizer, lr,
            momentum, weight_decay, schedule, batch_size, epochs, subset, validation, seed, dtype,
            threads,
        )  # fmt: skip
        folder = out or Path("runs", dataset)
        _check_folder(folder)

        from fastnn.runs import Run

        run = Run(settings, _dataset(dataset, subset))
        _print_plan(run)
        _announce_compilation(dtype)
        _train(run, folder)
        test = run.evaluate()
        files = run.write(folder)
    _print_history(run.history)
    typer.echo(
        f"test accuracy {test.accuracy:.2%}, test loss {test.loss:.4g}; "
        f"{run.seconds:.3g} s of training\n"
        f"{folder}: {', '.join(files)}"
    )


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=_MODEL)],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=_DATASETS)],
    loss: Annotated[str, typer.Option(help="cross-entropy or mse.")] = Settings.loss,
) -> None:
    """Print a model's accuracy and loss on test rows."""
    with _reported_errors():
        check_dataset(dataset)
        one_of("loss", loss, LOSSES)
        chain, data = _model(model), _dataset(dataset)
        _check_fit(chain, model, data)
        function = getattr(fastnn, LOSSES[loss])()
        try:
            result = fastnn.evaluate(chain, data.x_test, data.y_test, loss=function)
        except ValueError as error:  # a chain whose layers do not fit each other
            raise typer.BadParameter(str(error), param_hint="'MODEL'") from None
    typer.echo(
        f"accuracy {result.accuracy:.2%}, loss {result.loss:.4g} "
        f"on the {len(data.x_test):,} test rows of {dataset}"
    )


@app.command()
def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=_MODEL)],
) -> None:
    """Show what a model file holds."""
    with _reported_errors():
        chain = _model(model)
        size = model.stat().st_size
    _print_chain(chain)
    if chain.classes:
        typer.echo(f"classes: {', '.join(chain.classes)}")
    typer.echo(f"{model}: {size:,} bytes")


# --------------------------------------------------------------------------------- errors


@contextmanager
def _reported_errors() -> Iterator[None]:
    """Report settings that are not allowed, and what the machine refuses, in a line."""
    try:
        yield
    except SettingError as error:
        name = error.setting
        hint = "DATASET" if name == "dataset" else f"--{name.replace('_', '-')}"
        raise typer.BadParameter(str(error), param_hint=f"'{hint}'") from None
    except MemoryError as error:
        _fail(f"not enough memory: {error}")
    except OSError as error:
        _fail(str(error))


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"fastnn: {message}", err=True)
    raise typer.Exit(code)


def _check_folder(folder: Path) -> None:
    """Make the folder, and see that files can be written there before there is any to lose."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingError("out", f"cannot write in {folder}: {error.strerror}") from None


def _dataset(name: str, subset: int | None = None) -> Dataset:
    from fastnn import datasets

    try:
        return datasets.load(name, subset=subset)
    except datasets.SubsetError as error:
        raise SettingError("subset", str(error)) from None
    except ValueError as error:  # a damaged file
        _fail(str(error))


def _model(path: Path) -> Sequential:
    from fastnn.checkpoint import ModelFileError, load

    try:
        return load(path)
    except (OSError, ModelFileError) as error:
        raise typer.BadParameter(str(error), param_hint="'MODEL'") from None


def _check_fit(model: Sequential, path: Path, dataset: Dataset) -> None:
    """See that a model takes the columns of a data set, and gives one for each class."""
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

    try:
        run.train(progress=sys.stdout.isatty())
    except KeyboardInterrupt:
        if run.optimizer.steps == 0:
            _fail("interrupted before the first step; nothing is written", _INTERRUPTED)
        epochs = f"{len(run.history)} of {run.settings.epochs} epochs"
        _fail(f"interrupted after {epochs}; {_keep(run, folder)}", _INTERRUPTED)
    except NonFiniteLossError as error:
        _fail(f"{error}; {_keep(run, folder)}")


def _keep(run: Run, folder: Path) -> str:
    """Write what there is of a run that has ended early, and say so."""
    files = run.write(folder)
    _print_history(run.history)
    return f"the model as it is now is kept, in {folder}: {', '.join(files)}"


def _announce_compilation(dtype: str) -> None:
    from kernels import epoch, jit

    if not epoch.run.is_compiled(dtype):
        typer.echo(f"compiling, which is done once and then kept in {jit.cache_folder()}")


# --------------------------------------------------------------------------------- output


def _print_plan(run: Run) -> None:
    """Say what is going to be trained, and on what."""
    settings, rows = run.settings, run.rows
    widths = [run.test_data[0].shape[1], *settings.hidden, len(run.classes)]
    kind = f" {settings.activation}" if settings.hidden else ""
    validate = f"{rows['validation']:,} to validate, " if settings.validation else ""
    typer.echo(
        f"{settings.dataset}: {rows['training']:,} rows to train, {validate}"
        f"{rows['test']:,} to test\n"
        f"{'-'.join(map(str, widths))}{kind}: {run.parameters:,} parameters; "
        f"{settings.optimizer}, lr {settings.lr:g}, batches of {settings.batch_size}"
    )


def _print_history(history: History) -> None:
    """Print a table of some epochs, evenly spaced, and the last."""
    step = max(1, -(-len(history) // _TABLE_ROWS))
    epochs = {*range(step, len(history), step), len(history)} - {0}
    columns = history.to_dict()
    rows = [
        [str(epoch), *(_COLUMNS[name][1].format(columns[name][epoch - 1]) for name in columns)]
        for epoch in sorted(epochs)
    ]
    _print_table(["epoch", *(_COLUMNS[name][0] for name in columns)], rows)


def _print_chain(model: Sequential) -> None:
    """Print the layers of a chain, with their parameters and the total."""
    rows = [
        [f"{place}  {layer!r}", f"{sum(each.size for each in layer.parameters()):,}"]
        for place, layer in enumerate(model)
    ]
    total = sum(each.size for each in model.parameters())
    dtypes = {each.dtype.name for each in model.parameters()}
    _print_table(["layer", "parameters"], rows)
    typer.echo(f"{total:,} parameters of {' and '.join(sorted(dtypes)) or 'no dtype'}")


def _print_table(titles: list[str], rows: list[list[str]]) -> None:
    """Print a table, its first column to the left where that is text."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="left" if title == "layer" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
