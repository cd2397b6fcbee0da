"""Cost of a command from start to end: seconds, and peak memory.

The command is started by this file as a script, a small process, because on Linux the peak
of a child is at least the size of its parent at the start.
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
    """Seconds and peak memory of a command that succeeded."""

    seconds: float
    peak_bytes: int


class CommandError(RuntimeError):
    """Error for a command that failed."""


def cost(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command, with additions to the environment; return its cost.

    Raises CommandError if the command fails.
    """
    found = subprocess.run(
        [sys.executable, "-I", "-S", __file__, *command],
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
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
