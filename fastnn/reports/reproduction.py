"""Runs of experiments into a folder, where finished ones are kept.

Each experiment has a folder with its pictures and its `results.json`, which is written last: an
experiment with results is finished. `results.json` and `report.html` of all experiments are
written again whenever one is finished.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import platform
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastnn import reports
from fastnn._version import __version__
from fastnn.files import plain
from fastnn.files.atomic import make_folder, remove, replacing
from fastnn.reports import page
from fastnn.reports.study import MissingDataError, Study
from kernels.base import host

RESULTS, REPORT = "results.json", "report.html"
_QUICK = 0.1
_SECTIONS = ("Network", "Data", "Settings", "Source")


@dataclass(frozen=True)
class Options:
    """Options that change results: run PyTorch too; run only a tenth of the epochs (`quick`)."""

    torch: bool = True
    quick: bool = False


class Reproduction:
    """Runs of experiments into the folder `out`; `say` is called with messages of progress."""

    def __init__(
        self,
        out: Path,
        options: Options,
        *,
        progress: bool = False,
        say: Callable[[str], object] = lambda line: None,
    ):
        self.out, self.options = out, options
        self._progress, self._say = progress, say
        self.digest = _digest(options)
        self.missing: dict[str, str] = {}

    def run(self, name: str, again: bool = False) -> dict[str, Any] | None:
        """Return the results of an experiment: earlier ones unless `again`, else new ones.

        Returns None if its data are missing. Raises OSError if files cannot be written; finished
        experiments are kept.
        """
        if not again and (finished := self.finished(name)) is not None:
            self._say(f"{name}: finished before, kept")
            return finished
        folder = self.out / name
        make_folder(folder)
        remove(folder / RESULTS)  # marks the experiment as unfinished
        study = Study(
            folder,
            torch=self.options.torch,
            share=_QUICK if self.options.quick else 1.0,
            progress=self._progress,
            say=lambda line: self._say(f"{name}: {line}"),
        )
        module = reports.load(name)
        started = time.perf_counter()
        try:
            module.run(study)
        except MissingDataError as error:
            self.missing[name] = str(error)
            with suppress(OSError):  # the folder may hold other files
                folder.rmdir()
            self.write()
            return None
        results = {
            "name": name,
            "digest": self.digest,
            **_about(module),
            "options": vars(self.options),
            "seconds": time.perf_counter() - started,
            **study.to_dict(),
            "versions": versions(),
            "machine": machine(),
        }
        _write(folder / RESULTS, _json(results))
        self.write()
        return results

    def finished(self, name: str) -> dict[str, Any] | None:
        """Return results that were made with these options by this code, or None."""
        try:
            results = plain.loads((self.out / name / RESULTS).read_bytes())
            complete = results["digest"] == self.digest and all(
                (self.out / name / picture["file"]).is_file() for picture in results["pictures"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return results if complete else None

    def write(self) -> None:
        """Write the page and the results of all finished experiments."""
        every = [found for name in reports.EXPERIMENTS if (found := self.finished(name))]
        _write(self.out / RESULTS, _json({"experiments": every, "missing": self.missing}))
        _write(self.out / REPORT, page.render(every, self.missing, self.out).encode())


def versions() -> dict[str, str]:
    """Return the versions of Python and the libraries."""
    names = ("numpy", "numba", "llvmlite", "scikit-learn", "matplotlib")
    found = {name: importlib.metadata.version(name) for name in names}
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].__version__
    return {"fastnn": __version__, "python": platform.python_version(), **found}


def machine() -> dict[str, Any]:
    """Return system, processor and number of cores."""
    return {"system": platform.system(), "processor": _processor(), "cores": host.cores()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _about(module) -> dict[str, Any]:
    """Return an experiment's title, description and code, from its module."""
    title, *paragraphs = (inspect.getdoc(module) or "").split("\n\n")
    about = {}
    for paragraph in paragraphs:
        key, _, text = paragraph.partition(": ")
        if key in _SECTIONS:
            text = " ".join(text.split())
            about[key] = text[0].upper() + text[1:]
    return {"title": title.rstrip("."), "about": about, "code": inspect.getsource(module)}


def _digest(options: Options) -> str:
    """Return the SHA-256 of the options and of all code of fastnn and its kernels."""
    digest = hashlib.sha256(repr(options).encode())
    for package in ("fastnn", "kernels"):
        root = Path(sys.modules[package].__file__ or "").parent
        for path in sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _json(results: dict) -> bytes:
    return json.dumps(results, indent=1).encode() + b"\n"


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)
