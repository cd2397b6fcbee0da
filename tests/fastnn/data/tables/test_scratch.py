import gzip
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from fastnn.data.tables import scratch
from fastnn.data.tables.scratch import Scratch, ScratchError
from tables import source

linux = pytest.mark.skipif(sys.platform != "linux", reason="files without names are of Linux")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    scratch._remove_leftovers.cache_clear()
    return tmp_path / "fastnn"


def test_what_is_written_is_read_by_the_path(folder):
    file = Scratch("rows.csv")
    file.write(b"one ")
    file.write(b"two")
    file.flush()
    assert file.path.read_bytes() == b"one two"


@linux
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
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
        process.send_signal(end)
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
