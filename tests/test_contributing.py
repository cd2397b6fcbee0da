"""CONTRIBUTING.md is true: its floor plan names every file, and its recipes existing ones."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def plan_of(package):
    """Return the files that the plan names, by the folders of a package."""
    table = TEXT.partition(f"| room of `{package}/` |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(.*)/` \| (.*) \|$", table, re.MULTILINE)
    return {
        room if room == package else f"{package}/{room}": set(re.findall(r"`(.*?)`", names))
        for room, names in rows
    }


@pytest.mark.parametrize("package", ["fastnn", "kernels"])
def test_the_plan_names_every_file_and_no_other(package):
    files = {}
    for path in (ROOT / package).rglob("*.py"):
        if path.stem != "__init__":
            room = path.parent.relative_to(ROOT).as_posix()
            files.setdefault(room, set()).add(path.stem)
    assert {room: names - {"__init__"} for room, names in plan_of(package).items()} == files


def test_every_path_leads_somewhere():
    paths = set(re.findall(r"`((?:fastnn|kernels|tests|bench)/[\w/.]*)`", TEXT))
    assert len(paths) > 20
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 200
