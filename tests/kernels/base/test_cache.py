import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import llvmlite
import numba
import numpy as np
import pytest
from kit import assert_doubles, doubling
from numba.core.registry import cpu_target

import kernels
from kernels.base import cache
from kernels.base.cache import Cache

PACKAGE = Path(kernels.__file__).parent


@pytest.fixture
def package(tmp_path):
    """A copy of the package, to be edited."""
    return shutil.copytree(
        PACKAGE, tmp_path / "copy" / "kernels", ignore=shutil.ignore_patterns("__pycache__")
    )


def command(code, package=PACKAGE, **changed):
    path = [str(package.parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), **changed}
    # -P: the folder it is started in is not searched for `kernels`.
    return {"args": [sys.executable, "-P", "-c", code], "env": env, "text": True}


def output_of(code, package=PACKAGE, **changed):
    """Return the output of a new process that runs `code` with this copy of the package."""
    done = subprocess.run(**command(code, package, **changed), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# |(1, 2, 2)| = 3, in one file of the cache; and a kernel of two, that call each other.
NORM = """
import numpy as np
from kernels import gradient_norm
print(gradient_norm([np.array([3.0, 4.0])]))
"""
NORMALIZE = """
import numpy as np
from kernels import normalize
print(normalize(np.array([[1.0, 2.0]]), np.ones(2), np.full(2, 4.0))[0].tolist())
"""
REFUSE_TO_COMPILE = """
from numba.core import compiler
def refuse(*arguments, **options):
    raise AssertionError("compiles")
compiler.compile_extra = refuse
"""


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def second_cache(package=PACKAGE):
    """A second `kernels.base.cache`, made from a copy of the package."""
    spec = importlib.util.spec_from_file_location("other_cache", package / "base" / "cache.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------- the cache


def test_a_second_process_loads_what_the_first_compiled(folder):
    assert output_of(NORMALIZE) == "[0.0, 4.0]"
    kept = files(folder)
    assert len(kept) == 2
    assert all(name.endswith(".bin") for name in kept)
    assert output_of(REFUSE_TO_COMPILE + NORMALIZE) == "[0.0, 4.0]"
    assert files(folder) == kept


def test_refusing_to_compile_is_noticed(folder):
    """The test above would fail if the cache were not used."""
    with pytest.raises(AssertionError, match="compiles"):
        output_of(REFUSE_TO_COMPILE + NORM)


def test_processes_may_start_at_the_same_time(folder):
    running = [
        subprocess.Popen(**command(NORM), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in running:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert output.strip() == "5.0"
    assert len(files(folder)) == 1
    assert output_of(REFUSE_TO_COMPILE + NORM) == "5.0"


# --------------------------------------------------------------- what names the machine code


def name_of(module=cache):
    codegen = cpu_target.target_context.codegen()
    return module.Cache(doubling).name(numba.int64(numba.int64), codegen)


def test_every_option_of_numba_is_in_the_name_but_those_apart(monkeypatch):
    """Those that come with a later numba, too."""
    first, seen = name_of(), set()
    for option, value in list(vars(numba.config).items()):
        if option.isupper():
            with monkeypatch.context() as changed:
                changed.setattr(numba.config, option, (value, "another"))
                if name_of() != first:
                    seen.add(option)
    assert seen >= {
        "BOUNDSCHECK", "CPU_FEATURES", "CPU_NAME", "DEBUGINFO_DEFAULT", "DISABLE_INTEL_SVML",
        "ENABLE_AVX", "ENABLE_PROFILING", "EXTEND_VARIABLE_LIFETIMES", "LLVM_REFPRUNE_FLAGS",
        "LLVM_REFPRUNE_PASS", "LOOP_VECTORIZE", "OPT", "SLP_VECTORIZE", "USING_SVML",
    }  # fmt: skip
    apart = {option for option in vars(numba.config) if option.isupper()} - seen
    words = "CUDA|CACHE|THREAD|GDB_BINARY"
    assert all(re.search(words, option) for option in apart)
    assert {"CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_DEFAULT_NUM_THREADS"} <= apart


@pytest.mark.parametrize("library", [numba, llvmlite, np], ids=lambda library: library.__name__)
def test_versions_are_in_the_name(monkeypatch, library):
    assert name_of(second_cache()) == name_of()
    monkeypatch.setattr(library, "__version__", "1000.0")
    assert name_of(second_cache()) != name_of()


@pytest.mark.parametrize(
    "changed",
    [
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_ENABLE_AVX": "0"},
        {"NUMBA_OPT": "1"},
        {"NUMBA_BOUNDSCHECK": "1"},
    ],
    ids=str,
)
def test_other_settings_have_code_of_their_own(folder, changed):
    if changed.items() <= os.environ.items():
        pytest.skip("these settings are those of all tests")
    output_of(NORM)
    own = files(folder)
    assert output_of(NORM, **changed) == "5.0"
    assert files(folder).items() > own.items()


def test_workers_on_fewer_threads_share_the_code(folder, tmp_path):
    output_of(NORM)
    fewer = {"NUMBA_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    assert output_of(REFUSE_TO_COMPILE + NORM, **fewer) == "5.0"


def test_a_file_holds_names_and_object_code_alone(folder):
    output_of(NORMALIZE)
    for content in files(folder).values():
        head, code = content[32:].split(b"\n", 1)
        assert set(json.loads(head)) == {"function", "environment", "wrappers"}
        if sys.platform.startswith("linux"):
            assert code.startswith(b"\x7fELF")


def test_what_is_more_than_code_is_not_kept(folder):
    """Such as Python objects that compiled code refers to."""

    @numba.njit
    def speaks(x):
        with numba.objmode():
            print(x)

    speaks._cache = Cache(speaks.py_func)
    speaks.compile((numba.int64,))
    assert not folder.exists()


# ------------------------------------------------------------------- edited source files


def digest_of(package):
    """The digest that a copy of the package has."""
    return second_cache(package).SOURCE_DIGEST


def test_an_edit_of_any_file_changes_the_digest(package):
    first = digest_of(package)
    assert first == cache.SOURCE_DIGEST
    seen = {first}
    (package / "folder" / "deeper").mkdir(parents=True)
    (package / "folder" / "deeper" / "a.py").write_text("")
    first = digest_of(package)
    seen.add(first)
    every = sorted(package.rglob("*.py"))
    for path in every:
        text = path.read_text()
        path.write_text(text + "# edited\n")
        seen.add(digest_of(package))
        path.write_text(text)
        assert digest_of(package) == first
    assert len(seen) == 2 + len(every)
    (package / "new.py").write_text("")
    seen.add(digest_of(package))
    (package / "new.py").rename(package / "newer.py")
    seen.add(digest_of(package))
    (package / "newer.py").rename(package / "folder" / "newer.py")
    seen.add(digest_of(package))
    assert len(seen) == 5 + len(every)


MAXIMUM = "\nreduce_add = reduce_max\n"  # appended to simd.py, it turns a sum into a maximum


def test_an_edit_of_an_imported_file_is_never_served_stale_code(folder, package):
    simd = package / "base" / "simd.py"
    text = simd.read_text()
    assert output_of(NORM, package) == "5.0"
    simd.write_text(text + MAXIMUM)
    assert output_of(NORM, package) == "4.0"
    kept = files(folder)
    simd.write_text(text)
    assert output_of(REFUSE_TO_COMPILE + NORM, package) == "5.0"
    assert files(folder) == kept


def test_an_edit_while_a_process_runs_does_not_leave_old_code_under_the_new_name(folder, package):
    simd = package / "base" / "simd.py"
    edit = f"open({str(simd)!r}, 'a').write({MAXIMUM!r})\n"
    imported_before = "import kernels.functions.updates\n"
    assert output_of(imported_before + edit + NORM, package) == "5.0"
    assert output_of(NORM, package) == "4.0"


# -------------------------------------------------------- folders and files that are no good


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_read_only_folder_is_still_read(folder):
    assert_doubles(doubling())
    kept = files(folder)
    folder.chmod(0o500)
    try:
        assert_doubles(doubling())
        assert_doubles(doubling(), np.float64)
        assert files(folder) == kept
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: b"",
        lambda good: b"garbage",
        lambda good: good[:1],
        lambda good: good[: len(good) // 2],
        lambda good: good[:-1],
        lambda good: good + b"more",
        lambda good: bytes(len(good)),
        lambda good: b"\x80\x05N.",  # a pickle, of None
    ],
    ids=["empty", "garbage", "a byte", "half", "cut", "longer", "zeros", "another pickle"],
)
def test_a_damaged_file_is_compiled_anew(folder, damage):
    assert_doubles(doubling())
    ((name, good),) = files(folder).items()
    (folder / name).write_bytes(damage(good))
    assert_doubles(doubling())
    assert_doubles(doubling())
    ((healed, _),) = files(folder).items()
    assert healed == name


def test_a_file_with_a_changed_byte_does_no_harm(folder):
    """In a process of its own, for what was damaged may be machine code."""
    output_of(NORM)
    for path in folder.iterdir():
        good = path.read_bytes()
        for share in (0.1, 0.4, 0.7):
            place = int(share * len(good))
            block = bytes(byte ^ 0xFF for byte in good[place : place + 64])
            path.write_bytes(good[:place] + block + good[place + 64 :])
            assert output_of(NORM) == "5.0", f"{path.name} damaged at {place}"


def test_a_folder_in_place_of_a_file_is_no_obstacle(folder):
    assert_doubles(doubling())
    ((name, _),) = files(folder).items()
    (folder / name).unlink()
    (folder / name).mkdir()
    assert_doubles(doubling())
