import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest

import kernels
from kernels.base import host
from kernels.base.jit import real_type
from kernels.product import choice

HERE = Path(__file__).parents[1]
PROCESSORS = {
    "128 bits": ("generic", "", 16),
    "AVX2": ("haswell", "+avx,+avx2,+fma,+sse4.2,+bmi,+bmi2", 32),
}


def host_of(monkeypatch, features):
    """A second `kernels.base.host`, made where numba compiles for these features."""
    monkeypatch.setattr(numba.config, "CPU_FEATURES", features)
    spec = importlib.util.spec_from_file_location("other_host", host.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("features", "width"),
    [
        ("", 16),
        ("+sse4.2,+avx", 16),
        ("+avx,+avx2", 16),  # AVX2 without fused multiply-add is no better than SSE here
        ("+avx,+avx2,+fma", 32),
        ("+avx,+avx2,+fma,-avx512f", 32),
        ("+avx,+avx2,+fma,+avx512f", 64),
        ("+avx512f", 64),  # with all that it is built on
        ("+avx512f,-avx512f", 16),
        ("+avx,+avx2,+fma,+avx512f,-avx2", 16),
        ("+avx,+avx2,+fma,+avx512f,-f16c", 32),
        ("+avx2,+fma,-avx", 16),
        ("+avx512f,-sse4.2", 16),
    ],
)
def test_the_vector_width_follows_from_the_features(monkeypatch, features, width):
    other = host_of(monkeypatch, features)
    assert width == other.VECTOR_BYTES
    assert other.lanes(real_type(np.float32)) == width // 4
    assert other.lanes(real_type(np.float64)) == width // 8


@pytest.mark.parametrize("features", ["", "+avx2,+fma", "+avx2,+fma,+avx512f"])
def test_the_register_tile_fits_the_registers(monkeypatch, features):
    other = host_of(monkeypatch, features)
    accumulators = other.TILE_ROWS * other.TILE_VECTORS
    assert accumulators + other.TILE_VECTORS + 1 <= other.VECTOR_REGISTERS
    assert accumulators + other.TILE_VECTORS + 1 > other.VECTOR_REGISTERS - 2 * other.TILE_VECTORS
    assert other.TILE_ROWS % 2 == 0
    assert choice.PANEL_DEPTH % 2 == choice.UNPACKED_DEPTH % 2 == 0


def test_the_hosts_own_features_are_those_numba_compiles_for():
    if numba.config.CPU_FEATURES is None:
        own = {name for name, there in llvm.get_host_cpu_features().items() if there}
        assert own == host.FEATURES
    assert host.VECTOR_BYTES in (16, 32, 64)


def test_avx_is_taken_away_as_numba_does(monkeypatch):
    monkeypatch.setattr(numba.config, "ENABLE_AVX", 0)
    other = host_of(monkeypatch, None)
    assert other.VECTOR_BYTES == 16
    assert not any(name.startswith("avx") for name in other.FEATURES)


def test_features_that_the_processor_does_not_have_are_refused(monkeypatch):
    """Else a kernel would end the process."""
    there = llvm.get_host_cpu_features()
    absent = next(name for name in sorted(there) if not there[name])
    present = next(name for name in sorted(there) if there[name])
    assert host.impossible() == []
    for chosen, wrong in [
        ("", []),
        (f"+{present},-{absent},", []),
        ("+prefer-256-bit", []),  # no feature of a processor
        (f"+{present},+{absent}", [f"+{absent}"]),
        (f"{present}, +{present}", [present, f" +{present}"]),
        ("-sse2", ["-sse2"]),
    ]:
        assert host_of(monkeypatch, chosen).impossible() == wrong


@pytest.mark.parametrize("chosen", ["unknown", "+avx2, +fma", "-sse2"])
def test_features_that_mean_nothing_are_refused_and_do_not_abort(chosen):
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import kernels"], capture_output=True, text=True,
        env=environment(NUMBA_CPU_FEATURES=chosen),
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: NUMBA_CPU_FEATURES has {chosen.split(',')[-1]}; expected")


@pytest.mark.parametrize(
    ("triple", "is_x86", "is_arm"),
    [
        ("x86_64-unknown-linux-gnu", True, False),
        ("x86_64-pc-windows-msvc", True, False),
        ("i686-pc-windows-msvc", True, False),
        ("aarch64-pc-windows-msvc", False, True),
        ("arm64-apple-darwin23.6.0", False, True),
        ("riscv64-unknown-linux-gnu", False, False),
    ],
)
def test_the_processor_is_the_one_that_llvm_compiles_for(monkeypatch, triple, is_x86, is_arm):
    """Windows for Arm runs processes for x86-64, too, and tells them of the machine."""
    monkeypatch.setattr(llvm, "get_process_triple", lambda: triple)
    other = host_of(monkeypatch, "")
    assert (is_x86, is_arm) == (other.IS_X86, other.IS_ARM)


def test_cores_are_those_this_process_may_use(monkeypatch):
    assert 1 <= host.cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert host.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert host.cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert host.cores() == 1


# --------------------------------------------------------- every kernel on other processors


def environment(**changed):
    """This process's environment, with the `kernels` under test in front of the path."""
    path = [str(Path(kernels.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), **changed}


def as_processor(name):
    """Environment in which kernels are compiled for another processor, if this one can be it."""
    processor, features, _ = PROCESSORS[name]
    if not host.IS_X86:
        pytest.skip("needs an x86 processor")
    missing = {f[1:] for f in features.split(",") if f} - {
        f for f, there in llvm.get_host_cpu_features().items() if there
    }
    if missing:
        pytest.skip(f"this processor has no {sorted(missing)}")
    return environment(NUMBA_CPU_NAME=processor, NUMBA_CPU_FEATURES=features)


def start(command, folder, env):
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


CHECK = [sys.executable, str(HERE / "check_isa.py")]


@pytest.fixture(scope="module")
def checks(tmp_path_factory):
    """The checks of all processors, running side by side."""
    running = {}
    for name in PROCESSORS:
        try:
            env = as_processor(name)
        except pytest.skip.Exception:
            continue
        running[name] = start(CHECK, tmp_path_factory.mktemp("check"), env)
    yield running
    for process in running.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", PROCESSORS)
def test_kernels_on_another_processor(checks, name):
    as_processor(name)
    output, _ = checks[name].communicate(timeout=600)
    assert checks[name].returncode == 0, output
    assert f"checks passed with vectors of {PROCESSORS[name][2]} bytes" in output


SMALL = """
import numpy as np
from kernels import exp  # which scales by powers of two with an instruction of AVX-512
assert np.allclose(exp(np.arange(12.0)), np.exp(np.arange(12.0)))
"""


@pytest.mark.parametrize(
    "changed",
    [{"NUMBA_ENABLE_AVX": "0"}, {"NUMBA_CPU_FEATURES": "+avx512f,-sse4.2"}],
    ids=str,
)
def test_settings_that_would_end_the_process(tmp_path, changed):
    if "avx512f" in changed.get("NUMBA_CPU_FEATURES", "") and "avx512f" not in host.FEATURES:
        pytest.skip("this processor has no AVX-512")
    env = environment(FASTNN_CACHE_DIR=str(tmp_path / "cache"), **changed)
    process = start([sys.executable, "-P", "-c", SMALL], tmp_path, env)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {"NUMBA_ENABLE_AVX": "0"},
        {"NUMBA_OPT": "0"},
        {"NUMBA_OPT": "1"},
        {"NUMBA_OPT": "max"},
        {"NUMBA_BOUNDSCHECK": "1"},
        {"NUMBA_DEBUGINFO": "1"},
        {"NUMBA_ENABLE_PROFILING": "1"},
        {"NUMBA_EXTEND_VARIABLE_LIFETIMES": "1"},
        {"NUMBA_LLVM_REFPRUNE_PASS": "0"},
        {"NUMBA_LOOP_VECTORIZE": "0"},
        {"NUMBA_SLP_VECTORIZE": "1"},
        {"NUMBA_USE_LLVMLITE_MEMORY_MANAGER": "1"},
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_CPU_NAME": "haswell"},
        {"NUMBA_CPU_NAME": "unknown"},
        {"NUMBA_CPU_FEATURES": ""},
        {"NUMBA_CPU_FEATURES": "+unknown"},
    ],
    ids=str,
)
def test_kernels_under_settings_of_numba(tmp_path, changed):
    """They give working code, each from a folder of its own."""
    env = environment(FASTNN_CACHE_DIR=str(tmp_path / "cache"), **changed)
    for _ in range(2):  # compiled, and loaded
        process = start(CHECK, tmp_path, env)
        output, _ = process.communicate(timeout=1200)
        assert process.returncode == 0, output
        assert "checks passed" in output


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSORS)
def test_all_kernel_tests_on_another_processor(tmp_path, name):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE)]
    process = start([*command, "--ignore", __file__], tmp_path, as_processor(name))
    output, _ = process.communicate(timeout=3600)
    assert process.returncode == 0, output[-5000:]
    assert " passed" in output
