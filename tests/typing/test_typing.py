"""The public face is typed, as `py.typed` promises, and type checkers read it."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn
import kernels
from processes import ROOT

HERE = Path(__file__).parent
OPERATORS = "__array__", "__call__", "__getitem__", "__iter__", "__len__", "__setitem__"


def public():
    """Yield the names of all public functions and methods, and what they name."""
    modules = {"kernels": kernels, "fastnn": fastnn}
    for name in fastnn.__all__:
        if inspect.ismodule(value := getattr(fastnn, name)):
            modules[f"fastnn.{name}"] = value
    for place, module in modules.items():
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value):
                yield from methods(f"{place}.{name}", value)
            elif inspect.isfunction(value):
                yield f"{place}.{name}", value


def methods(place, kind):
    """Yield the public methods of a class, as the first of its bases that has them tells them."""
    bases = [base for base in kind.__mro__ if base.__module__.startswith(("fastnn", "kernels"))]
    for base in bases:
        later = bases[bases.index(base) + 1 :]
        for name, value in vars(base).items():
            found = getattr(value, "fget", None) or getattr(value, "__func__", value)
            own = name in ("__init__", "__call__") and base is kind
            public = name[0] != "_" or name in OPERATORS
            told = public and not any(name in vars(each) for each in later)
            if inspect.isfunction(inspect.unwrap(found)) and (own or told):
                yield f"{place}.{name}", inspect.unwrap(found)


def untyped(function, name):
    """Return the names of the parameters without a type, and "return" if the result has none."""
    signature = inspect.signature(function)
    found = [each for each, told in signature.parameters.items() if told.annotation is told.empty]
    if signature.return_annotation is signature.empty and not name.endswith("__init__"):
        found.append("return")
    return [each for each in found if each not in ("self", "cls")]


def test_public_functions_say_what_they_take_and_return():
    found = {name: untyped(function, name) for name, function in public()}
    assert {name: words for name, words in found.items() if words} == {}


def check(path):
    """Return what the strict type checker prints; fastnn is where installed packages are."""
    pytest.importorskip("mypy")
    options = "--strict", "--config-file=", "--cache-dir", ROOT / ".mypy_cache" / "consumer"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, path],
        capture_output=True, text=True, timeout=600, cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MYPYPATH": ""},
    )  # fmt: skip
    return done.stdout + done.stderr


def test_a_user_s_program_passes_the_strict_type_checker():
    assert check(HERE / "consumer.py") == "Success: no issues found in 1 source file\n"


def test_a_name_that_is_not_there_is_told(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import fastnn\nfastnn.Linar(1, 2)\nfastnn.Linear('a', 2)\n")
    found = check(program)
    assert 'Module has no attribute "Linar"' in found
    assert 'has incompatible type "str"; expected "int"' in found


def test_all_public_names_are_used_there():
    words = set(re.findall(r"\w+", (HERE / "consumer.py").read_text()))
    modules = [value for name in fastnn.__all__ if inspect.ismodule(value := getattr(fastnn, name))]
    missing = {name for each in (fastnn, kernels, *modules) for name in each.__all__} - words
    assert missing == set()


@pytest.mark.parametrize("package", [fastnn, kernels])
def test_a_package_says_that_it_is_typed(package):
    assert (Path(package.__file__).parent / "py.typed").is_file()
