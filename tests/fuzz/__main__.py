"""Coverage-guided fuzzing of all readers of files, with atheris.

    python -m tests.fuzz                        # every target, for ten seconds each
    python -m tests.fuzz csv npz --seconds 600  # two of them, for ten minutes each

Inputs that find new code are kept in `.fuzz/NAME`, and those that fail in `.fuzz/NAME-findings`;
`python -m tests.fuzz NAME --input FILE` reads one again. A mended finding belongs in
`tests/fuzz/findings/NAME`, whose files `test_fuzz.py` reads.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORPUS = ROOT / ".fuzz"

_TIMEOUT = 10  # seconds that one input may take
_MEMORY = 4_000  # megabytes of addresses beyond those that the seeds take
_LONGEST = 1 << 16  # bytes of an input
_READERS = ("fastnn.files", "fastnn.data", "fastnn.runs", "fastnn.training.checkpoints",
            "fastnn.nn.kinds", "fastnn.nn.sequential", "fastnn.optim.schedules",
            "csv", "gzip", "json", "zipfile", "numpy.lib", "PIL")  # fmt: skip
"""Modules whose branches guide the search; compiled functions are left as they are."""


def main() -> int:
    """Fuzz targets one after the other, each in a process; return 1 if any has a finding."""
    sys.path[:0] = [str(HERE), str(HERE.parent / "helpers")]
    arguments = _parser().parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("fuzzing is skipped: atheris is not installed (it has no wheel for every Python)")
        return 0
    if arguments.child:
        _fuzz(arguments)
    names = arguments.names or _names()
    failed = [name for name in names if _in_process(name, arguments) != 0]
    for name in names:
        print(f"{'FINDING' if name in failed else 'ok     '} {name}")
    return int(bool(failed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets; all by default")
    parser.add_argument("--seconds", type=int, default=10, help="time for each target")
    parser.add_argument("--input", type=Path, help="read this file instead")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser


def _names() -> list[str]:
    from fuzz_targets import TARGETS

    return list(TARGETS)


def _in_process(name: str, arguments: argparse.Namespace) -> int:
    """Fuzz one target in a process of its own, which atheris ends."""
    print(f"--- {name}", flush=True)
    command = [sys.executable, "-m", "tests.fuzz", name, "--child"]
    command += ["--seconds", str(arguments.seconds)]
    if arguments.input:
        command += ["--input", str(arguments.input)]
    return subprocess.run(command, cwd=ROOT).returncode


def _fuzz(arguments: argparse.Namespace) -> None:
    """Fuzz one target, and exit."""
    import atheris

    with atheris.instrument_imports(include=list(_READERS)):
        from fuzz_targets import TARGETS

    (name,) = arguments.names
    target = TARGETS[name]
    corpus, findings = CORPUS / name, CORPUS / f"{name}-findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = target.seeds()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    scratch = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    for seed in seeds:
        target.attempt(seed, Path(scratch.name))

    def test(content: bytes) -> None:
        target.attempt(content, Path(scratch.name))

    def change(content: bytes, longest: int, number: int) -> bytes:
        rng = Random(number)
        if target.change is not None and rng.random() < 0.5:
            try:
                changed = target.change(content, rng)
            except Exception:  # no longer a file of this kind
                changed = b""
            if 0 < len(changed) <= longest:
                return changed
        return atheris.Mutate(content, longest)

    _bound_memory()
    options = [
        f"-artifact_prefix={findings}/", f"-timeout={_TIMEOUT}", f"-max_len={_LONGEST}",
        f"-dict={_dictionary(seeds, Path(scratch.name))}",
        "-rss_limit_mb=0", "-print_final_stats=1",
    ]  # fmt: skip
    if arguments.input:
        options.append(str(arguments.input))
    else:
        options += [f"-max_total_time={arguments.seconds}", str(corpus)]
    atheris.Setup([sys.argv[0], *options], test, custom_mutator=change)
    atheris.Fuzz()


def _bound_memory() -> None:
    """Let allocations beyond a bound fail with MemoryError, which no target allows."""
    import resource  # of Linux, as is atheris

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + _MEMORY * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _dictionary(seeds: list[bytes], folder: Path) -> Path:
    """Write the words of seeds that are JSON, for libFuzzer to insert; return the file."""
    words = set()
    for seed in seeds:
        try:
            tree = json.loads(seed)
        except ValueError:
            continue
        words |= set(_words(tree))
    path = folder / "words"
    lines = [f'"{word}"' for word in sorted(words) if word.isascii() and word.isidentifier()]
    path.write_text("\n".join(lines) + "\n")
    return path


def _words(tree):
    if isinstance(tree, dict):
        yield from tree
        for each in tree.values():
            yield from _words(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from _words(each)
    elif isinstance(tree, str):
        yield tree


if __name__ == "__main__":
    sys.exit(main())
