"""`fastnn cache`: the folder of machine code."""

from __future__ import annotations

from typing import Annotated

import typer

from fastnn.cli.errors import reported_errors
from fastnn.cli.output import say


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove the machine code, and nothing else.")
    ] = False,
) -> None:
    """Show or clear the folder that keeps machine code."""
    from kernels.base import folder

    place = folder.folder()
    if place is None:
        say("no folder: there is no home folder, and FASTNN_CACHE_DIR names none")
        return
    say(place)
    with reported_errors():
        try:
            doubt, files = folder.doubt(place), folder.files(place)
        except FileNotFoundError:
            say("absent: it is made when kernels are compiled")
            return
        except OSError as error:
            if clear:
                raise
            say(f"not used: {error.strerror}")
            return
        if doubt is not None:
            say(f"not used: {doubt}")
        size = sum(status.st_size for _, status in files)
        entries = f"{len(files):,} {'entry' if len(files) == 1 else 'entries'}, {size:,} bytes"
        if clear:
            folder.clear(place)
        say(f"{entries}{' removed' if clear else ''}")
