import pytest

from kernels.base import quota

NONE = quota._WITHOUT


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Function that writes the files of a system with cgroups, and returns the quota's cores."""

    def cores(own, files):
        (tmp_path / "own").write_text("".join(f"{line}\n" for line in own))
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(quota, "_GROUPS", str(tmp_path / "own"))
        monkeypatch.setattr(quota, "_ROOT", str(tmp_path))
        quota.cores.cache_clear()
        return quota.cores()

    yield cores
    quota.cores.cache_clear()


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("50000", 1), ("100000", 1), ("150000", 1), ("200000", 2), ("799999", 7)],
)
def test_a_quota_is_worth_whole_cores(groups, limit, cores):
    assert groups(["0::/a/b"], {"a/b/cpu.max": f"{limit} 100000\n"}) == cores
    old = {"cpu/c/cpu.cfs_quota_us": f"{limit}\n", "cpu/c/cpu.cfs_period_us": "100000\n"}
    assert groups(["5:memory:/m", "2:cpu,cpuacct:/c", "0::/"], old) == cores


def test_the_smallest_quota_of_a_group_and_those_around_it_counts(groups):
    files = {
        "a/b/c/cpu.max": "max 100000\n",
        "a/b/cpu.max": "300000 100000\n",
        "a/cpu.max": "500000 100000\n",
    }
    assert groups(["0::/a/b/c"], files) == 3
    assert groups(["0::/a/b/c"], {"cpu.max": "200000 100000\n"}) == 2


def test_a_container_that_sees_only_its_own_group(groups):
    files = {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert groups(["2:cpuacct,cpu:/docker/123"], files) == 2


@pytest.mark.parametrize("limit", ["max 100000", "x y", "", "1"])
def test_no_quota(groups, limit):
    assert groups(["0::/"], {"cpu.max": limit}) == NONE


@pytest.mark.parametrize("limit", ["-1", "", "x"])
def test_an_old_group_without_a_quota(groups, limit):
    files = {"cpu/cpu.cfs_quota_us": limit, "cpu/cpu.cfs_period_us": "100000\n"}
    assert groups(["2:cpu:/"], files) == NONE


def test_a_system_without_groups(groups, tmp_path, monkeypatch):
    assert groups([], {}) == NONE
    monkeypatch.setattr(quota, "_GROUPS", str(tmp_path / "none"))
    quota.cores.cache_clear()
    assert quota.cores() == NONE
