import errno
import os
import stat
import subprocess
import sys

import pytest

from fastnn.files import atomic as files
from fastnn.files.atomic import append_line, check_writable, remove_partials, replacing
from processes import python

posix = pytest.mark.skipif(sys.platform == "win32", reason="no modes, no limits of files")


def write(path, content=b"new"):
    with replacing(path) as file:
        file.write(content)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_a_file_keeps_its_mode(mode, path):
    path.write_bytes(b"old")
    path.chmod(mode)
    write(path)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
def test_nobody_else_reads_a_secret_file_while_it_is_written(path):
    path.write_bytes(b"old")
    path.chmod(0o600)
    with replacing(path) as file:
        (partial,) = path.parent.glob(".fastnn-*")
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
        file.write(b"new")


@posix
def test_a_file_and_its_name_reach_the_disk_in_order(path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def note(descriptor):
        fsync(descriptor)
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "replace", lambda *names: (events.append("name"), replace(*names)))
    write(path)
    assert events == ["file", "name", "folder"]


def test_a_folder_that_cannot_be_synced_does_not_matter(path, monkeypatch):
    fsync = os.fsync

    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    write(path)
    assert path.read_bytes() == b"new"


FULL = """
import errno, os, resource, signal, sys
from fastnn.files.atomic import append_line, replacing
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    {}
except OSError as error:
    assert error.filename == sys.argv[1], error.filename
    assert error.errno in (errno.EFBIG, errno.ENOSPC), error
else:
    raise SystemExit("no error")
"""
WRITE = "with replacing(sys.argv[1]) as file: file.write(b'new' * 1000)"


@posix
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(old, path):
    if old is not None:
        path.write_bytes(old)
    python(FULL.format(WRITE), path)
    assert [each.read_bytes() for each in path.parent.iterdir()] == [old] * (old is not None)


@posix
def test_a_line_that_cannot_be_written_whole_leaves_the_ones_before(path):
    path.write_bytes(b"a\n" * 450)
    job = "append_line(sys.argv[1], 'b' * 200)"
    python(FULL.format(job), path)
    assert path.read_bytes() == b"a\n" * 450


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
def test_a_full_disk_leaves_the_old_file(tmp_path):
    """The real thing, where the system lets a test mount a disk of 64 KiB."""
    program = f"""
import os, sys
from pathlib import Path
from fastnn.files.atomic import replacing
path = Path({os.fspath(tmp_path)!r}, "file")
def write(size):
    with replacing(path) as file:
        file.write(b"x" * size)
write(30_000)
try:
    write(60_000)
except OSError as error:
    assert error.errno == 28 and error.filename == str(path), error
else:
    raise SystemExit("the disk was large enough")
assert path.read_bytes() == b"x" * 30_000
assert os.listdir(path.parent) == ["file"]
write(20_000)
print("tested")
"""
    mount = f"mount -t tmpfs -o size=64k tmpfs {tmp_path}"
    run = ["unshare", "-r", "-m", "sh", "-c", f'{mount} || exit 77; exec "$0" -c "$1"']
    try:
        found = subprocess.run(
            [*run, sys.executable, program], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no unshare")
    if found.returncode == 77 or "unshare" in found.stderr:
        pytest.skip("no mounts here")
    assert (found.stdout, found.returncode) == ("tested\n", 0), found.stderr


def test_what_a_killed_writer_left_is_removed_and_nothing_else(path):
    others = [path, path.with_name(".fastnn-other"), path.with_name("other")]
    for each in others:
        each.write_bytes(b"")
    writer = replacing(path)
    writer.__enter__().write(b"half")
    assert len(list(path.parent.iterdir())) == 4
    remove_partials(path)
    assert sorted(path.parent.iterdir()) == sorted(others)
    with pytest.raises(OSError, match=str(path)):
        writer.__exit__(None, None, None)


@pytest.mark.parametrize("name", ["none/file", "file/file", "."])
def test_a_place_that_cannot_be_written_is_known_before(name, path):
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=str(path.parent)) as caught:
        check_writable(path.parent / name)
    assert str(caught.value).endswith(f"'{path.parent / name}'")
    check_writable(path)
    check_writable(path.with_name("other"))
    assert list(path.parent.iterdir()) == [path]


def test_lines_are_added_whole(path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda each: (synced.append(each), fsync(each)))
    for i in range(3):
        append_line(path, f"line {i}")
        assert len(synced) >= i + 1
    assert path.read_text() == "line 0\nline 1\nline 2\n"


def test_errors_that_are_not_the_systems_pass_through(path, monkeypatch):
    def refuse(_):
        raise OSError("no number")

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(OSError, match="no number"):
        write(path)
