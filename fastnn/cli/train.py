"""`fastnn train`: train a network and write it, its history and pictures to a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastnn.cli import table_options as options
from fastnn.cli.arguments import DATASETS, check_folder, given, read_settled, sentence
from fastnn.cli.errors import fail, reported_errors
from fastnn.cli.output import note, say
from fastnn.cli.resume import check_apart, check_checkpoint, is_told, resumed
from fastnn.cli.scores import main_scores, print_folds, print_verdict
from fastnn.cli.summary import print_summary
from fastnn.cli.tables import print_table
from fastnn.data.names import is_path
from fastnn.runs.settings import CLASS_WEIGHTS, RECIPES, SCHEDULES, SettingError, Settings

if TYPE_CHECKING:
    from fastnn.data.dataset import Dataset
    from fastnn.nn.sequential import Sequential
    from fastnn.runs.folds import Folds
    from fastnn.runs.run import Run
    from fastnn.runs.verdict import Verdict
    from fastnn.training.history import History

_INTERRUPTED = 130  # the exit status that shells give to a program ended by Ctrl-C
_TABLE_ROWS = 10
_COLUMNS = {
    "loss": ("loss", "{:.4g}"),
    "accuracy": ("accuracy", "{:.2%}"),
    "val_loss": ("validation loss", "{:.4g}"),
    "val_accuracy": ("validation accuracy", "{:.2%}"),
    "seconds": ("seconds", "{:.3f}"),
}


def train(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=DATASETS)] = Settings.dataset,
    hidden: Annotated[
        list[int] | None,
        typer.Option(
            metavar="<int>",
            help="Width of a hidden layer; repeat for more, 0 for none. [default: 100; of a file: "
            "by its rows]",
        ),
    ] = None,
    activation: Annotated[str, typer.Option(help="{activations}")] = Settings.activation,
    dropout: Annotated[
        float, typer.Option(help="Share dropped behind each activation.")
    ] = Settings.dropout,
    loss: Annotated[
        str | None,
        typer.Option(help="{losses} [default: cross-entropy for classes, mse for numbers]"),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="{optimizers} [default: sgd; of a file: adamw]")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate. [default: {usual_lr}]")] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Momentum. [default: {usual_momentum}]")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Weight decay. [default: {usual_weight_decay}]")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help=f"How the learning rate falls: {sentence(SCHEDULES)} [default: linear]"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows in a step. [default: 32; of a file: by its rows]")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the rows. [default: 30; of a file: by its rows]"),
    ] = None,
    subset: Annotated[
        int | None, typer.Option(help="Training rows to take. [default: all]")
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            help="Share of them to validate on; with 0, the test rows do that. [default: 0.1; of "
            "a small file: each of five folds in turn]"
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of initial weights, order of rows, dropout, and a file's test rows."
        ),
    ] = Settings.seed,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = Settings.dtype,
    threads: Annotated[int | None, typer.Option(help="[default: as many as pay]")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files. [default: runs/DATASET]")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Of a file: the column to predict, its place (-1 for the last) where columns "
            "have no names, or a .npy file."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="classification or regression. [default: from the target]"),
    ] = None,
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
    split_seed: options.SplitSeed = None,
    test: Annotated[
        float, typer.Option(help="Share of a file's rows to hold out for the test.")
    ] = Settings.test,
    norm: Annotated[
        str, typer.Option(help="Normalisation of hidden layers: {norms}")
    ] = Settings.norm,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of each class's probability given to all.")
    ] = Settings.label_smoothing,
    class_weight: Annotated[
        str, typer.Option(help=f"Weights of classes: {sentence(CLASS_WEIGHTS)}")
    ] = Settings.class_weight,
    clip_norm: Annotated[
        float | None, typer.Option(help="Bound on the gradient's norm. [default: none]")
    ] = None,
    clip_value: Annotated[
        float | None, typer.Option(help="Bound on its elements. [default: none]")
    ] = None,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            help="Epochs to wait for a lower validation loss; the best weights are kept. "
            "[default: train to the end]"
        ),
    ] = None,
    step_size: Annotated[
        int | None,
        typer.Option(help="Epochs between falls of schedule step. [default: a third of all]"),
    ] = None,
    gamma: Annotated[
        float | None,
        typer.Option(
            help="Factor of a fall, for step, multi-step, exponential and plateau. [default: 0.1; "
            "exponential: down to 1% in all]"
        ),
    ] = None,
    milestones: Annotated[
        list[int] | None,
        typer.Option(
            metavar="<int>",
            help="Epoch of a fall of multi-step; repeat for more. [default: 1/2 and 3/4 of all]",
        ),
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(help="Epochs of rise of warmup-cosine. [default: a tenth of all]")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs that plateau waits. [default: 5]")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help=f"Defaults of other options: {sentence(RECIPES)} [default: tables for files, "
            "plain for data sets]"
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to keep the state of the run in, for --resume.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Of a file: cross-validate first by so many runs. Each row is held out once, and "
            "groups as a whole; with --time, rows are predicted from earlier ones."
        ),
    ] = None,
    every: Annotated[int, typer.Option(help="Epochs from one checkpoint to the next.")] = 1,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from --checkpoint, where there is one, with its settings."
        ),
    ] = False,
) -> None:
    """Train a network; write the model, its history and pictures."""
    with reported_errors():
        settings = Settings(**given(context, Settings.__dataclass_fields__))
        check_checkpoint(checkpoint, every, resume)
        if checkpoint is not None and resume:
            settings = resumed(checkpoint, settings, is_told(context))
        folder = out or Path("runs", Path(settings.dataset).stem)
        check_folder(folder)
        check_apart(checkpoint, folder)
        if folds is not None and not is_path(settings.dataset):
            raise SettingError("folds", f"{settings.dataset} has test rows; this is for files")
        if folds is not None and test_file:
            raise SettingError("folds", "folds hold out rows of the file; leave out --test-file")

        from fastnn.runs.run import Run

        data = read_settled(settings)
        run = Run(settings, data)
        print_summary(data)
        if is_path(settings.dataset):
            run.verdict = _verdict_before(data)
        _print_plan(run)
        _warn_of_test_rows(settings)
        _announce_compilation(settings.dtype)
        if folds is not None:
            run.folds = _cross_validate(settings, data, folds).to_dict()
        del data  # frees memory before pictures are drawn
        _train(run, folder, checkpoint=checkpoint, every=every, resume=resume)
        run.evaluate()
        files = run.write(folder)
    _print_history(run.history)
    if kept := _kept(run):
        say(kept)
    if run.verdict is not None:
        print_verdict(run.verdict)
    say(
        f"{_test_result(run)}; {run.seconds:.3g} s of training",
        f"{folder}: {', '.join(files)}",
    )


def _warn_of_test_rows(settings: Settings) -> None:
    """Warn, on standard error, of choices that are made on the test rows."""
    watching = ["--early-stopping"] if settings.early_stopping is not None else []
    watching += ["--schedule plateau"] if settings.schedule == "plateau" else []
    if settings.validation == 0 and watching:
        note(
            f"warning: {' and '.join(watching)} on the test rows, since --validation is 0: the "
            "test score will be better than that of new rows"
        )


def _kept(run: Run) -> str:
    """Return which weights the model has, if they are not those of the last epoch."""
    best = run.best_epochs
    if not best:
        return ""
    if len(best) > 1:
        if not any(best):
            return "no network is clearly better: the model is the mean of their linear models"
        return f"the model is the mean of the {len(best)} networks at their best epochs"
    early = "stopped early; " if len(run.history) < (run.settings.epochs or 0) else ""
    return f"{early}the weights are those of epoch {best[0]}"


def _test_result(run: Run) -> str:
    assert run.test is not None
    if run.scores:
        return main_scores(run.scores, "test ")
    return f"test accuracy {run.test.accuracy:.2%}, test loss {run.test.loss:.4g}"


def _verdict_before(data: Dataset) -> Verdict:
    """Return what is known before training: simple models, and columns that tell the target."""
    from fastnn.runs.verdict import Verdict

    verdict = Verdict(data)
    for each in verdict.notes:
        say(f"note: {each}")
    return verdict


def _cross_validate(settings: Settings, data: Dataset, count: int) -> Folds:
    """Train a run for each fold and print their scores; end the command if one fails."""
    from fastnn.runs.folds import Folds
    from fastnn.runs.run import Run
    from fastnn.training.steps import NonFiniteLossError

    def trained(part: Dataset) -> Sequential:
        run = Run(settings, part)
        run.train()
        return run.model

    folds = Folds(data, count, settings.seed_of_split)
    way = "each trained on what is before it" if settings.time else "each held out once"
    say(f"{count} folds, {way}, then the ordinary run")
    try:
        for _ in folds.train(trained):
            pass
    except KeyboardInterrupt:
        fail(f"interrupted in {_fold(folds)}; nothing is written", _INTERRUPTED)
    except NonFiniteLossError as error:
        fail(f"{error}, in {_fold(folds)}; nothing is written")
    print_folds(folds.scores, folds.summary())
    return folds


def _fold(folds: Folds) -> str:
    return f"fold {len(folds.scores) + 1} of {folds.count}"


def _train(run: Run, folder: Path, **checkpoints) -> None:
    """Train; if training ends early, write the model as it is, and end the command."""
    from fastnn.files.container import ModelFileError
    from fastnn.training.steps import NonFiniteLossError

    try:
        shown = sys.stdout is not None and sys.stdout.isatty()
        run.train(progress=shown, **checkpoints)
    except ModelFileError as error:
        raise SettingError("checkpoint", str(error)) from None
    except KeyboardInterrupt:
        if run.optimizer.steps == 0 and not run.history:
            fail("interrupted before the first step; nothing is written", _INTERRUPTED)
        epochs = f"{len(run.history)} of {run.settings.epochs} epochs"
        fail(f"interrupted after {epochs}; {_keep(run, folder)}", _INTERRUPTED)
    except NonFiniteLossError as error:
        fail(f"{error}; {_keep(run, folder)}")


def _keep(run: Run, folder: Path) -> str:
    """Write the files of a run that ended early; return a message that says so."""
    files = run.write(folder)
    _print_history(run.history)
    return f"the model as it is now is kept, in {folder}: {', '.join(files)}"


def _announce_compilation(dtype: str) -> None:
    from kernels import companion
    from kernels.base import folder
    from kernels.machine import interpreter

    if interpreter.run.is_compiled(dtype):
        return
    if folder.refusal() is None:
        say(f"compiling, which is done once and then kept in {folder.folder()}")
        companion.start(dtype)
    else:
        say("compiling")


def _print_plan(run: Run) -> None:
    """Print the rows, the network and the optimizer of a run."""
    settings, rows = run.settings, run.rows
    hidden = settings.hidden or ()
    widths = [run.test_data[0].shape[1], *hidden, len(run.classes) or 1]
    kind = f" {settings.activation}" if hidden else ""
    validate = f"{rows['validation']:,} to validate, " if settings.validation != 0 else ""
    say(
        f"{settings.dataset}: {rows['training']:,} rows to train, {validate}"
        f"{rows['test']:,} to test",
        f"{'-'.join(map(str, widths))}{kind}: {run.parameters:,} parameters; "
        f"{settings.optimizer}, lr {settings.lr:g}, batches of {settings.batch_size}",
    )
    if settings.recipe == "tables":
        folds = f", {run.networks} networks, each with a fold to validate"
        say(f"recipe tables: {settings.epochs} epochs{folds if run.networks > 1 else ''}")


def _print_history(history: History) -> None:
    """Print a table of at most ten epochs: evenly spaced ones and the last."""
    step = max(1, -(-len(history) // _TABLE_ROWS))
    epochs = {*range(step, len(history), step), len(history)} - {0}
    columns = history.to_dict()
    rows = [
        [str(epoch), *(_COLUMNS[name][1].format(columns[name][epoch - 1]) for name in columns)]
        for epoch in sorted(epochs)
    ]
    print_table(["epoch", *(_COLUMNS[name][0] for name in columns)], rows)
