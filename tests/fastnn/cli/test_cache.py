import os
from functools import partial

import pytest

import command_line
from command_line import error_of
from kernels.base import folder

run = partial(command_line.run, "cache")

NAME = "kernels.some.function-{:032x}.bin"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A cache folder with three entries, one half written, and two files of someone else."""
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path / "kept"))
    for digit in range(2):
        folder.write(NAME.format(digit), bytes(1000))
    (tmp_path / "kept" / f"{NAME.format(2)}.abcd1234.part").write_bytes(bytes(500))
    (tmp_path / "kept" / "notes.bin").write_text("mine")
    (tmp_path / "kept" / "notes.txt").write_text("mine")
    return tmp_path / "kept"


def lines(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert not result.stderr
    return result.stdout.splitlines()


def test_the_folder_and_its_size(place):
    assert lines() == [str(place), "3 entries, 2,564 bytes"]


def test_clearing_removes_the_entries_alone(place):
    assert lines("--clear") == [str(place), "3 entries, 2,564 bytes removed"]
    assert {each.name for each in place.iterdir()} == {"notes.bin", "notes.txt"}
    assert lines() == lines("--clear")[:1] + ["0 entries, 0 bytes"]


@pytest.mark.parametrize("arguments", [[], ["--clear"]])
def test_an_absent_folder(tmp_path, monkeypatch, arguments):
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path / "absent"))
    absent = [str(tmp_path / "absent"), "absent: it is made when kernels are compiled"]
    assert lines(*arguments) == absent
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("arguments", [[], ["--clear"]])
def test_no_folder_at_all(monkeypatch, arguments):
    monkeypatch.setattr(folder, "folder", lambda: None)
    (line,) = lines(*arguments)
    assert line == "no folder: there is no home folder, and FASTNN_CACHE_DIR names none"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no modes")
def test_a_folder_that_is_not_trusted_is_shown_and_cleared(place):
    place.chmod(0o777)
    doubt = f"not used: others may write to {place} (chmod go-w)"
    assert lines() == [str(place), doubt, "3 entries, 2,564 bytes"]
    assert lines("--clear") == [str(place), doubt, "3 entries, 2,564 bytes removed"]


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path / "file"))
    assert lines() == [str(tmp_path / "file"), "not used: Not a directory"]
    assert "Not a directory" in error_of(run("--clear"), 1)
    assert (tmp_path / "file").read_text() == "not a folder"
