"""`fastnn plot`: pictures that compare runs, and pictures of each run's model."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastnn.cli.errors import fail, reported_errors
from fastnn.cli.output import note, say
from fastnn.cli.tables import print_table
from fastnn.files import plain
from fastnn.runs.settings import from_plain, given_in, one_of

if TYPE_CHECKING:
    from fastnn.data.dataset import Dataset
    from fastnn.nn.sequential import Sequential

_FORMATS = ("png", "svg", "pdf")


@dataclass
class _RunFiles:
    """A run's name in pictures, its folder, and the content of its `history.json`."""

    name: str
    folder: Path
    record: dict[str, Any]


def plot(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders that `fastnn train` wrote.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("plots"),
    picture_format: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
) -> None:
    """Compare runs, and show what each has learned.

    Writes the learning curves of all runs together. For each run, writes the weights of the first
    layer, the worst mistakes and the calibration on the test rows, and the decision surface if
    there are two features.
    """
    with reported_errors():
        one_of("format", picture_format, _FORMATS)
        found = _read_runs(runs)
        from fastnn import plots

        written = [out / f"comparison.{picture_format}"]
        plots.comparison({run.name: run.record["history"] for run in found}, written[0])
        for run in found:
            written += _plot_run(run, out / run.name, picture_format)
    _print_runs(found)
    say(*written)


def _read_runs(folders: list[Path]) -> list[_RunFiles]:
    """Return the records of runs; end the command if a folder has none."""
    found = []
    for folder in folders:
        path = folder / "history.json"
        try:
            record = plain.loads(path.read_bytes())
            _check_record(record)
        except OSError as error:
            fail(f"{path}: {error.strerror}; expected a folder that fastnn train wrote")
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            fail(f"{path}: found no history of a run ({error})")
        found.append(_RunFiles("", folder, record))
    for run, name in zip(found, _run_names(folders), strict=True):
        run.name = name
    return found


def _check_record(record: Any) -> None:
    """Raise an error of values unless this is what `fastnn train` writes, with numbers in it."""
    scores = record.get("test") or {}
    series = list(record["history"].values())
    if not any(map(len, series)):
        raise ValueError("no epochs")
    for number in itertools.chain(*series, scores.values()):
        if number is not None:
            float(number + 0)
    given_in(record["settings"])


def _run_names(folders: list[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell the runs apart."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise typer.BadParameter("a run is named twice", param_hint="'RUN...'")
    depth = next(n for n in range(1, 1000) if len({p[-n:] for p in parts}) == len(parts))
    return ["-".join(each[-depth:]).strip("/\\") for each in parts]


def _plot_run(run: _RunFiles, folder: Path, ending: str) -> list[Path]:
    """Draw the pictures of a run; print why a picture is left out. Return the files written."""
    from fastnn import plots
    from fastnn.files.models import ModelFileError, load

    try:
        model = load(run.folder / "model.safetensors")
    except (OSError, ModelFileError) as error:
        note(f"{run.name}: no pictures of its model: {error}")
        return []
    try:
        from fastnn.runs.data import read_data

        data: Dataset | None = read_data(from_plain(run.record["settings"]))
    except (OSError, ValueError, TypeError, ImportError) as error:
        note(f"{run.name}: no pictures of its test rows: {error}")
        data = None
    shape = None if data is None else data.image_shape
    features = model.schema.features if model.schema is not None else []
    pictures: dict[str, Callable[[Path], Any]] = {
        "weights": lambda path: plots.weights(model, shape, features, path)
    }
    if data is not None:
        pictures |= _test_pictures(model, data, features)
    written = []
    for name, draw in pictures.items():
        try:
            draw(folder / f"{name}.{ending}")
        except ValueError as error:  # nothing to show, or the data file has changed since training
            note(f"{run.name}: no {name}: {error}")
        else:
            written.append(folder / f"{name}.{ending}")
    return written


def _test_pictures(model: Sequential, data: Dataset, features: list[str]) -> dict[str, Callable]:
    """Return, by name, functions that draw a model's outputs for the test rows to a path."""
    import fastnn
    from fastnn import plots
    from fastnn.metrics import link_of, probabilities

    x, y = data.x_test, data.y_test
    outputs = fastnn.predict(model, x)
    pictures: dict[str, Callable[[Path], Any]] = {}
    if data.classes:
        shares = probabilities(outputs, link_of(model))
        pictures["mistakes"] = lambda path: plots.mistakes(
            x, y, shares, data.classes, data.image_shape, path
        )
        pictures["calibration"] = lambda path: plots.calibration(shares, y, path)
    else:
        assert data.schema is not None
        assert data.schema.target is not None
        name = data.schema.target.name
        pictures["predictions"] = lambda path: plots.predictions(y, outputs[:, 0], name, path)
    if x.shape[1] == 2:
        names = features or ["x0", "x1"]
        pictures["decision"] = lambda path: plots.decision(model, x, y, data.classes, names, path)
    return pictures


def _print_runs(runs: list[_RunFiles]) -> None:
    """Print a table of the runs: a line of settings and scores for each."""
    rows = []
    for run in runs:
        settings, history = run.record["settings"], run.record["history"]
        test = run.record.get("test") or {}
        seconds = sum(each or 0 for each in history.get("seconds", []))
        rows.append(
            [
                run.name,
                "-".join(map(str, settings.get("hidden", []))) or "none",
                f"{settings.get('optimizer')} {settings.get('lr')}",
                f"{len(next(iter(history.values())))}",
                f"{seconds:.3g} s",
                _last(history, "val_loss"),
                _score(test),
            ]
        )
    print_table(["run", "hidden", "optimizer", "epochs", "time", "val loss", "test"], rows)


def _last(history: dict[str, list], name: str) -> str:
    values = [each for each in history.get(name, []) if each is not None]
    return f"{values[-1]:.4g}" if values else ""


def _score(test: dict[str, Any]) -> str:
    if test.get("r2") is not None:
        return f"r2 {test['r2']:.4f}"
    return f"{test['accuracy']:.2%}" if test.get("accuracy") is not None else ""
