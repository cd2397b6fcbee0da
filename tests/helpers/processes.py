"""Code in a Python process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import fastnn

ROOT = Path(fastnn.__file__).parents[1]


def python(code, *arguments, check=True, path=(), env=None, **options):
    """Run code with arguments in a fresh interpreter; return what came of it, output as text.

    `path` comes first where it looks for modules, then the folder of this `fastnn`; `env` is
    added to the environment. Fails unless the code ends well, or `check` is false.
    """
    paths = [*path, ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    joined = {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | joined | (env or {}),
        **{"timeout": 300} | options,
    )
    assert done.returncode == 0 or not check, done.stderr
    return done
