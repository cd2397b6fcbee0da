"""The command line: `fastnn train`, `predict` and others; also `python -m fastnn`."""

from __future__ import annotations

from typing import Annotated

import typer

from fastnn.cli.arguments import Naming
from fastnn.cli.bench import bench
from fastnn.cli.cache import cache
from fastnn.cli.evaluate import evaluate
from fastnn.cli.export import export
from fastnn.cli.info import info
from fastnn.cli.output import Fastnn, say
from fastnn.cli.plot import plot
from fastnn.cli.predict import predict
from fastnn.cli.reproduce import reproduce
from fastnn.cli.sweep import sweep
from fastnn.cli.train import train

app = typer.Typer(
    cls=Fastnn,
    help="Train small neural networks on the CPU, in the blink of an eye.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (train, evaluate, predict, plot, info, sweep, export, cache, reproduce, bench):
    app.command(cls=Naming)(command)


def main() -> None:
    """Run the `fastnn` command."""
    app(prog_name="fastnn")


def _show_version(wanted: bool) -> None:
    if wanted:
        from fastnn._version import __version__

        say(f"fastnn {__version__}")
        raise typer.Exit


@app.callback()
def _fastnn(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


if __name__ == "__main__":
    main()
