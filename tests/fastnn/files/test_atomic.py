import errno
import os
import re
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastnn.files import atomic as files
from fastnn.files.atomic import append_line, check_writable, remove_partials, replacing
from processes import python
from windows import Windows

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


KILLED = """
import os, sys
from fastnn.files.atomic import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), 9)
"""


@posix
def test_what_a_killed_writer_left_is_removed_and_nothing_else(path):
    others = [path, path.with_name(".fastnn-other"), path.with_name("other")]
    for each in others:
        each.write_bytes(b"old")
    python(KILLED, path, check=False)
    assert len(list(path.parent.iterdir())) == 4
    with replacing(path) as file:  # one that lives
        file.write(b"new")
        assert len(list(path.parent.iterdir())) == 5
        remove_partials(path)
        assert len(list(path.parent.iterdir())) == 4
    assert path.read_bytes() == b"new"
    assert sorted(path.parent.iterdir()) == sorted(others)


@posix
def test_a_partial_file_that_is_removed_before_it_is_locked_is_made_anew(path, monkeypatch):
    calls = []

    def late(file):
        calls.append(file)
        if len(calls) == 1:
            remove_partials(path)
        return lock(file)

    lock = files.try_lock
    monkeypatch.setattr(files, "try_lock", late)
    write(path)
    assert len(calls) == 3  # the cleaner's is one of them
    assert path.read_bytes() == b"new"


# ---------------------------------------------------------------- what is no regular file


def through(target):
    """What arrives at the reader of a pipe named `target` while `write` writes there."""
    with ThreadPoolExecutor() as pool:
        read = pool.submit(target.read_bytes)
        write(target)
        return read.result(30)


@posix
def test_a_pipe_is_written_to(path):
    os.mkfifo(path)
    path.with_name("link").symlink_to(path)
    for name in (path, path.with_name("link")):
        assert through(name) == b"new"
        assert stat.S_ISFIFO(path.stat().st_mode)
    assert path.with_name("link").is_symlink()
    assert len(list(path.parent.iterdir())) == 2


@posix
def test_a_device_is_written_to_and_stays(path):
    path.symlink_to("/dev/null")
    before = os.stat("/dev/null")
    for name in ("/dev/null", path):
        write(name)
        assert not files.is_replaced(name)
        files.remove(name)
    assert os.path.samestat(os.stat("/dev/null"), before)
    assert path.is_symlink()
    path.with_name("other").symlink_to("/dev/full")
    for name in ("/dev/full", path.with_name("other")):
        with pytest.raises(OSError, match=f"No space left on device: '{name}'"):
            write(name)


STANDARD = """
import os, sys
from fastnn.files.atomic import replacing
print("before", flush=True)
with replacing(sys.argv[1]) as file:
    file.write(b"new")
os.write(1, b" after")
"""


@posix
@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1", "link"])
@pytest.mark.parametrize("mode", ["xb", "ab"])
def test_standard_output_goes_where_it_goes(name, mode, path):
    """A file behind it is neither replaced nor begun anew."""
    if name == "link":
        path.with_name("link").symlink_to("/dev/stdout")
        name = path.with_name("link")
    if mode == "ab":
        path.write_bytes(b"old ")
    with open(path, mode) as output:
        done = subprocess.run(
            [sys.executable, "-P", "-c", STANDARD, name], stdout=output, check=False
        )
    assert done.returncode == 0
    assert path.read_bytes() == b"old " * (mode == "ab") + b"before\nnew after"
    piped = subprocess.run(
        [sys.executable, "-P", "-c", STANDARD, name], stdout=subprocess.PIPE, check=True
    )
    assert piped.stdout == b"before\nnew after"


@posix
def test_an_open_file_of_another_process_is_refused(path):
    path.write_bytes(b"old")
    with path.open() as file:
        own = f"/proc/self/fd/{file.fileno()}"
        other = f"/proc/{os.getppid()}/fd/{file.fileno()}"
        if not os.path.exists(own):
            pytest.skip("no /proc")
        with pytest.raises(OSError, match=f"another process: '{other}'"):
            write(other)
        with pytest.raises(OSError, match="no regular file"):
            append_line(own, "line")
    assert path.read_bytes() == b"old"


@posix
def test_a_socket_and_a_link_without_end_are_refused(path):
    path.symlink_to(path)
    with pytest.raises(OSError, match=f"'{path}'"):
        write(path)
    assert path.is_symlink()
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))
        with pytest.raises(OSError, match=f"neither a regular file.*'{path}'"):
            write(path)
    assert stat.S_ISSOCK(path.stat().st_mode)


@posix
def test_a_log_and_a_checkpoint_are_regular_files(path):
    os.mkfifo(path)
    for name in (path, "/dev/null", "/dev/stdout"):
        for job in (check_writable, lambda name: append_line(name, "line")):
            with pytest.raises(OSError, match=f"no regular file, which this has to be: '{name}'"):
                job(name)
    assert stat.S_ISFIFO(path.stat().st_mode)


# ---------------------------------------------------------------- owners and links


@pytest.fixture
def others(monkeypatch):
    """Owner and group that the system lets a test give to files."""
    if sys.platform == "win32" or os.getuid() != 0:
        pytest.skip("gives files away")
    return 12345, 23456


@posix
def test_a_file_keeps_its_owner_and_group(others, path):
    path.write_bytes(b"old")
    os.chown(path, *others)
    path.chmod(0o640)
    write(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (*others, 0o640)


@posix
@pytest.mark.parametrize(("mode", "expected"), [(0o660, 0o600), (0o664, 0o644), (0o604, 0o644)])
def test_another_group_gets_no_rights_of_its_own(mode, expected, others, path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    path.write_bytes(b"old")
    os.chown(path, -1, others[1])
    path.chmod(mode)
    monkeypatch.setattr(files.os, "chown", refuse)
    write(path)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == expected


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes")
def test_a_file_keeps_its_attributes(path):
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.comment", b"mine")
    except OSError:
        pytest.skip("a file system without attributes")
    write(path)
    assert os.getxattr(path, "user.comment") == b"mine"


@posix
def test_links_stay_and_copies_by_hard_link_keep_what_they_have(path):
    path.write_bytes(b"old")
    link, copy = path.with_name("link"), path.with_name("copy")
    link.symlink_to(path.name)
    copy.hardlink_to(path)
    write(link)
    assert link.is_symlink()
    assert (path.read_bytes(), copy.read_bytes()) == (b"new", b"old")
    files.remove(link)
    assert link.is_symlink()
    assert not path.exists()
    write(link)  # it leads to nothing
    assert link.is_symlink()
    assert path.read_bytes() == b"new"


def test_new_folders_reach_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "sync_folder", lambda folder: synced.append(folder))
    files.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [tmp_path, tmp_path / "a"]
    files.make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2


@pytest.mark.parametrize("name", ["none/file", "file/file", "."])
def test_a_place_that_cannot_be_written_is_known_before(name, path):
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=re.escape(repr(str(path.parent / name)))):
        check_writable(path.parent / name)
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


def test_paths_in_bytes_are_taken_as_by_open(tmp_path):
    path = os.fsencode(tmp_path / "new" / "file")
    files.make_folder(os.path.dirname(path))
    files.check_writable(path)
    with files.replacing(path) as file:
        file.write(b"a")
    files.append_line(path, "b")
    files.remove_partials(path)
    with files.locked(path):
        assert (tmp_path / "new" / "file").read_bytes() == b"ab\n"
    files.remove(path)
    assert os.listdir(tmp_path / "new") == []


# ---------------------------------------------------------------- other systems


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(files, "_WAITS", (0.0, 0.0, 0.0), raising=False)
    return Windows(monkeypatch)


@pytest.mark.parametrize("mode", [None, 0o666, 0o444])
def test_a_file_is_replaced_and_removed_on_windows(windows, mode, path):
    """Also one that is marked read-only, which it stays; and no partial file is left."""
    if mode is not None:
        path.write_bytes(b"old")
        path.chmod(mode)
    write(path)
    assert path.read_bytes() == b"new"
    assert mode is None or stat.S_IMODE(path.stat().st_mode) == mode
    assert list(path.parent.iterdir()) == [path]
    path.with_name(f"{files._prefix(path)}-dead").write_bytes(b"half")
    remove_partials(path)
    assert list(path.parent.iterdir()) == [path]
    files.remove(path)
    files.remove(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("held", ["file", ".fastnn"])
def test_a_file_that_another_program_holds_for_a_moment_is_replaced(windows, held, path):
    path.write_bytes(b"old")
    windows.held[held] = 3
    write(path)
    assert path.read_bytes() == b"new"
    windows.held[held] = 3
    files.remove(path)
    assert list(path.parent.iterdir()) == []


def test_a_file_that_is_held_for_long_is_an_error_and_stays(windows, path):
    path.write_bytes(b"old")
    windows.held[path.name] = 4
    with pytest.raises(PermissionError, match=f"open in another process: '{path}'"):
        write(path)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("supported", [True, False])
def test_macos_writes_files_through_the_memory_of_the_drive(monkeypatch, supported, path):
    """A file system that cannot do that gets the usual call."""
    calls = []

    def control(descriptor, command):
        calls.append(command)
        if not supported:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(files.fcntl, "F_FULLFSYNC", "full", raising=False)
    monkeypatch.setattr(files.fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("usual"))
    write(path)  # the file and its folder
    append_line(path, "line")
    assert calls == 4 * (["full"] if supported else ["full", "usual"])
