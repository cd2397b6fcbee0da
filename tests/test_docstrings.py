"""Every public name is documented as numpydoc has it, and every example runs."""

import doctest
import importlib
import inspect

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

FACES = (
    "fastnn",
    "fastnn.callbacks",
    "fastnn.datasets",
    "fastnn.estimators",
    "fastnn.initializers",
    "fastnn.plots",
    "fastnn.schedules",
    "kernels",
)
# Missing: docstring, summary, parameters and what they are, what is returned, an example.
FUNCTION = {
    "GL08", "SS01", "SS02", "SS03", "SS04", "PR01", "PR02", "PR03", "PR04", "PR06", "PR07",
    "PR10", "RT01", "RT03", "EX01",
}  # fmt: skip
METHOD = {"GL08", "SS01", "SS02", "SS03", "PR02"}


def public():
    """Names of public functions and classes, each once, by where users find them."""
    seen = {}
    for face in FACES:
        module = importlib.import_module(face)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                seen.setdefault(thing, f"{face}.{name}")
    return seen


def errors_of(name, codes):
    return [f"{code}: {text}" for code, text in validate(name)["errors"] if code in codes]


@pytest.mark.parametrize("name", sorted(public().values()))
def test_a_public_name_is_documented(name):
    face, _, own = name.rpartition(".")
    # By its name, numpydoc would find a module instead of the function: fastnn.plots.curves.
    thing = getattr(importlib.import_module(face), own)
    assert not errors_of(get_doc_object(thing), FUNCTION)


@pytest.mark.parametrize(
    "name", sorted(name for thing, name in public().items() if inspect.isclass(thing))
)
def test_methods_of_public_classes_are_documented(name):
    face, _, kind = name.rpartition(".")
    thing = getattr(importlib.import_module(face), kind)
    methods = [
        each
        for each, value in vars(thing).items()
        if not each.startswith("_") and inspect.isfunction(value)
    ]
    problems = {each: errors_of(f"{name}.{each}", METHOD) for each in methods}
    assert not {each: found for each, found in problems.items() if found}


@pytest.mark.parametrize(
    ("thing", "name"), public().items(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_examples_run(thing, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in finder.find(thing, name, globs={}):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
