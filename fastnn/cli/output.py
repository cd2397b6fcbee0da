r"""Output of the commands: all that is printed goes through this file.

Names of files, columns and classes come from anywhere. None of them can move a terminal's cursor
or change its title: what is no letter is shown as an escape, such as `\x1b`.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from typing import Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from fastnn.files.texts import visible

_BROKEN_PIPE = 141  # the exit status that shells give to a program whose reader is gone


class OutputError(Exception):
    """Standard output cannot be written; `code` is the error's number."""

    def __init__(self, error: OSError):
        super().__init__(f"standard output: {error.strerror or error}")
        self.code = error.errno


def say(*lines: object) -> None:
    """Print lines on standard output; raise OutputError if it cannot be written."""
    with written():
        typer.echo("\n".join(visible(str(each)) for each in lines))


def note(message: str) -> None:
    """Print a message on standard error."""
    typer.echo(visible(message, but="\n"), err=True)


@contextmanager
def written() -> Iterator[None]:
    """Raise OutputError in the place of the OSError of what is written to standard output."""
    try:
        yield
    except OSError as error:
        raise OutputError(error) from error


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Open standard output for data; a terminal gets them without control characters."""
    with written():
        if sys.stdout is None:  # it was closed before the process began
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        yield _Visible(sys.stdout) if sys.stdout.isatty() else sys.stdout  # type: ignore[misc]
        sys.stdout.flush()


class Fastnn(TyperGroup):
    """The commands, with quiet ends where nobody reads, and harmless messages of errors."""

    def main(self, *arguments, **options) -> Any:
        """Run a command; end with a line on standard error if the output cannot be written."""
        with ExitStack() as stack:
            if sys.stderr is not None:
                stack.enter_context(redirect_stderr(_Errors(sys.stderr)))
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")
            try:
                return super().main(*arguments, **options)
            except OutputError as error:
                _end(str(error), error.code)
            except OSError as error:
                _end(str(error), error.errno)


def _end(message: str, code: int | None) -> NoReturn:
    """End the process: quietly if the reader is gone, else with a message."""
    with suppress(OSError, ValueError, AttributeError):  # a stream that is no file, or closed
        _drop(sys.stdout)
    if code == errno.EPIPE:
        sys.exit(_BROKEN_PIPE)
    note(f"fastnn: {message}")
    sys.exit(1)


def _drop(stream: TextIO) -> None:
    """Let what a stream could not write go to nowhere, else it fails once more at the end."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Visible:
    """A stream that writes text as `visible` returns it, with lines and tabs."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(visible(text, but="\n\t"))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Errors(_Visible):
    """Standard error, which nobody can be told of where it cannot be written."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            _drop(self._stream)
            return len(text)

    def flush(self) -> None:
        _drop(self._stream)
