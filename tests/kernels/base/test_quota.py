import pytest

from kernels.base import quota


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Function that writes the files of a system with cgroups: lines of both, and of folders."""

    def write(own, mounts, files):
        (tmp_path / "own").write_text("".join(f"{line}\n" for line in own))
        lines = (
            f"30 25 0:26 / {tmp_path / folder} rw,nosuid shared:4 - {kind} {kind} {options}\n"
            for folder, kind, options in mounts
        )
        (tmp_path / "mounts").write_text("".join(lines))
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(quota, "_GROUPS", tmp_path / "own")
        monkeypatch.setattr(quota, "_MOUNTS", tmp_path / "mounts")

    quota.cores.cache_clear()
    yield write
    quota.cores.cache_clear()


V2 = ("unified", "cgroup2", "rw")
V1 = [("memory", "cgroup", "rw,memory"), ("cpu", "cgroup", "rw,cpu,cpuacct")]


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("50000", 1), ("100000", 1), ("150000", 1), ("200000", 2), ("799999", 7)],
)
def test_a_quota_is_worth_whole_cores(groups, limit, cores):
    groups(["0::/a/b"], [V2], {"unified/a/b/cpu.max": f"{limit} 100000\n"})
    assert quota.cores() == cores
    quota.cores.cache_clear()
    files = {"cpu/a/cpu.cfs_quota_us": f"{limit}\n", "cpu/a/cpu.cfs_period_us": "100000\n"}
    groups(["5:memory:/m", "2:cpu,cpuacct:/a"], V1, files)
    assert quota.cores() == cores


def test_the_smallest_quota_of_a_group_and_its_parents_counts(groups):
    files = {
        "unified/a/b/c/cpu.max": "max 100000\n",
        "unified/a/b/cpu.max": "300000 100000\n",
        "unified/a/cpu.max": "500000 100000\n",
    }
    groups(["0::/a/b/c"], [V2], files)
    assert quota.cores() == 3


def test_a_container_that_sees_only_its_own_group(groups):
    files = {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}
    groups(["2:cpuacct,cpu:/docker/123"], V1, files)
    assert quota.cores() == 2


@pytest.mark.parametrize("limit", ["max 100000", "x y", "", "1"])
def test_no_quota(groups, limit):
    groups(["0::/"], [V2], {"unified/cpu.max": limit})
    assert quota.cores() > 10**5


def test_an_old_group_without_a_quota(groups):
    files = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    groups(["2:cpu:/"], V1, files)
    assert quota.cores() > 10**5


def test_a_system_without_groups(groups, tmp_path, monkeypatch):
    monkeypatch.setattr(quota, "_GROUPS", tmp_path / "none")
    assert quota.cores() > 10**5
