import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numba
import numpy as np
import platformdirs
import pytest
from kit import FLOATS, call
from numba import types
from numpy.testing import assert_array_equal

import kernels
from kernels.base import jit
from kernels.base.jit import entry, inline, real_type, routine
from kernels.base.kinds import INTEGER, MATRIX, REALS, WORDS, matrix_of, reads, row_at, writes
from kernels.base.simd import data, peek, poke

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


def test_another_processor_has_code_of_its_own(folder):
    output_of(NORM)
    own = files(folder)
    name = "x86-64" if os.environ.get("NUMBA_CPU_NAME") == "generic" else "generic"
    other = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": ""}
    assert output_of(NORM, **other) == "5.0"
    assert files(folder).items() > own.items()


def test_the_folder_is_the_users_unless_another_is_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path))
    assert jit.cache_folder() == tmp_path
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("FASTNN_CACHE_DIR")
        else:
            monkeypatch.setenv("FASTNN_CACHE_DIR", unset)
        assert Path(platformdirs.user_cache_dir("fastnn")) in jit.cache_folder().parents


# ------------------------------------------------------------------- edited source files


def digest_of(package):
    """The digest that a copy of the package has."""
    spec = importlib.util.spec_from_file_location("other_jit", package / "base" / "jit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SOURCE_DIGEST


def test_an_edit_of_any_file_changes_the_digest(package):
    first = digest_of(package)
    assert first == jit.SOURCE_DIGEST
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


def doubling():
    """A new entry, with nothing compiled yet in this process."""

    @entry(reads(1), writes(1))
    def double(x, y):
        for i in range(x.size):
            y[i] = 2.0 * x[i]

    return double


def assert_doubles(double, dtype=np.float32):
    x, y = np.arange(5, dtype=dtype), np.zeros(5, dtype)
    double[np.dtype(dtype)](x, y)
    assert_array_equal(y, 2 * x)


def test_a_folder_that_cannot_be_made_costs_only_time(tmp_path, monkeypatch):
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    places = [occupied, occupied / "below"]
    if sys.platform.startswith("linux"):
        places.append(Path("/proc/fastnn"))  # where not even root may make one
    for place in places:
        monkeypatch.setenv("FASTNN_CACHE_DIR", str(place))
        assert_doubles(doubling())
    assert occupied.read_text() == "not a folder"


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


@pytest.mark.parametrize("failing", ["write", "rename"])
def test_a_write_that_fails_leaves_nothing_behind(folder, monkeypatch, failing):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_file(*arguments, **options):
        file = temporary(*arguments, **options)
        file.write = full
        return file

    temporary = jit.tempfile.NamedTemporaryFile
    if failing == "write":
        monkeypatch.setattr(jit.tempfile, "NamedTemporaryFile", full_file)
    else:
        monkeypatch.setattr(jit.os, "replace", full)
    assert_doubles(doubling())
    assert files(folder) == {}


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


def test_numba_that_is_told_not_to_compile():
    done = subprocess.run(
        [sys.executable, "-c", "import kernels"], capture_output=True, text=True, timeout=300,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: NUMBA_DISABLE_JIT is set: ")


def test_compiled_before(folder, tmp_path, monkeypatch):
    double = doubling()
    assert not double.is_compiled(np.float32)
    assert_doubles(double)
    assert double.is_compiled(np.float32)
    assert not double.is_compiled(np.float64)
    assert doubling().is_compiled(np.float32), "not found in the cache folder"
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path / "other"))
    assert double.is_compiled(np.float32)
    assert not doubling().is_compiled(np.float32)


# ------------------------------------------------------------------- routines and entries


@routine(INTEGER, REALS)
def _increase(count, x):
    for i in range(count):
        poke(x, i, peek(x, i) + 1)


@inline
def _increase_twice(count, x):
    _increase(count, x)
    _increase(count, x)


@routine(INTEGER, WORDS, REALS)
def _increase_and_count(count, counter, x):
    _increase_twice(count, x)
    counter[0] += count


@routine(INTEGER, INTEGER, MATRIX)
def _increase_rows(rows, columns, x):
    for i in range(rows):
        _increase(columns, row_at(x, i))


@entry(writes(2))
def increase_rows(x):
    _increase_rows(x.shape[0], x.shape[1], matrix_of(x))


@entry(writes(1), writes(1, types.int64), result=types.int64)
def increase(x, counter):
    _increase_and_count(x.size, data(counter), data(x))
    return x.size


@pytest.mark.parametrize("dtype", FLOATS)
def test_routines_call_each_other_through_inlined_functions(folder, dtype):
    x, counter = np.zeros(5, dtype), np.zeros(1, np.int64)
    assert increase[np.dtype(dtype)](x, counter) == 5
    assert_array_equal(x, np.full(5, 2))
    assert counter[0] == 5


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_matrix_is_one_argument_and_tells_the_version(folder, dtype):
    x = np.zeros((3, 5), dtype)
    increase_rows[np.dtype(dtype)](x)
    assert_array_equal(x, np.ones((3, 5)))
    call(_increase_rows, dtype, 3, 2, x)
    assert_array_equal(x, [[2, 2, 1, 1, 1]] * 3)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_routine_has_an_address_for_each_dtype(folder, dtype):
    real, x = real_type(dtype), np.zeros(3, dtype)
    address = _increase.address(real)
    assert address == _increase.address(real)
    assert len({_increase.address(real_type(each)) for each in FLOATS}) == 2
    call(_increase, dtype, 3, x)
    assert_array_equal(x, np.ones(3))


def test_a_routine_is_compiled_once_and_called_by_name(folder):
    real = real_type(np.float32)
    new = routine(*_increase_and_count.kinds)(_increase_and_count.function)
    assembly = new.assembly(real)
    assert _increase.symbol(real) in assembly
    assert _increase.symbol(real) != _increase.symbol(real_type(np.float64))


def test_kernels_cannot_allocate(folder):
    """The code that a step calls has no run-time library to take memory from."""

    @routine(REALS)
    def allocating(x):
        poke(x, 0, np.ones(3)[1])

    with pytest.raises(numba.core.errors.NumbaError):
        allocating.address(real_type(np.float32))


def test_entries_take_what_their_types_say_and_compile_no_other_version(folder):
    double = doubling()
    x, y = np.arange(6.0), np.zeros(6)
    locked = x.copy()
    locked.flags.writeable = False
    double[y.dtype](locked, y)
    assert_array_equal(y, 2 * x)
    kept = files(folder)
    for bad in (
        (x, locked),
        (x[::2], y),
        (x, y[::2]),
        (x.astype(np.float32), y),
        (x.astype(int), y),
        (x.reshape(2, 3), y),
        (x.tolist(), y),
        (x,),
    ):
        with pytest.raises(TypeError):
            double[y.dtype](*bad)
    assert_array_equal(y, 2 * x)
    assert files(folder) == kept


def test_strided_types_take_every_layout(folder):
    @entry(reads(2, layout="A"), writes(2, layout="A"))
    def copy(x, y):
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                y[i, j] = x[i, j]

    x = np.arange(12.0).reshape(3, 4)
    for source in (
        x,
        np.asfortranarray(x),
        np.repeat(x, 2, 1)[:, ::2],
        np.broadcast_to(x[0], (3, 4)),
    ):
        for out in (np.empty((3, 4)), np.empty((4, 3)).T, np.empty((3, 4))[::-1]):
            copy[x.dtype](source, out)
            assert_array_equal(out, source)


def test_division_by_zero_is_that_of_numpy(folder):
    @entry(writes(1), result=types.float64)
    def divide(x):
        return x[0] / x[1]

    for dtype in FLOATS:
        assert divide[np.dtype(dtype)](np.array([1, 0], dtype)) == np.inf
        assert np.isnan(divide[np.dtype(dtype)](np.array([0, 0], dtype)))


def test_threads_may_ask_for_the_same_entry_at_once(folder):
    new = entry(*increase.kinds, result=increase.result)(increase.function)
    ready, results = threading.Barrier(4), []

    def work():
        x, counter = np.zeros(5, np.float32), np.zeros(1, np.int64)
        ready.wait()
        new[x.dtype](x, counter)
        results.append((x.tolist(), counter[0]))

    team = [threading.Thread(target=work) for _ in range(4)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    assert results == [([2.0] * 5, 5)] * 4
