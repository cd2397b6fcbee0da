import gzip
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from fastnn.data.tables import scratch
from fastnn.data.tables.scratch import Scratch, ScratchError
from processes import python
from tables import source
from windows import Windows

linux = pytest.mark.skipif(sys.platform != "linux", reason="files without names are of Linux")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # for other processes
    scratch._remove_leftovers.cache_clear()
    return tmp_path / "fastnn"


def test_what_is_written_is_read_by_the_path(folder):
    file = Scratch("rows.csv")
    file.write(b"one ")
    file.write(b"two")
    file.flush()
    assert file.path.read_bytes() == b"one two"


@linux
@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_nothing_is_left_of_a_process_that_ends_in_any_way(end, folder, tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"a,b\r\n" + b"1,2\n3,4\r\n" * 99)  # odd line ends
    code = (
        "import time; from fastnn.data.tables.sources import open_source\n"
        f"source = open_source({str(tmp_path / 'rows.csv')!r}); table = source.table()\n"
        "assert source._copies and len(table) == 198\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        assert not list(folder.glob("table-*"))  # it has no name
        process.send_signal(getattr(signal, end))
        process.wait(20)
    assert not list(folder.glob("table-*"))


def test_leftovers_of_processes_that_are_gone_are_removed_after_a_day(folder):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    folder.mkdir()
    gone, runs = (folder / f"table-{number}-x" for number in (process.pid, os.getpid()))
    spilled, new = (folder / f"table-{process.pid}-{name}" for name in ("folder", "new"))
    spilled.mkdir()
    (spilled / "block").touch()
    other = folder / "table-of-mine"
    for path in (gone, runs, new, other):
        path.touch()
    for path in (gone, runs, spilled, other):
        os.utime(path, (time.time() - 100_000,) * 2)
    assert scratch.folder() == folder
    assert {*folder.iterdir()} == {runs, new, other}


@pytest.fixture
def elsewhere(folder, monkeypatch):
    """Scratch files as they are on other systems than Linux."""
    monkeypatch.setattr(scratch, "_OPEN_FILES", folder / "none")


def test_elsewhere_files_have_names_and_go_with_the_object(elsewhere, folder):
    file = Scratch("rows.csv")
    file.write(b"one")
    file.flush()
    assert list(folder.iterdir()) == [file.path]
    assert file.path.read_bytes() == b"one"
    del file
    assert list(folder.iterdir()) == []
    unwritten = Scratch("rows.csv")
    del unwritten
    assert list(folder.iterdir()) == []


def test_elsewhere_others_find_the_file_closed(elsewhere, folder, monkeypatch):
    """Windows shares no file that is open for writing, and removes none that is open."""
    Windows(monkeypatch)
    file = Scratch("rows.csv")
    file.flush()
    file.path.write_bytes(b"by DuckDB")
    os.replace(file.path, file.path)  # which Windows refuses for an open file
    del file
    assert list(folder.iterdir()) == []
    table = source(gzip.compress(b"a,b\n1,2\n")).table()
    assert len(table) == 1


def test_elsewhere_nothing_is_left_at_the_end_of_the_process(folder):
    code = (
        "from pathlib import Path; from fastnn.data.tables import scratch\n"
        "scratch._OPEN_FILES = Path('none'); file = scratch.Scratch('rows.csv')\n"
        "file.write(b'one'); print(file.path.exists())"
    )
    assert python(code).stdout == "True\n"
    assert list(folder.glob("table-*")) == []


@pytest.mark.parametrize(
    ("opened", "waited", "runs"), [(0, 258, True), (0, 0, False), (5, 0, True), (87, 0, False)]
)
def test_windows_is_asked_whether_a_process_runs(monkeypatch, opened, waited, runs):
    """By a handle: signal 0 is Ctrl-C there, which would end this process."""

    class NoAccessError(OSError):
        winerror = opened

    def open_process(access, inherit, number):
        assert (access, inherit, number) == (0x100000, False, 123)
        if opened:
            raise NoAccessError
        return "handle"

    closed = []
    system = SimpleNamespace(
        SYNCHRONIZE=0x100000, WAIT_OBJECT_0=0, OpenProcess=open_process, CloseHandle=closed.append,
        WaitForSingleObject=lambda handle, milliseconds: waited,
    )  # fmt: skip
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "_winapi", system)
    monkeypatch.setattr(os, "kill", None)
    assert scratch._runs(123) is runs
    assert closed == ([] if opened else ["handle"])


@linux
def test_a_full_folder_is_one_error(folder, monkeypatch):
    full = partial(open, "/dev/full", "wb")
    monkeypatch.setattr(scratch.tempfile, "TemporaryFile", lambda **_: full())
    content = b"a,b\r\n" + b"1,2\n3,4\r\n" * 99_999
    with pytest.raises(ScratchError, match=r"^rows.csv: cannot be copied to .*: No space left"):
        source(content)
    with pytest.raises(ScratchError, match=r"^rows.csv: cannot be copied to .*: No space left"):
        source(gzip.compress(content))
    with pytest.raises(ScratchError, match=r"^rows.csv: cannot be copied to .*: No space left"):
        source(content[:100])  # which is written at last


@linux
def test_without_a_folder_of_the_users_own_the_usual_one_is_taken(folder):
    folder.write_bytes(b"")  # a file where the folder should be
    assert scratch.folder() == Path(scratch.tempfile.gettempdir())
    assert len(source("a,b\n1,2\n").table()) == 1


def test_a_folder_that_cannot_be_written_is_one_error(folder, monkeypatch):
    monkeypatch.setattr(scratch, "folder", lambda: folder / "none")
    with pytest.raises(ScratchError, match=r"^rows.csv: cannot be copied to .*none: No such file"):
        Scratch("rows.csv")
