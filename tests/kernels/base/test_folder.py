import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import platformdirs
import pytest

from kernels.base import folder as kept
from windows import Windows

NAME = "kernels.some.function-" + 32 * "0" + ".bin"
DAY = 24 * 3600

modes = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no modes")
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)
as_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything"
)
STRANGER = 54321  # no user of this machine


@pytest.fixture(autouse=True)
def _silent_again(monkeypatch):
    monkeypatch.setattr(kept, "_warned", False)
    kept._sweep.cache_clear()
    kept._doubt_of_way.cache_clear()


def assert_kept(content=b"code"):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept.write(NAME, content)
        assert kept.read(NAME) == content
        assert kept.holds(NAME)
        assert kept.refusal() is None


@contextmanager
def one_warning(words):
    """Whatever is done within warns once, in these words."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    assert [each.category for each in found] == [RuntimeWarning]
    assert re.search(words, str(found[0].message))


def assert_left_alone(words):
    """Nothing is read, written or changed, and there is one warning."""
    place = kept.folder()
    before = tree(place)
    with one_warning(words):
        assert kept.read(NAME) is None
        kept.write(NAME, b"other")
        assert kept.read(NAME) is None
        assert not kept.holds(NAME)
    assert re.search(words, kept.refusal())
    assert tree(place) == before


def tree(place):
    if not place.is_dir():
        return None
    return {each.name: each.is_file() and each.read_bytes() for each in place.iterdir()}


# ---------------------------------------------------------------------- where it is


def test_the_folder_is_the_users_unless_another_is_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path))
    assert kept.folder() == tmp_path
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("FASTNN_CACHE_DIR")
        else:
            monkeypatch.setenv("FASTNN_CACHE_DIR", unset)
        assert Path(platformdirs.user_cache_dir("fastnn")) in kept.folder().parents


@modes
def test_without_a_home_nothing_is_kept_and_nothing_is_made(monkeypatch, tmp_path):
    """The user's cache folder would be `~/.cache`, in the current folder."""
    for name in ("FASTNN_CACHE_DIR", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    assert kept.folder() is None
    with one_warning("there is no home folder. Another.*FASTNN_CACHE_DIR"):
        kept.write(NAME, b"code")
    assert kept.read(NAME) is None
    assert not kept.holds(NAME)
    assert kept.refusal() == "there is no home folder"
    assert list(tmp_path.iterdir()) == []


def test_a_relative_folder_in_the_environment_is_none(monkeypatch, tmp_path):
    monkeypatch.delenv("FASTNN_CACHE_DIR", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: f"relative/{name}")
    assert kept.folder() is None


def test_a_chosen_folder_may_be_relative(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTNN_CACHE_DIR", "below")
    assert_kept()
    assert (tmp_path / "below" / NAME).is_file()


# ---------------------------------------------------------------------- what is kept


def test_what_is_written_is_read(folder):
    assert kept.read(NAME) is None
    assert not kept.holds(NAME)
    assert_kept(b"")
    assert_kept(bytes(range(256)))
    assert [each.name for each in folder.iterdir()] == [NAME]


@modes
def test_the_folder_and_those_above_are_closed_to_others(folder, monkeypatch):
    place = folder / "a" / "b"
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(place))
    before = os.umask(0)
    try:
        assert_kept()
    finally:
        os.umask(before)
    found = {stat.S_IMODE(each.stat().st_mode) for each in (folder, folder / "a", place)}
    assert found == {0o700}
    assert stat.S_IMODE((place / NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: b"",
        lambda good: good[:-1],
        lambda good: good + b"more",
        lambda good: bytes(len(good)),
        lambda good: good[:40] + bytes([good[40] ^ 1]) + good[41:],
        lambda good: bytes([good[0] ^ 1]) + good[1:],
    ],
)
def test_a_damaged_file_is_not_read(folder, damage):
    content = bytes(100)
    kept.write(NAME, content)
    path = folder / NAME
    path.write_bytes(damage(path.read_bytes()))
    assert kept.read(NAME) is None
    assert_kept(content)


def test_a_file_under_another_name_is_not_read(folder):
    kept.write(NAME, b"code")
    other = NAME.replace("0", "1")
    (folder / NAME).rename(folder / other)
    assert kept.read(other) is None


# ---------------------------------------------------------------------- whom it is trusted from


def loosen(path, by):
    path.chmod(stat.S_IMODE(path.stat().st_mode) | by)


@modes
@pytest.mark.parametrize("by", [stat.S_IWOTH, stat.S_IWGRP, stat.S_IWOTH | stat.S_ISVTX])
def test_a_folder_that_others_may_write_is_left_alone(folder, by):
    assert_kept()
    loosen(folder, by)
    assert_left_alone(f"others may write to {folder}")


@modes
@pytest.mark.parametrize("by", [stat.S_IWOTH, stat.S_IWGRP])
def test_a_file_that_others_may_write_is_left_alone(folder, by):
    assert_kept()
    loosen(folder / NAME, by)
    before = tree(folder)
    with one_warning(f"others can change {folder / NAME}"):
        assert kept.read(NAME) is None
        kept.write(NAME, b"other")
        assert kept.read(NAME) is None
    assert tree(folder) == before


@modes
def test_a_folder_above_that_all_may_write_is_no_way_to_it(folder):
    assert_kept()
    loosen(folder.parent, stat.S_IWOTH)
    kept._doubt_of_way.cache_clear()
    assert_left_alone(f"others may write to {folder.parent}")
    loosen(folder.parent, stat.S_ISVTX)  # only the owner of what is in it may rename it
    kept._doubt_of_way.cache_clear()
    kept._warned = False
    assert_kept()


@modes
def test_no_folder_is_made_where_others_may_write(folder):
    loosen(folder.parent, stat.S_IWOTH)
    assert_left_alone(f"others may write to {folder.parent}")
    assert not folder.exists()


@modes
def test_a_folder_above_may_be_open_to_the_users_own_group(folder, monkeypatch):
    """Systems that give each user a group often have folders that it may write."""
    import grp
    import pwd

    user = pwd.getpwuid(os.geteuid()).pw_name
    status = os.stat_result((0o040770, 0, 0, 0, os.geteuid(), 777, 0, 0, 0, 0))
    for name, members, shared in [
        (user, [], False),
        (user, [user], False),
        (user, [user, "another"], True),
        ("staff", [], True),
        ("staff", [user], True),
    ]:
        group = grp.struct_group((name, "x", 777, members))
        monkeypatch.setattr(grp, "getgrgid", lambda gid, group=group: group)
        assert kept._others_replace_in(status) is shared
    monkeypatch.undo()
    assert kept._others_replace_in(status), "an unknown group"


@as_root
@pytest.mark.parametrize("what", ["folder", "above", "file"])
def test_what_belongs_to_another_user_is_left_alone(folder, what):
    assert_kept()
    path = {"folder": folder, "above": folder.parent, "file": folder / NAME}[what]
    os.chown(path, STRANGER, -1)
    kept._doubt_of_way.cache_clear()
    if what == "file":
        with one_warning("others can change"):
            assert kept.read(NAME) is None
    else:
        assert_left_alone(f"{path} belongs to another user")


@modes
def test_a_link_in_place_of_a_file_is_not_followed(folder, tmp_path):
    assert_kept()
    (folder / NAME).rename(tmp_path / NAME)
    (folder / NAME).symlink_to(tmp_path / NAME)
    assert kept.read(NAME) is None
    kept.write(NAME, b"other")
    assert (folder / NAME).is_symlink()
    assert kept.read(NAME) is None


@modes
def test_a_link_to_a_folder_is_as_good_as_its_way(folder, tmp_path, monkeypatch):
    """Also a link on the way, and one that leads to another."""
    open_to_all, real = tmp_path / "open", tmp_path / "real"
    open_to_all.mkdir()
    (real / "cache").mkdir(parents=True, mode=0o700)
    real.chmod(0o700)
    (open_to_all / "second").symlink_to(real)
    (tmp_path / "first").symlink_to(open_to_all / "second")
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path / "first" / "cache"))
    assert_kept()
    open_to_all.chmod(0o777)
    kept._doubt_of_way.cache_clear()
    assert_left_alone(f"others may write to {open_to_all}")


@as_root
def test_a_link_of_another_user_is_not_followed(folder, tmp_path, monkeypatch):
    assert_kept()
    link = tmp_path / "link"
    link.symlink_to(folder)
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(link))
    assert_kept()
    os.chown(link, STRANGER, -1, follow_symlinks=False)
    kept._doubt_of_way.cache_clear()
    assert_left_alone(f"{link} belongs to another user")


@modes
def test_links_in_a_circle_lead_nowhere(tmp_path, monkeypatch):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    monkeypatch.setenv("FASTNN_CACHE_DIR", str(tmp_path / "a" / "cache"))
    assert kept.read(NAME) is None
    with one_warning("[Ss]ymbolic links"):
        kept.write(NAME, b"code")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(folder):
    assert_kept()
    (folder / NAME).unlink()
    os.mkfifo(folder / NAME)
    with one_warning("others can change"):
        assert kept.read(NAME) is None


def test_without_modes_the_folder_is_taken_as_it_is(folder, monkeypatch):
    """As on Windows."""
    assert_kept()
    loosen(folder, stat.S_IWOTH)
    monkeypatch.setattr(kept, "_HAS_MODES", False)
    assert_kept()


# ------------------------------------------------------------------- where nothing can be kept


def places_of_no_use(tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    yield occupied
    yield occupied / "below"
    if sys.platform.startswith("linux"):
        yield Path("/proc/fastnn")  # where not even root may make one


def test_a_folder_that_cannot_be_made_is_warned_of_once(tmp_path, monkeypatch):
    for place in places_of_no_use(tmp_path):
        monkeypatch.setattr(kept, "_warned", False)
        monkeypatch.setenv("FASTNN_CACHE_DIR", str(place))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert kept.read(NAME) is None
        with one_warning(f"not kept: {place}"):
            kept.write(NAME, b"code")
            kept.write(NAME, b"code")
    assert (tmp_path / "file").read_text() == "not a folder"


@as_user
def test_a_folder_that_cannot_be_read_is_warned_of_once(folder):
    assert_kept()
    folder.chmod(0)
    try:
        with one_warning("Permission denied"):
            assert kept.read(NAME) is None
            kept.write(NAME, b"code")
    finally:
        folder.chmod(0o700)


def test_a_folder_on_a_read_only_disk_is_still_read(folder, monkeypatch):
    assert_kept()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with one_warning(f"not kept: {folder} cannot be written"):
        assert kept.read(NAME) == b"code"
        kept.write(NAME, b"other")
        assert kept.read(NAME) == b"code"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk that is always full")
def test_a_full_disk_is_warned_of_and_nothing_is_left_behind(folder, monkeypatch):
    make = tempfile.mkstemp

    def make_on_full(**options):
        handle, path = make(**options)
        os.dup2(os.open("/dev/full", os.O_WRONLY), handle)
        return handle, path

    monkeypatch.setattr(tempfile, "mkstemp", make_on_full)
    with one_warning(f"not kept: {folder}: {os.strerror(errno.ENOSPC)}"):
        kept.write(NAME, b"code")
    assert tree(folder) == {}


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), KeyboardInterrupt])
def test_a_file_that_gets_no_name_is_not_left_behind(folder, monkeypatch, error):
    def refuse(*paths):
        raise error

    monkeypatch.setattr(os, "replace", refuse)
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            kept.write(NAME, b"code")
    else:
        with one_warning(f"not kept: {folder}: Permission denied"):
            kept.write(NAME, b"code")
    assert tree(folder) == {}


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(kept, "_WAITS", (0.0, 0.0, 0.0), raising=False)
    return Windows(monkeypatch)


@pytest.mark.parametrize("held", [NAME, ".part"])
def test_on_windows_files_that_another_program_holds_for_a_moment_are_kept(windows, folder, held):
    assert_kept()
    for content in (b"other", b"code"):
        windows.held[held] = 3
        assert_kept(content)
    windows.held[NAME] = 3
    kept.clear(folder)
    assert tree(folder) == {}


def test_on_windows_a_file_that_is_held_for_long_is_warned_of(windows, folder):
    assert_kept()
    windows.held[NAME] = 4
    with one_warning(f"not kept: {folder}: open in another process"):
        kept.write(NAME, b"other")
    assert tree(folder).keys() == {NAME}
    assert_kept()


def test_on_windows_a_partial_file_that_cannot_be_removed_is_left_to_the_sweep(windows, folder):
    windows.held[".part"] = 5
    with one_warning(f"not kept: {folder}: open in another process"):
        kept.write(NAME, b"code")
    assert [each.suffix for each in folder.iterdir()] == [".part"]


def test_the_sweep_goes_on_behind_a_file_that_is_held(windows, folder):
    useful = several(folder)
    old = NAME.replace("0", "2")
    windows.held[old] = 9
    kept.write(NAME, b"code")
    assert set(tree(folder)) == useful | {old}


# ---------------------------------------------------------------------- what is removed


def aged(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def several(folder):
    """Files of several ages: their names, and whether they are of no more use."""
    kept.write(NAME, b"code")
    ages = {"1": 89 * DAY, "2": 91 * DAY}
    for digit, age in ages.items():
        shutil.copy(folder / NAME, folder / NAME.replace("0", digit))
        aged(folder / NAME.replace("0", digit), age)
    for name, age in {f"{NAME}.abcd1234.part": 3600, f"{NAME}.abcd5678.part": 1}.items():
        (folder / name).write_bytes(b"half")
        aged(folder / name, age)
    (folder / "notes.txt").write_text("mine")
    aged(folder / "notes.txt", 1000 * DAY)
    kept._sweep.cache_clear()
    return {NAME, NAME.replace("0", "1"), f"{NAME}.abcd5678.part", "notes.txt"}


def test_writing_removes_what_is_of_no_more_use(folder):
    useful = several(folder)
    kept.write(NAME, b"code")
    assert set(tree(folder)) == useful


def test_the_first_reading_of_a_day_does_too(folder):
    useful = several(folder)
    assert kept.read(NAME) == b"code"
    assert set(tree(folder)) != useful, "a start that finds all in use looks at nothing else"
    aged(folder / NAME, 2 * DAY)
    assert kept.read(NAME) == b"code"
    assert set(tree(folder)) == useful


def test_what_is_read_stays(folder):
    kept.write(NAME, b"code")
    for _ in range(3):
        aged(folder / NAME, 80 * DAY)
        assert kept.read(NAME) == b"code"
        assert time.time() - (folder / NAME).stat().st_mtime < DAY


def test_clearing_touches_nothing_else(folder):
    several(folder)
    (folder / "deeper").mkdir()
    (folder / "deeper" / NAME).write_text("")
    (folder / "short-0.bin").write_text("")
    assert len(kept.files(folder)) == 5
    kept.clear(folder)
    assert kept.files(folder) == []
    assert set(tree(folder)) == {"notes.txt", "deeper", "short-0.bin"}
    assert (folder / "deeper" / NAME).exists()
