"""The share of the machine that a process may use: the CPU quota of its cgroups on Linux."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

_GROUPS, _ROOT = "/proc/self/cgroup", "/sys/fs/cgroup"
_WITHOUT = 1_000_000  # cores of a process without a quota


@cache
def cores() -> int:
    """Return how many whole cores the quota is worth, at least 1; a large number if there is none.

    A thread more than that would be stopped for a part of each period of 0.1 s, and the others
    would wait for it.
    """
    try:
        with open(_GROUPS) as file:
            groups = file.read().splitlines()
    except OSError:  # another system
        return _WITHOUT
    quotas = [quota for group in groups for folder in _folders(group) if (quota := _quota(folder))]
    return max(1, int(min(quotas, default=_WITHOUT)))


def _folders(group: str) -> Iterator[str]:
    """Yield the folder of a group that may have a quota, and those of the groups around it.

    `group` is a line of /proc/self/cgroup: of all controllers (version 2 of cgroups) or some.
    """
    _, controllers, path = group.split(":", 2)
    if controllers == "":
        root = _ROOT
    elif "cpu" in controllers.split(","):
        root = f"{_ROOT}/cpu"
    else:
        return
    while path.strip("/"):
        yield root + path
        path = path.rpartition("/")[0]
    yield root


def _quota(folder: str) -> float | None:
    """Return the cores that a group may use, or None if it has no limit."""
    try:
        with open(f"{folder}/cpu.max") as file:
            limit, period = file.read().split()
        return int(limit) / int(period)
    except (OSError, ValueError):  # "max" is no limit
        pass
    try:
        with open(f"{folder}/cpu.cfs_quota_us") as file:
            limit = file.read()
        with open(f"{folder}/cpu.cfs_period_us") as file:
            period = file.read()
        return int(limit) / int(period) if int(limit) > 0 else None
    except (OSError, ValueError):
        return None
