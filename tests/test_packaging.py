"""What a package index, a citation and the workflows tell is true, and the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
HOME = PROJECT["urls"]["Homepage"]
ADDRESSED = "CHANGELOG.md", "CITATION.cff", "CODE_OF_CONDUCT.md", "SECURITY.md", "pyproject.toml"


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_links_of_the_index_lead_out_of_the_checkout():
    """A package index shows README without the files beside it."""
    shown = text("README.md")
    for each in PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"][
        "substitutions"
    ]:
        shown = re.sub(each["pattern"], each["replacement"], shown)
    links = re.findall(r"\]\(([^)]*)\)", shown) + re.findall(r"(?:src|href)=\"([^\"]*)\"", shown)
    assert len(links) > 2
    assert [link for link in links if not re.match("https?://|#", link)] == []
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", shown)
    assert all((ROOT / each.removeprefix(f"{HOME}/raw/main/")).is_file() for each in pictures)


@pytest.mark.parametrize("name", ADDRESSED)
def test_the_repository_has_one_address(name):
    found = re.findall(r"https://github\.com/[\w-]+/[\w-]+", text(name))
    assert found
    assert set(found) == {HOME}


def test_the_citation_is_of_this_version():
    assert f"\nversion: {PROJECT['version']}\n" in text("CITATION.cff")


def test_the_changelog_keeps_its_form():
    log = text("CHANGELOG.md")
    releases = re.findall(r"^## (.*)$", log, re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each) for each in releases[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", log, re.MULTILINE)) <= kinds
    assert all(f"\n[{each[1:].partition(']')[0]}]: {HOME}" in log for each in releases)


def test_pythons_are_the_same_in_classifiers_and_workflows():
    told = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if ":: 3." in each]
    assert PROJECT["requires-python"] == f">={told[0]}"
    matrix = re.search(r"python: \[(.*)\]", text(".github/workflows/checks.yml"))[1]
    assert matrix.replace('"', "").split(", ") == told


def test_a_bound_is_told_once_for_all_extras():
    """An extra that names a dependency again asks for the same versions."""
    bounds = {}
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for each in (each for requirements in lists for each in requirements):
        name, bound = re.match(r"([\w.-]+)([^;]*)", each).groups()
        bounds.setdefault(name.lower(), set()).add(bound)
    torch = bounds.pop("torch")  # whose results tests and benchmarks compare with
    assert {"==2.13.0"} < torch
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}
