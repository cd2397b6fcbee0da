import os
import re
import subprocess
import sys
import threading
import time

import pytest

from fastnn.files import locks
from fastnn.files.atomic import locked, replacing
from fastnn.files.locks import InUseError
from processes import ROOT
from windows import Windows

posix = pytest.mark.skipif(sys.platform == "win32", reason="forks")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def is_free(path):
    """Whether another process can lock the path."""
    job = "import sys; from fastnn.files.atomic import locked; locked(sys.argv[1]).release()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", job, path], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0 or f"InUseError: {path}: another run writes there" in done.stderr
    return done.returncode == 0


def test_one_at_a_time(path):
    first = locked(path)
    with pytest.raises(InUseError, match=f"{re.escape(str(path))}: another run writes there now"):
        locked(path)
    assert not is_free(path)
    locked(path.with_name("other")).release()
    first.release()
    first.release()  # once more does not matter
    second = locked(path)
    first.release()
    assert not is_free(path)
    second.release()
    assert is_free(path)
    assert not list(path.parent.iterdir())


def test_among_threads(path):
    held, lost = [], []
    start = threading.Barrier(8)

    def run():
        start.wait()
        try:
            held.append(locked(path))
        except InUseError:
            lost.append(1)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(held), len(lost)) == (1, 7)
    held[0].release()


@posix
def test_a_link_is_what_it_leads_to(path):
    link = path.with_name("link")
    link.symlink_to(path)
    lock = locked(link)
    with pytest.raises(InUseError):
        locked(path)
    with replacing(path) as file:
        file.write(b"new")
    with pytest.raises(InUseError, match=f"{link}: "):
        locked(link)
    lock.release()


def test_the_folder_is_named_where_a_folder_is_locked(tmp_path):
    lock = locked(tmp_path, "results.jsonl")
    with pytest.raises(InUseError, match=f"^{re.escape(str(tmp_path))}: another run"):
        locked(tmp_path, "results.jsonl")
    lock.release()


HOLDER = """
import os, sys, time
from fastnn.files.atomic import locked
lock = locked(sys.argv[1])
if sys.argv[2:]:
    if os.fork() == 0:
        time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""


@posix
@pytest.mark.parametrize("child", [[], ["fork"]])
def test_a_killed_process_leaves_no_lock(child, path):
    """Nor does one whose child of a fork lives on."""
    holder = subprocess.Popen(
        [sys.executable, "-P", "-c", HOLDER, path, *child], stdout=subprocess.PIPE,
        start_new_session=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        with holder.stdout:
            assert holder.stdout.readline() == b"held\n"
        assert not is_free(path)
        holder.kill()
        holder.wait()
        assert is_free(path)
    finally:
        os.killpg(holder.pid, 9) if child else None
    assert not list(path.parent.iterdir())


@posix
def test_a_forked_child_has_not_the_lock_and_does_not_release_it(path):
    lock = locked(path)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            lock.check()
        except InUseError:
            try:
                locked(path)
            except InUseError:
                lock.release()
                code = 0
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    lock.check()
    assert not is_free(path)
    lock.release()


@posix
def test_the_next_may_come_while_the_last_one_goes(path):
    """Many processes, each of which holds the lock for a moment: never two, and none is lost."""
    job = """
import os, sys, time
from fastnn.files.atomic import locked
from fastnn.files.locks import InUseError
done = 0
deadline = time.monotonic() + 60
while done < 40 and time.monotonic() < deadline:
    try:
        lock = locked(sys.argv[1])
    except InUseError:
        continue
    os.close(os.open(sys.argv[1] + ".inside", os.O_CREAT | os.O_EXCL))
    os.unlink(sys.argv[1] + ".inside")
    lock.release()
    done += 1
sys.exit(done != 40)
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    runs = [subprocess.Popen([sys.executable, "-P", "-c", job, path], env=env) for _ in range(3)]
    assert [each.wait() for each in runs] == [0, 0, 0]
    assert not list(path.parent.iterdir())


def test_a_file_system_without_locks_is_warned_of(path, monkeypatch):
    def refuse(_):
        raise OSError(locks._WITHOUT[0], "No locks available")

    monkeypatch.setattr(locks, "_lock_of_process", refuse)
    with pytest.warns(
        UserWarning, match=f"{re.escape(str(path))} is on a file system without locks"
    ):
        lock = locked(path)
    with pytest.raises(InUseError):  # threads are told apart all the same
        locked(path)
    lock.release()
    assert not list(path.parent.iterdir())


def test_a_lock_leaves_no_file_on_windows(path, monkeypatch):
    """Unless the next run has it open."""
    windows = Windows(monkeypatch)
    for tries in (0, 1):
        windows.held[".lock"] = tries
        locked(path).release()
        assert len(list(path.parent.iterdir())) == tries


def test_a_folder_that_is_not_there(tmp_path):
    for _ in range(2):  # a failure holds nothing
        with pytest.raises(FileNotFoundError):
            locked(tmp_path / "none" / "file")


def test_waiting_is_not_part_of_it(path):
    lock = locked(path)
    started = time.monotonic()
    with pytest.raises(InUseError):
        locked(path)
    assert time.monotonic() - started < 10
    lock.release()
