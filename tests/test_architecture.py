"""The files of each package import one another in one direction, and not through many others.

Imports inside functions, and those for types alone, count as all others do. What rooms may import
is said by the contracts of import-linter in pyproject.toml, which `lint-imports` checks.
"""

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

PACKAGES = ("bench", "fastnn", "kernels")
MOST_LEVELS = 12

Imports = dict[str, set[str]]
"""For each file of a package, the files of the package that it imports."""


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def imports_within(graph: grimp.ImportGraph, package: str) -> Imports:
    inside = {each for each in graph.modules if each.partition(".")[0] == package}
    return {each: graph.find_modules_directly_imported_by(each) & inside for each in inside}


def levels_of(imports: Imports) -> dict[str, int]:
    """The level of each file: 1 where it imports none, else one above the highest it imports."""
    levels: dict[str, int] = {}
    for module in TopologicalSorter(imports).static_order():
        levels[module] = 1 + max((levels[each] for each in imports[module]), default=0)
    return levels


def described(levels: dict[str, int], imports: Imports) -> str:
    """The files of each level, and one of the longest chains, from its top."""
    rows = [
        f"{level:2}  " + " ".join(sorted(each for each in levels if levels[each] == level))
        for level in range(1, max(levels.values()) + 1)
    ]
    chain = [max(levels, key=lambda each: (levels[each], each))]
    while imports[chain[-1]]:
        chain.append(max(imports[chain[-1]], key=lambda each: (levels[each], each)))
    return "\n".join([*rows, "the longest chain: " + " > ".join(chain)])


@pytest.mark.parametrize("package", PACKAGES)
def test_no_files_import_each_other(graph, package):
    try:
        levels_of(imports_within(graph, package))
    except CycleError as error:
        pytest.fail("a circle of imports: " + " < ".join(error.args[1]))


def test_the_imports_of_fastnn_have_few_levels(graph):
    imports = imports_within(graph, "fastnn")
    levels = levels_of(imports)
    assert max(levels.values()) <= MOST_LEVELS, described(levels, imports)


def test_only_the_top_rooms_import_the_face(graph):
    """Below, the face's names would be a way round the order of the rooms."""
    importers = graph.find_modules_that_directly_import("fastnn")
    inside = {each.split(".")[1] for each in importers if each.startswith("fastnn.")}
    assert inside <= {"cli", "reports"}


def test_circles_and_levels_are_found():
    imports = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    levels = levels_of(imports)
    assert levels == {"a": 3, "b": 2, "c": 1}
    assert described(levels, imports).splitlines() == [
        " 1  c", " 2  b", " 3  a", "the longest chain: a > b > c",
    ]  # fmt: skip
    with pytest.raises(CycleError):
        levels_of({"a": {"b"}, "b": {"a"}})
