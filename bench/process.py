"""What a command costs from its start to its end: seconds, and memory at its peak.

Run as a script, it starts the command from a process that is small itself: what Linux
gives as a child's peak is at least the size of its parent at the start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss


class Cost(NamedTuple):
    """Of a command that ended well."""

    seconds: float
    peak_bytes: int


class CommandError(RuntimeError):
    """A command ended badly."""


def cost(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command with additions to the environment; raise CommandError if it fails."""
    found = subprocess.run(
        [sys.executable, "-I", "-S", __file__, *command],
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        raise CommandError(f"{' '.join(command)} failed\n{found.stderr}")
    return Cost(*json.loads(found.stdout))


def _main() -> None:
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    print(json.dumps([seconds, usage.ru_maxrss * _PEAK_UNIT]))
    sys.exit(process.returncode)


if __name__ == "__main__":
    _main()
